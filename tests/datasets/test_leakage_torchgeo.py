"""Benchmarks: their own split is judged, but never refused."""

from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from torchgeo_factory import EUROSAT_CLASSES, eurosat, l8biome

from eoseg.datasets.leakage import Check, LeakageAudit
from eoseg.datasets.leakage_torchgeo import audit_torchgeo
from eoseg.datasets.torchgeo import TorchGeoData


def check_of(found: LeakageAudit, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def clouds(folder: Path, apart: float) -> LeakageAudit:
    l8biome(folder, apart)
    data = TorchGeoData("L8BiomeDataModule", args={"paths": str(folder)}, chip_size=64)
    return audit_torchgeo(data.ready_sources(), chip_size=64)


def test_scenes_apart_are_clean_and_have_a_map(tmp_path: Path):
    found = clouds(tmp_path, 30_000)
    assert check_of(found, "ground").level == "clean"
    assert found.map is not None
    assert len(found.map.outlines) == 5


def test_the_same_ground_at_other_times_is_a_note(tmp_path: Path):
    check = check_of(clouds(tmp_path, 3000), "ground")
    assert check.level == "note"
    assert "at another time" in check.text


@pytest.fixture
def images(tmp_path: Path) -> TorchGeoData:
    eurosat(tmp_path)
    return TorchGeoData("EuroSATDataModule", args={"root": str(tmp_path)})


def test_an_image_in_two_splits_is_a_warning(tmp_path: Path, images: TorchGeoData):
    assert audit_torchgeo(images.ready_sources(), chip_size=64).verdict == "clean"  # all are plain
    picture = np.random.default_rng(0).integers(500, 3000, (13, 64, 64)).astype(np.uint16)
    kind = EUROSAT_CLASSES[4]
    for number, image in ((1, picture), (3, picture // 2)):
        write_scene(next(tmp_path.rglob(f"{kind}_{number}.tif")), image)
    check = check_of(audit_torchgeo(images.ready_sources(), chip_size=64), "duplicates")
    assert (check.level, check.numbers["train-test"]) == ("warning", 1)


def test_a_name_in_two_splits_is_a_warning(images: TorchGeoData):
    sources = images.ready_sources()
    sources["test"].names[0] = sources["train"].names[3]
    check = check_of(audit_torchgeo(sources, chip_size=64), "source")
    assert (check.level, check.examples) == ("warning", (sources["train"].names[3],))
