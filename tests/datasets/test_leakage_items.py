"""Planted leaks between chips in files, and between rows of tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chip_factory import write_chip
from conftest import write_scene
from leakage_factory import textured

from eoseg.datasets.chip_files import ChipFileData
from eoseg.datasets.chip_list import ChipFileSource
from eoseg.datasets.grouping import ItemSplitConfig
from eoseg.datasets.item_split import ItemSplit
from eoseg.datasets.leakage import Check, LeakageAudit
from eoseg.datasets.leakage_items import audit_chips, audit_rows


def write_chips(folder: Path, count: int = 60, *, step: float = 640.0) -> None:
    """Chips of 32 px and 10 m in rows of 6, two classes by lot; `step` metres apart, so 320 side by side."""
    rng = np.random.default_rng(0)
    for number in range(count):
        kind = ("dry", "wet")[rng.integers(2)]
        origin = (500_000.0 + step * (number % 6), 5_400_000.0 - step * (number // 6))
        write_scene(folder / kind / f"{number:03d}.tif", textured(rng, 32, 32), origin=origin)


def audited(folder: Path, **options: object) -> LeakageAudit:
    """Rows 0 to 5 of chips train, 6 and 7 validate, 8 and 9 test."""
    source = ChipFileSource(root=str(folder), images="*/*.tif", classes=["dry", "wet"], **options)  # type: ignore[arg-type]
    val, test = ["*/03[6-9].*", "*/04[0-7].*"], ["*/04[89].*", "*/05*"]
    data = ChipFileData(source, split=ItemSplitConfig(method="files", val=val, test=test))
    found = data.chip_list
    return audit_chips(
        data.split, data.store.read, paths=found.paths, labels=found.labels, groups=found.groups
    )


def check_of(found: LeakageAudit, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def chip(folder: Path, number: int) -> Path:
    return next(folder.glob(f"*/{number:03d}.tif"))


def test_chips_apart_are_clean(tmp_path: Path):
    write_chips(tmp_path)
    found = audited(tmp_path)
    assert found.verdict == "clean"
    assert check_of(found, "ground").level == "clean"
    assert check_of(found, "duplicates").numbers == {"compared": 60}
    assert found.map is not None
    assert len(found.map.outlines) == 60


@pytest.mark.parametrize(
    "change", [lambda v: v, lambda v: (0.5 * v + 90).astype(np.uint16), lambda v: v[:, ::-1]]
)
def test_a_chip_in_train_and_test_is_an_error(tmp_path: Path, change: Callable[[np.ndarray], np.ndarray]):
    write_chips(tmp_path)
    copy = change(textured(np.random.default_rng(5), 32, 32))
    write_scene(
        chip(tmp_path, 3), textured(np.random.default_rng(5), 32, 32), origin=(500_000.0, 5_500_000.0)
    )
    write_scene(chip(tmp_path, 55), copy, origin=(600_000.0, 5_500_000.0))
    check = check_of(audited(tmp_path), "duplicates")
    assert (check.level, check.numbers["train-test"]) == ("error", 1)
    assert "003.tif" in check.examples[0]
    assert "055.tif" in check.examples[0]


def test_chips_that_overlap_by_one_row_are_an_error(tmp_path: Path):
    write_chips(tmp_path, step=320.0)
    assert check_of(audited(tmp_path), "ground").level == "clean"  # side by side
    rng = np.random.default_rng(3)
    write_scene(chip(tmp_path, 48), textured(rng, 32, 32), origin=(500_000.0, 5_400_000.0 - 310))
    check = check_of(audited(tmp_path), "ground")
    assert check.level == "error"
    # A row of the chip above, and all but a row of the one that lay there: both train.
    assert check.numbers == {"train-test places": 2, "train-test area": 32 * 32 * 100}


def test_groups_and_dates_on_both_sides_are_said(tmp_path: Path):
    write_chips(tmp_path)
    check = check_of(audited(tmp_path, groups="([0-9])[.]tif"), "source")
    assert (check.level, check.examples) == ("warning", tuple("01234"))
    chip(tmp_path, 2).rename(tmp_path / "dry" / "000_2021-06-01.tif")
    chip(tmp_path, 50).rename(tmp_path / "dry" / "050_20210601.tif")
    note = check_of(audited(tmp_path), "source")
    assert (note.level, note.numbers) == ("note", {"dates on both sides": 1})


def test_chips_without_crs_have_no_place(tmp_path: Path):
    for number in range(60):
        write_chip(tmp_path / ("dry", "wet")[number % 2] / f"{number:03d}.tif", number, crs=None)
    found = audited(tmp_path)
    assert found.map is None
    levels = {check.name: check.level for check in found.checks}
    assert levels == {"ground": "unknown", "distance": "unknown", "source": "unknown", "duplicates": "clean"}


def test_rows_in_two_splits_are_a_warning():
    values = np.arange(40, dtype=np.float32).reshape(10, 4)
    split = ItemSplit("random", 0, {}, tuple("abcdefghij"), np.array([0] * 5 + [1] * 2 + [2] * 3))
    assert audit_rows(split, values, groups=None).verdict == "clean"
    values[8] = values[1]
    check = check_of(audit_rows(split, values, groups=None), "duplicates")
    assert (check.level, check.examples) == ("warning", ("i",))
    assert check.numbers == {"rows on both sides": 1, "share": pytest.approx(1 / 3, abs=1e-4)}
