import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_factory import (
    dated_image,
    heights,
    make_data,
    make_pairs,
    make_series,
    make_values,
    position_image,
    reader_of,
    source_of,
    striped_labels,
)

from eoseg.datasets.config import SceneSource
from eoseg.datasets.splits import Region
from eoseg.datasets.statistics import RunningMoments, statistics_json, survey_training
from eoseg.errors import DataError
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

RNG = np.random.default_rng(0)
NOISE = RNG.normal(20_000, 3, (2, 700, 40)).round().clip(1, 65_535).astype(np.uint16)
NOISE[:, :50] = 0  # nodata
REGIONS = (Region("a", Window(0, 0, 600, 30), "train"), Region("a", Window(650, 10, 50, 30), "train"))


def survey(folder: Path, image: np.ndarray, labels: np.ndarray | None = None, seed: int = 0, chip: int = 16):
    source = make_data(
        folder,
        {"a": image.shape[1:]},
        images={"a": image},
        labels={"a": striped_labels(*image.shape[1:]) if labels is None else labels},
        nodata=0,
    )
    return survey_training(reader_of(source), REGIONS, chip_size=chip, seed=seed)


def test_statistics_equal_those_of_everything_at_once(tmp_path: Path):
    found = survey(tmp_path, NOISE).statistics
    parts = [NOISE[:, r.window.row : r.window.row_stop, r.window.col : r.window.col_stop] for r in REGIONS]
    values = np.concatenate([part.reshape(2, -1) for part in parts], axis=1).astype(np.float64)
    valid = values[:, (values != 0).all(axis=0)]
    assert found.pixels == values.shape[1]
    assert found.valid_pixels == valid.shape[1]
    assert found.nodata_share == pytest.approx(1 - valid.shape[1] / values.shape[1])
    assert found.dtype == "uint16"
    for band, own in zip(found.bands, valid, strict=True):
        assert band.mean == pytest.approx(own.mean(), rel=1e-12)
        assert band.std == pytest.approx(own.std(), rel=1e-9)
        assert (band.minimum, band.maximum) == (own.min(), own.max())
        assert (band.low, band.high) == tuple(np.percentile(own, [2, 98]))


def test_pixels_outside_the_training_regions_have_no_influence(tmp_path: Path):
    changed = NOISE.copy()
    changed[:, 600:650] = 60_000
    changed[:, :, 30:][:, :650] = 60_000
    changed[:, 650:, :10] = 60_000
    assert survey(tmp_path / "1", NOISE).statistics == survey(tmp_path / "2", changed).statistics


def test_classes_count_where_the_image_is_valid(tmp_path: Path):
    labels = np.full((700, 40), IGNORE, np.uint8)
    labels[40:60, :10] = 1  # ten of these rows are nodata
    found = survey(tmp_path, NOISE, labels)
    assert found.statistics.class_pixels == (0, 100, 0)
    assert sum(int(cells.sum()) for cells in found.labelled) == 100
    assert found.labelled[0].shape == (300, 15)  # cells of an eighth of a chip
    np.testing.assert_array_equal(np.unique(np.nonzero(found.labelled[0])[0]), np.arange(25, 30))


def test_the_sample_for_percentiles_is_seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("eoseg.datasets.statistics._SAMPLE", 500)
    wide = RNG.integers(1, 60_000, (2, 700, 40)).astype(np.uint16)
    lows = [survey(tmp_path, wide, seed=seed).statistics.bands[0].low for seed in (1, 1, 2)]
    assert lows[0] == lows[1] != lows[2]
    assert lows[0] == pytest.approx(1200, rel=0.5)


def test_training_regions_without_values_or_labels_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="hold no valid pixel"):
        survey(tmp_path / "1", np.zeros_like(NOISE))
    with pytest.raises(DataError, match="no labelled valid pixel"):
        survey(tmp_path / "2", NOISE, np.full((700, 40), IGNORE, np.uint8))


