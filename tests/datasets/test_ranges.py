from pathlib import Path

import numpy as np
import pytest
from scene_factory import dated_image, make_data, make_series, position_image, reader_of

from eoseg.datasets.ranges import survey_values


def test_values_and_validity_of_all_scenes_are_found(tmp_path: Path):
    images = {"a": position_image(30, 40), "b": position_image(30, 40, offset=100)}
    images["b"][:, :15] = 0
    reader = reader_of(make_data(tmp_path, {"a": (30, 40), "b": (30, 40)}, images=images, nodata=0))
    found = survey_values(reader)
    rows = np.concatenate([images["a"][0].ravel(), images["b"][0, 15:].ravel()]).astype(float)
    assert found.valid_share == {"a": 1, "b": 0.5}
    assert found.bands[0].mean == pytest.approx(rows.mean())
    assert (found.bands[0].low, found.bands[0].high) == pytest.approx(tuple(np.percentile(rows, [2, 98])))
    assert found.fills == ()


def test_all_dates_count_together(tmp_path: Path):
    found = survey_values(reader_of(make_series(tmp_path, {"a": (30, 40)})))
    values = np.stack([dated_image(30, 40, step) for step in range(3)]).astype(float)  # (T, C, h, w)
    known = values[:, 0] != 0
    assert found.valid_share["a/S2"] == pytest.approx(known.mean())
    assert found.bands[1].mean == pytest.approx(values[:, 1][known].mean())
    assert found.fills == ()


def filled(shape: tuple[int, int], value: int) -> np.ndarray:
    """A slanted swath: one corner is filled."""
    image = position_image(*shape)
    rows, cols = np.indices(shape)
    image[:, rows + cols < 15] = value
    return image


@pytest.mark.parametrize("value", [0, 255, 65_535])
def test_a_fill_up_to_a_corner_is_found(tmp_path: Path, value: int):
    images = {"a": filled((30, 40), value), "b": position_image(30, 40)}
    (fill,) = survey_values(
        reader_of(make_data(tmp_path, {"a": (30, 40), "b": (30, 40)}, images=images))
    ).fills
    assert (fill.value, fill.scenes) == (value, 1)
    assert fill.share == pytest.approx(120 / 1200)


def test_a_declared_fill_is_none(tmp_path: Path):
    source = make_data(tmp_path, {"a": (30, 40)}, images={"a": filled((30, 40), 255)}, nodata=255)
    assert survey_values(reader_of(source)).fills == ()


def test_dark_pixels_inside_the_scene_are_no_fill(tmp_path: Path):
    image = position_image(30, 40)
    image[:, 10:20, 10:20] = 0
    assert survey_values(reader_of(make_data(tmp_path, {"a": (30, 40)}, images={"a": image}))).fills == ()


def test_a_scene_without_a_value_has_no_statistics(tmp_path: Path):
    image = np.zeros((2, 30, 40), np.uint16)
    found = survey_values(reader_of(make_data(tmp_path, {"a": (30, 40)}, images={"a": image}, nodata=0)))
    assert found.bands == ()
    assert found.valid_share == {"a": 0}
