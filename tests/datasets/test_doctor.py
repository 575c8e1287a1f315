import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scene_factory import (
    make_data,
    make_pairs,
    make_series,
    make_values,
    position_image,
    source_of,
    striped_labels,
)

from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.diagnosis import Diagnosis
from eoseg.datasets.doctor import diagnose
from eoseg.errors import ConfigError, DataError
from eoseg.recipe import IGNORE

SIZE = (160, 160)


def examine(source: SceneSource, chip_size: int = 16, **split: Any) -> Diagnosis:
    return diagnose(source, chip_size, SplitConfig(**split))


def texts(diagnosis: Diagnosis, level: str) -> list[str]:
    return [problem.text for problem in diagnosis.problems if problem.level == level]


def test_healthy_data_have_facts_and_no_problem(tmp_path: Path):
    found = examine(make_data(tmp_path, {"a": SIZE, "b": SIZE}, nodata=160))
    assert found.problems == []
    assert [scene.id for scene in found.scenes] == ["a", "b"]
    assert (found.scenes[0].crs, found.scenes[0].pixel) == ("EPSG:32632", "10 m")
    assert found.scenes[0].nodata_share == pytest.approx(1 - (159 / 160) ** 2)
    assert (found.dtype, found.nodata, found.band_names) == ("uint16", 160, ["B1", "B2"])
    assert [facts.name for facts in found.splits] == ["train", "val", "test"]
    assert sum(found.class_pixels) == 2 * 160 * 160
    for facts in found.splits:
        assert sum(facts.class_pixels) == facts.valid_pixels < facts.pixels
        assert facts.chips >= facts.pixels / 256


def test_pairs_series_and_quantities_are_examined(tmp_path: Path):
    pairs = examine(make_pairs(tmp_path / "p", {"a": SIZE}))
    series = examine(make_series(tmp_path / "s", {"a": SIZE}))
    values = examine(make_values(tmp_path / "v", {"a": SIZE}))
    assert (pairs.problems, series.problems) == ([], [])
    # Heights grow from one corner to the other, so they are alike as far as the scene reaches.
    assert [problem.text[:40] for problem in values.problems] == ["Labels resemble each other up to at leas"]
    assert values.classes == ["canopy height"]
    for facts in pairs.splits:
        assert sum(facts.class_pixels) == facts.valid_pixels < facts.pixels
    for facts in series.splits:
        assert sum(facts.class_pixels) == facts.valid_pixels == facts.pixels
    assert [len(facts.class_pixels) for facts in values.splits] == [1, 1, 1]


def test_weights_follow_the_formula_on_training_pixels(tmp_path: Path):
    found = examine(make_data(tmp_path, {"a": SIZE}))
    counts = np.array(found.splits[0].class_pixels)
    np.testing.assert_allclose(found.class_weights, counts.sum() / (3 * counts))


def test_a_fill_that_is_not_declared_comes_with_the_line_to_add(tmp_path: Path):
    image = position_image(*SIZE)
    image[:, :40] = 0
    (text,) = texts(examine(make_data(tmp_path, {"a": SIZE}, images={"a": image})), "warning")
    assert "0 fills 25.0% of 1 scene in every band" in text
    assert text.endswith("Add under scenes: nodata: 0")
    assert examine(source_of(tmp_path, nodata=0)).problems == []


def test_label_errors_are_reported_beside_the_facts_of_the_scenes(tmp_path: Path):
    labels = striped_labels(*SIZE)
    labels[5, 6] = 200
    found = examine(make_data(tmp_path, {"a": SIZE}, labels={"a": labels}))
    assert found.has_errors
    assert "label value 200 at row 5, column 6" in texts(found, "error")[0]
    assert found.bands
    assert found.scenes


def test_absent_rare_and_unbalanced_classes_are_said(tmp_path: Path):
    labels = np.zeros(SIZE, np.uint8)
    labels[:6, :6] = 1
    found = " ".join(texts(examine(make_data(tmp_path, {"a": SIZE}, labels={"a": labels})), "warning"))
    assert "No pixel is labelled forest" in found
    assert "The val split has no valid pixel of land: without a figure there" in found
    assert "Very few training pixels: land (36)" in found
    assert "class_weights: balanced" in found


