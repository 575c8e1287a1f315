from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from torchgeo import datasets
from torchgeo_factory import l8biome, landcoverai, levircd, vaihingen

from eoseg.batch import IGNORE
from eoseg.datasets.torchgeo_build import build, set_up
from eoseg.datasets.torchgeo_samples import Reading, form_of
from eoseg.datasets.torchgeo_sources import FootprintSource, ImageSource, Source
from eoseg.errors import DataError
from eoseg.recipe import parse_classes


def ready(source: Source, sample: Any, classes: int, **options: Any) -> Source:
    form = form_of(sample, "first")
    names = [f"class {n}" for n in range(classes)]
    values: dict[str, Any] = {"channels": range(form.bands), "ignore": [], "nodata": None, "steps": 1}
    source.reading = Reading(form, parse_classes(names), **{**values, **options})
    return source


def images(folder: Path) -> ImageSource:
    vaihingen(folder)
    dataset = datasets.Vaihingen2D(folder)
    source = ImageSource(dataset, [2, 0])
    ready(source, source.sample(0), 6)
    return source


def test_a_source_takes_some_images(tmp_path: Path):
    source = images(tmp_path)
    assert source.names == ["top/top_mosaic_09cm_area13.tif", "top/top_mosaic_09cm_area1.tif"]
    assert len(source) == 2
    assert source.size(0) == (530, 500)
    chip = source.chip(1, 10, 20, 64)
    assert chip["id"] == "top/top_mosaic_09cm_area1.tif@10,20"
    assert chip["image"].dtype == torch.float32
    assert chip["image"][:, 0, 0].tolist() == [1, 100, 200]
    assert torch.equal(chip["mask"], source.whole(1)["mask"][10:74, 20:84])


def test_an_image_is_kept_while_chips_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = images(tmp_path)
    read: list[int] = []
    sample = source.sample
    monkeypatch.setattr(source, "sample", lambda number: (read.append(number), sample(number))[1])
    for number in (0, 0, 1, 1, 0):
        source.chip(number, 0, 0, 64)
    assert read == [0, 1, 0]  # one image at least
    source.keep_bytes = 10_000_000
    for number in (0, 1, 0, 1):
        source.chip(number, 0, 0, 64)
    assert read == [0, 1, 0, 1]
    assert source.whole(0)["image"].dtype == torch.float32


def test_a_broken_file_is_named_in_one_line(tmp_path: Path):
    landcoverai(tmp_path)
    source = ImageSource(datasets.LandCoverAI(tmp_path), range(2))
    (tmp_path / "output" / "M-33-20-D-c-4-2_00.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"'M-33-20-D-c-4-2_00' cannot be read: .* Download") as caught:
        source.sample(0)
    assert "\n" not in str(caught.value)


def test_chips_with_one_label_have_one_size(tmp_path: Path):
    landcoverai(tmp_path)
    source = ImageSource(datasets.LandCoverAI(tmp_path), range(2))
    sample = {"image": torch.ones(3, 8, 8), "label": torch.tensor(0)}
    source.dataset = [sample, {**sample, "image": torch.ones(3, 8, 9)}]
    ready(source, sample, 1)
    assert source.chip(0, 0, 0, 8)["image"].shape == (3, 8, 8)
    with pytest.raises(DataError, match="has 8 x 9 px, others have 8 x 8"):
        source.chip(1, 0, 0, 8)


def test_pairs_are_cut_alike(tmp_path: Path):
    levircd(tmp_path)
    dataset = datasets.LEVIRCD(tmp_path)
    source = ImageSource(dataset, range(len(dataset)))
    ready(source, source.sample(0), 2)
    chip = source.chip(1, 300, 300, 128)
    assert chip["image"].shape == (2, 3, 128, 128)
    assert chip["image"][:, 0, 0, 0].tolist() == [0, 100]
    assert chip["valid"].sum(dim=(1, 2)).tolist() == [100 * 100] * 2  # the image ends there
    assert int((chip["mask"] != IGNORE).sum()) == 100 * 100


def scenes(folder: Path, apart: float = 30_000) -> dict[str, Source]:
    l8biome(folder, apart)
    sources = set_up(build("L8BiomeDataModule", {"paths": str(folder)}, None), None)
    for source in sources.values():
        assert isinstance(source, FootprintSource)
        ready(source, source.sample(0, 0, 0, 64), 5, ignore=[], nodata=0)
    return sources


def number_of(name: str) -> int:
    """Which scene of the factory a name belongs to: they were seen on the days 220 to 224 of 2013."""
    return date.fromisoformat(name.split("/")[1]).timetuple().tm_yday - 220


def test_scenes_are_read_by_windows(tmp_path: Path):
    source = scenes(tmp_path)["train"]
    height, width = source.size(0)
    assert height >= 300
    assert width >= 280  # in Web Mercator
    chip = source.chip(0, 100, 120, 64)
    assert chip["image"].shape == (11, 64, 64)
    assert chip["valid"].all()
    expected = [7000 + 100 * band + number_of(source.names[0]) for band in range(11)]
    assert chip["image"][:, 30, 30].tolist() == expected
    assert set(chip["mask"].unique().tolist()) == {1, 2, 3, 4}


def test_what_lies_beyond_a_scene_is_invalid(tmp_path: Path):
    source = scenes(tmp_path)["train"]
    height, width = source.size(0)
    chip = source.chip(0, height - 20, width - 30, 64)
    assert not chip["valid"][20:].any()
    assert not chip["valid"][:, 30:].any()
    assert (chip["mask"][20:] == IGNORE).all()
    assert (chip["image"][:, ~chip["valid"]] == 0).all()
    swath = source.chip(0, 100, 0, 64)
    assert not swath["valid"][:, :50].any()


def test_a_scene_of_another_split_at_the_same_place_has_no_part(tmp_path: Path):
    # torchgeo's samplers leave the time out, so that chips mix what was seen on several dates.
    for source in scenes(tmp_path, apart=0).values():
        for number, name in enumerate(source.names):
            values = source.chip(number, 100, 120, 64)["image"][0]
            assert values.unique().tolist() == [7000 + number_of(name)]


def test_forked_processes_open_files_of_their_own(tmp_path: Path):
    source = scenes(tmp_path)["train"]
    assert isinstance(source, FootprintSource)
    cache = datasets.RasterDataset._cached_load_warp_file
    source.chip(0, 0, 0, 64)
    assert cache.cache_info().currsize
    source.reopen()
    assert not cache.cache_info().currsize