@pytest.mark.parametrize("read_px", [512, 30])
@pytest.mark.parametrize(("make", "steps"), [(make_pairs, 2), (make_series, 3)])
def test_all_dates_count_together(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[..., SceneSource],
    steps: int,
    read_px: int,
):
    monkeypatch.setattr("eoseg.datasets.statistics._READ_PX", read_px)
    reader = reader_of(make(tmp_path, {"a": (40, 50)}))
    (scene,) = reader.index.entries
    region = Region(scene, Window(0, 0, 40, 30), "train")
    found = survey_training(reader, [region], chip_size=16, seed=0).statistics
    values = np.stack([dated_image(40, 50, step)[:, :, :30] for step in range(steps)])  # (T, C, h, w)
    valid = values[:, 0] != 0
    assert (found.pixels, found.valid_pixels) == (steps * 40 * 30, valid.sum())
    for band, own in zip(found.bands, np.moveaxis(values, 1, 0), strict=True):
        known = own[valid].astype(np.float64)
        assert band.mean == pytest.approx(known.mean())
        assert band.std == pytest.approx(known.std())
        assert (band.low, band.high) == pytest.approx(tuple(np.percentile(known, [2, 98])))
    usable = valid.all(axis=0) if steps == 2 else valid.any(axis=0)
    labels = striped_labels(40, 50)[:, :30][usable]
    assert found.class_pixels == tuple(np.bincount(labels, minlength=3))
    assert found.target is None


def test_a_quantity_has_statistics_of_its_own(tmp_path: Path):
    reader = reader_of(make_values(tmp_path, {"a": (40, 50)}))
    region = Region("a", Window(0, 0, 40, 30), "train")
    surveyed = survey_training(reader, [region], chip_size=16, seed=0)
    values = heights(40, 50)[:, :30]
    usable = (values != -9999) & (position_image(40, 50)[:, :, :30] != 1).all(axis=0)  # 1 is nodata
    known = values[usable].astype(np.float64)
    found = surveyed.statistics
    assert found.class_pixels == (known.size,)
    assert sum(int(cells.sum()) for cells in surveyed.labelled) == known.size
    target = found.target
    assert target is not None
    assert target.name == "canopy height"
    assert (target.minimum, target.maximum) == (known.min(), known.max())
    assert target.mean == pytest.approx(known.mean())
    assert target.std == pytest.approx(known.std())
    assert (target.low, target.high) == pytest.approx(tuple(np.percentile(known, [2, 98])))
    assert json.loads(statistics_json(found))["target"]["name"] == "canopy height"


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 9))
def test_moments_of_parts_are_the_moments_of_the_whole(sizes: list[int], seed: int):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(1e6, 1e-2, (3, size)) for size in sizes]
    moments = RunningMoments.of(3)
    for part in parts:
        moments.update(part)
    whole = np.concatenate(parts, axis=1)
    assert moments.count == whole.shape[1]
    if whole.shape[1]:
        np.testing.assert_allclose(moments.mean, whole.mean(axis=1), rtol=1e-13)
        np.testing.assert_allclose(moments.std, whole.std(axis=1), rtol=1e-6, atol=1e-12)


def test_statistics_are_written_as_json(tmp_path: Path):
    statistics = survey(tmp_path, NOISE).statistics
    values = json.loads(statistics_json(statistics))
    assert values["bands"][0]["name"] == "B1"
    assert values["class_pixels"] == list(statistics.class_pixels)
    assert values["balanced_weights"] == pytest.approx(list(statistics.balanced_weights))


def test_without_labels_the_bands_have_the_same_statistics_and_valid_pixels_one_count(tmp_path: Path):
    make_data(tmp_path, {"a": (40, 50)}, nodata=1)
    regions = [Region("a", Window(0, 0, 40, 50), "train")]
    found = [
        survey_training(reader_of(source_of(tmp_path, **options)), regions, chip_size=16, seed=0).statistics
        for options in ({}, {"labels": None, "classes": None})
    ]
    assert found[0].bands == found[1].bands
    assert found[1].class_pixels == (found[1].valid_pixels,) == (39 * 49,)
    assert found[1].target is None