def test_a_split_whose_labels_are_all_nodata_is_an_error(tmp_path: Path):
    images = {"a": position_image(*SIZE), "b": np.zeros((2, *SIZE), np.uint16)}
    source = make_data(tmp_path, {"a": SIZE, "b": SIZE}, images=images, nodata=0)
    found = examine(source, method="files", val=["b"], test=[])
    assert texts(found, "error") == [
        "The val split has no labelled valid pixel. Change the split or the labels."
    ]
    assert any("1 scenes hold no valid pixel (first: 'b')" in text for text in texts(found, "warning"))


def test_scenes_without_any_value_are_an_error(tmp_path: Path):
    images = {"a": np.zeros((2, *SIZE), np.uint16)}
    found = examine(make_data(tmp_path, {"a": SIZE}, images=images, nodata=0))
    assert "No scene holds a valid pixel" in texts(found, "error")[0]


def test_unlabelled_data_are_an_error(tmp_path: Path):
    labels = np.full(SIZE, IGNORE, np.uint8)
    found = examine(make_data(tmp_path, {"a": SIZE}, labels={"a": labels}))
    assert "No pixel of any scene is labelled" in texts(found, "error")[0]


def test_random_splits_are_warned_of(tmp_path: Path):
    found = examine(make_data(tmp_path, {"a": SIZE}), method="random")
    assert any("Random chips have neighbours" in text for text in texts(found, "warning"))


def test_warnings_become_problems_and_are_not_logged_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    from conftest import write_scene

    source = make_data(tmp_path, {"a": SIZE})
    write_scene(tmp_path / "labels" / "a.tif", striped_labels(*SIZE), crs=None)
    with caplog.at_level(logging.WARNING):
        found = examine(source)
    assert any("1 labels have no CRS" in text for text in texts(found, "warning"))
    assert caplog.text == ""
    assert logging.getLogger("eoseg").propagate


def test_what_cannot_be_examined_at_all_is_raised(tmp_path: Path):
    with pytest.raises(DataError, match="there is no folder"):
        examine(source_of(tmp_path))
    with pytest.raises(ConfigError, match="chip_size must be at least 8"):
        examine(make_data(tmp_path, {"a": SIZE}), chip_size=2)


@pytest.mark.real
def test_a_real_scene_with_an_undeclared_frame_is_diagnosed(real_data: Path):
    source = SceneSource(
        root=str(real_data / "rachel_carson_s2"),
        images="*.tif",
        labels="*.shp",
        attribute="Classname",
        classes={"sand": ["Sand", "WetSand"], "rest": ["Emergent Wetland", "Forested Wetland"]},
        ignore=["Herbaceous", "Subtidal Haline"],
    )
    found = examine(source, chip_size=64)
    assert any("Add under scenes: nodata: 255" in text for text in texts(found, "warning"))
    assert found.scenes[0].pixel == "8.985e-05 x 7.391e-05 deg (about 8.23 x 8.23 m)"
    assert not any("not square" in text for text in texts(found, "warning"))
    assert {facts.verdict for facts in found.bands} == {"8 bit, 0-255"}


def test_scenes_without_labels_are_examined(tmp_path: Path):
    make_data(tmp_path, {"a": (128, 160), "b": (100, 90)})
    found = examine(source_of(tmp_path, labels=None, classes=None))
    assert (found.problems, found.classes, found.class_pixels, found.class_weights) == ([], [], [], [])
    assert [facts.name for facts in found.splits] == ["train", "val", "test"]
    assert all(facts.class_pixels == (facts.valid_pixels,) for facts in found.splits)


def test_a_split_without_a_valid_pixel_is_an_error_also_without_labels(tmp_path: Path):
    empty = np.zeros((2, 64, 64), np.uint16)
    make_data(tmp_path, {"a": (64, 64), "b": (64, 64)}, images={"b": empty}, nodata=0)
    found = examine(source_of(tmp_path, labels=None, classes=None), method="files", val=["b"], test=[])
    assert any("The val split has no valid pixel" in text for text in texts(found, "error"))
