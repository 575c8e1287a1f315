import logging
from pathlib import Path

import geopandas
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_factory import heights, make_data, make_series, make_values, reader_of, source_of, striped_labels
from shapely.geometry import box

from eoseg.datasets.survey import cell_counts, survey_labels
from eoseg.errors import DataError
from eoseg.recipe import IGNORE


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None)  # other programs may use the cores
def test_cells_hold_the_counts_of_their_pixels(height: int, width: int, cell: int, seed: int):
    labels = np.random.default_rng(seed).choice(np.array([0, 1, 2, IGNORE], np.uint8), (height, width))
    counts = cell_counts(labels, cell, 3)
    for row in range(counts.shape[0]):
        for col in range(counts.shape[1]):
            part = labels[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell]
            np.testing.assert_array_equal(counts[row, col], [(part == k).sum() for k in range(3)])
    assert counts.sum() == (labels != IGNORE).sum()


def test_all_scenes_are_counted_in_cells_of_a_quarter_chip(tmp_path: Path):
    source = make_data(tmp_path, {"a": (40, 50), "b": (30, 30)})
    survey = survey_labels(reader_of(source), chip_size=32)
    assert survey.cell == 8
    assert survey.counts["a"].shape == (5, 7, 3)
    both = np.concatenate([striped_labels(40, 50).ravel(), striped_labels(30, 30).ravel()])
    assert survey.class_pixels == np.bincount(both).tolist()


def test_cells_are_blocks_where_a_block_size_is_given_and_larger_in_large_scenes(tmp_path: Path):
    reader = reader_of(make_data(tmp_path, {"a": (40, 5000)}))
    assert survey_labels(reader, chip_size=32, block_size=24).cell == 24
    survey = survey_labels(reader, chip_size=32)
    assert survey.cell == 20  # 5000 / 256, rounded up
    assert sum(survey.class_pixels) == 40 * 5000


def test_a_value_outside_the_classes_is_found_before_training(tmp_path: Path):
    labels = striped_labels(40, 50)
    labels[39, 49] = 9
    reader = reader_of(make_data(tmp_path, {"a": (40, 50)}, labels={"a": labels}))
    with pytest.raises(DataError, match="label value 9 at row 39, column 49"):
        survey_labels(reader, chip_size=32)


def test_labels_of_series_and_quantities_are_counted(tmp_path: Path):
    series = survey_labels(reader_of(make_series(tmp_path / "s", {"a": (40, 50)})), chip_size=32)
    assert series.class_pixels == np.bincount(striped_labels(40, 50).ravel()).tolist()
    values = survey_labels(reader_of(make_values(tmp_path / "v", {"a": (40, 50)})), chip_size=32)
    assert values.counts["a"].shape == (5, 7, 1)
    assert values.class_pixels == [(heights(40, 50) != -9999).sum()]


def test_labels_that_say_nothing_are_refused(tmp_path: Path):
    labels = np.full((20, 20), IGNORE, np.uint8)
    with pytest.raises(DataError, match="No pixel of any scene is labelled"):
        survey_labels(reader_of(make_data(tmp_path, {"a": (20, 20)}, labels={"a": labels})), chip_size=8)


def test_conflicts_of_polygons_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    make_data(tmp_path, {"a": (20, 20)})
    shapes = [box(500_000, 5_399_900, 500_100, 5_400_000), box(500_050, 5_399_900, 500_150, 5_400_000)]
    frame = geopandas.GeoDataFrame({"kind": ["land", "water"]}, geometry=shapes, crs="EPSG:32632")
    frame.to_file(tmp_path / "l.gpkg")
    reader = reader_of(source_of(tmp_path, labels="l.gpkg", attribute="kind"))
    with caplog.at_level(logging.WARNING):
        survey = survey_labels(reader, chip_size=8)
    assert survey.conflicts == 50
    assert survey.class_pixels == [50, 50, 0]
    assert "50 pixels lie under polygons of different classes" in caplog.text


def test_without_labels_usable_pixels_are_counted(tmp_path: Path):
    make_data(tmp_path, {"a": (40, 50)}, nodata=1)  # the first row and the first column
    reader = reader_of(source_of(tmp_path, labels=None, classes=None))
    survey = survey_labels(reader, chip_size=32)
    assert survey.counts["a"].shape == (5, 7, 1)
    assert survey.class_pixels == [39 * 49]
    assert survey.counts["a"][0, 0, 0] == 7 * 7


def test_scenes_without_labels_and_without_values_are_refused(tmp_path: Path):
    make_data(tmp_path, {"a": (20, 20)}, images={"a": np.zeros((2, 20, 20), np.uint16)}, nodata=0)
    with pytest.raises(DataError, match="No scene holds a valid pixel"):
        survey_labels(reader_of(source_of(tmp_path, labels=None, classes=None)), chip_size=8)
