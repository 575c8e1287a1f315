"""Planted leaks between scenes are found, and a clean split is silent."""

from pathlib import Path

import numpy as np
import pytest
from leakage_factory import APART, textured, write_fields, write_scenes
from scene_factory import make_data, make_pairs, make_series, make_values, reader_of, source_of

from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.leakage import Check, LeakageAudit
from eoseg.datasets.leakage_scenes import audit_scenes, ground_of, sample_labels
from eoseg.datasets.split_file import Region, Split
from eoseg.datasets.splits import make_split
from eoseg.datasets.survey import survey_labels
from eoseg.geo.window import Window

FILES = {"method": "files", "val": ["b"], "test": ["c"]}


def audited(source: SceneSource, chip_size: int = 32, **split: object) -> LeakageAudit:
    reader = reader_of(source)
    survey = survey_labels(reader, chip_size=chip_size)
    config = SplitConfig(**(split or FILES))  # type: ignore[arg-type]
    made = make_split(reader.index, survey, config, chip_size=chip_size)
    return audit_scenes(reader, made, survey, chip_size=chip_size)


def check_of(found: LeakageAudit, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def bad(found: LeakageAudit) -> list[str]:
    return [check.name for check in found.checks if check.level in ("warning", "error")]


def test_a_clean_split_is_silent(tmp_path: Path):
    found = audited(write_scenes(tmp_path, APART))
    assert (found.verdict, bad(found)) == ("clean", [])
    assert [check.level for check in found.checks] == ["clean"] * 5
    assert found.map is not None
    assert {outline.split for outline in found.map.outlines} == {"train", "val", "test"}


def test_blocks_of_one_scene_whose_labels_reach_no_further_than_a_patch_are_clean(tmp_path: Path):
    source = write_scenes(tmp_path, {"a": APART["a"]}, size=(512, 512))
    found = audited(source, method="blocks", block_size=128)
    assert bad(found) == []
    assert check_of(found, "source").text.startswith("train and test share 1 of 1 scenes")
    distance = check_of(found, "distance").numbers
    assert 80 < float(str(distance["range"])) < 260  # patches of 80 m
    assert float(str(distance["least distance"])) >= 80  # the buffer of a quarter of a chip


def test_random_chips_are_nearer_than_labels_are_alike(tmp_path: Path):
    source = write_scenes(tmp_path, {"a": APART["a"]}, size=(256, 256))
    found = audited(source, chip_size=8, method="random")
    assert bad(found) == ["distance"]
    assert found.verdict == "doubtful"


@pytest.mark.parametrize("rows", [1, 40])
def test_a_row_of_pixels_in_two_splits_is_an_error(tmp_path: Path, rows: int):
    below = (500_000.0, 5_400_000.0 - 10 * (96 - rows))
    found = audited(write_scenes(tmp_path, {**APART, "c": below}))
    assert bad(found)[0] == "ground"
    assert check_of(found, "ground").level == "error"
    assert check_of(found, "ground").numbers["train-test area"] == pytest.approx(rows * 96 * 100)
    assert found.map is not None
    assert len(found.map.shared) == 1


def test_scenes_side_by_side_share_nothing(tmp_path: Path):
    below = (500_000.0, 5_400_000.0 - 960)
    found = audited(write_scenes(tmp_path, {**APART, "c": below}))
    assert check_of(found, "ground").level == "clean"


def test_ground_where_one_side_has_no_label_is_not_shared(tmp_path: Path):
    source = write_scenes(tmp_path, {**APART, "c": (500_000.0, 5_400_000.0 - 800)})
    reader = reader_of(source)
    survey = survey_labels(reader, chip_size=32)
    survey.counts["c"][:2] = 0  # its upper 16 rows, which lie in 'a'
    made = make_split(reader.index, survey, SplitConfig(**FILES), chip_size=32)
    found = audit_scenes(reader, made, survey, chip_size=32)
    assert check_of(found, "ground").level == "clean"


@pytest.mark.parametrize("change", [lambda image: image, lambda image: 0.7 * image + 150])
def test_a_chip_of_one_scene_in_another_is_found(tmp_path: Path, change):
    first, third = (textured(np.random.default_rng(seed), 96, 96) for seed in (7, 9))
    third[:, 32:64, :32] = change(first[:, :32, 64:])
    found = audited(write_scenes(tmp_path, APART, images={"a": first, "c": third}))
    assert bad(found) == ["duplicates"]
    check = check_of(found, "duplicates")
    assert check.level == "warning"
    assert check.examples == ("a@0,64 and c@32,0",)
    assert check.numbers["train-test"] == 1


def test_one_file_under_two_names_is_an_error(tmp_path: Path):
    source = write_scenes(tmp_path, APART)
    folder = tmp_path / "images"
    (folder / "b.tif").write_bytes((folder / "a.tif").read_bytes())
    (tmp_path / "labels" / "b.tif").write_bytes((tmp_path / "labels" / "a.tif").read_bytes())
    found = audited(source)
    assert "'a' and 'b' are the same file but lie in different splits" in check_of(found, "duplicates").text
    assert check_of(found, "ground").level == "error"


def test_a_polygon_cut_by_the_split_is_found_with_its_share(tmp_path: Path):
    write_scenes(tmp_path, {"a": APART["a"]})
    left, top = APART["a"]
    write_fields(
        tmp_path / "fields.gpkg",
        [
            (left, top - 400, left + 300, top),
            (left, top - 900, left + 500, top - 500),
            (left + 600, top - 900, left + 900, top - 600),
        ],
        ["dry", "wet", "dry"],
    )
    source = SceneSource(
        root=str(tmp_path),
        images="images/*.tif",
        labels="fields.gpkg",
        attribute="kind",
        classes=["dry", "wet"],
    )
    reader = reader_of(source)
    survey = survey_labels(reader, chip_size=32)

    def cut(row: int) -> Check:
        regions = (
            Region("a", Window(0, 0, row, 96), "train"),
            Region("a", Window(row, 0, 96 - row, 96), "test"),
        )
        found = audit_scenes(reader, Split("blocks", 0, {}, regions), survey, chip_size=32)
        assert found.map is not None
        assert len(found.map.cut) == int(str(check_of(found, "polygons").numbers["polygons on both sides"]))
        return check_of(found, "polygons")

    assert cut(45).level == "clean"
    through = cut(70)  # row 70 goes through the two polygons below
    assert through.level == "warning"
    assert through.examples == ("feature 1", "feature 2")
    assert through.text.startswith("2 of 2 label polygons of the test split lie in train too, with 100%")


def test_dates_on_both_sides_are_a_note(tmp_path: Path):
    origins = {f"{name}_2021-06-0{day}": APART[name] for name, day in (("a", 1), ("b", 2), ("c", 1))}
    split = {"method": "files", "val": ["b*"], "test": ["c*"]}
    check = check_of(audited(write_scenes(tmp_path, origins), **split), "source")
    assert (check.level, check.numbers["dates on both sides"]) == ("note", 1)
    assert "1 date (2021-06-01)" in check.text


def test_pairs_series_values_and_scenes_without_labels_are_audited(tmp_path: Path):
    sizes = dict.fromkeys("abc", (64, 64))
    # These pairs and series are the same in each scene, but for their place.
    for make, name, leaks in ((make_pairs, "p", True), (make_series, "s", True), (make_values, "v", False)):
        found = audited(make(tmp_path / name, sizes), chip_size=16, method="files", val=["b*"], test=["c*"])
        assert bad(found) == (["duplicates"] if leaks else [])
        assert check_of(found, "distance").level == "clean"
    make_data(tmp_path / "d", sizes)
    found = audited(source_of(tmp_path / "d", labels=None, classes=None), chip_size=16)
    assert bad(found) == []
    assert check_of(found, "distance").level == "unknown"


def test_scenes_without_crs_are_told_apart_by_their_pixels(tmp_path: Path):
    source = write_scenes(tmp_path, {"a": APART["a"]}, size=(256, 256), crs=None)
    found = audited(source, method="blocks", block_size=64)
    assert check_of(found, "ground").level == "unknown"
    assert check_of(found, "distance").numbers["unit"] == "px"
    assert found.map is not None


def test_labels_are_sampled_where_they_are(tmp_path: Path):
    reader = reader_of(write_scenes(tmp_path, APART))
    survey = survey_labels(reader, chip_size=32)
    made = make_split(reader.index, survey, SplitConfig(**FILES), chip_size=32)
    plan = ground_of(reader.index, made).plan
    parts = {part.scene: number for number, part in enumerate(plan.parts)}
    places, values = sample_labels(reader, plan, parts, survey, 3)
    assert len(places) == len(values) > 1000
    for (x, y), value in zip(places[:50].tolist(), values[:50].tolist(), strict=True):
        name = next(n for n, (left, _) in APART.items() if left <= x <= left + 960)
        row, col = int((5_400_000 - y) / 10), int((x - APART[name][0]) / 10)
        assert reader.read_labels(name, Window(row, col, 1, 1))[0, 0] == value
