"""The world of the course holds what its chapters are about, and no more."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from eoseg.datasets.course_world import (
    CHANGE_CLASSES,
    COURSE_CLASSES,
    DAYS,
    MIDSUMMER,
    Place,
    make_course_place,
    make_course_world,
)
from eoseg.errors import ConfigError, OutputError

SINGLE, DOUBLE = 3, 4


@pytest.fixture(scope="module")
def places() -> list[Place]:
    return [make_course_place(0, number, 160) for number in range(3)]


def over_clouds(course: np.ndarray) -> np.ndarray:
    """A pixel's year, straight lines in place of clouds."""
    seen = np.flatnonzero(~np.isnan(course))
    return np.interp(np.arange(len(course)), seen, course[seen])


def test_every_class_and_change_occurs(places: list[Place]) -> None:
    for name, spec in (("classes", COURSE_CLASSES), ("change", CHANGE_CLASSES)):
        found = np.unique(np.concatenate([getattr(place, name).ravel() for place in places]))
        np.testing.assert_array_equal(found, np.arange(len(spec)))


def test_one_day_does_not_tell_single_from_double_crops_but_the_year_does(places: list[Place]) -> None:
    # The best threshold on one day's NDVI is little better than chance ...
    def ndvi(place: Place, look: int) -> np.ndarray:
        red, nir = place.looks[look][2].astype(float), place.looks[look][3].astype(float)
        return (nir - red) / np.maximum(nir + red, 1)

    fields = [np.isin(place.classes, (SINGLE, DOUBLE)) for place in places]
    truth = np.concatenate(
        [place.classes[there] == DOUBLE for place, there in zip(places, fields, strict=True)]
    )
    day = np.concatenate([ndvi(p, MIDSUMMER)[there] for p, there in zip(places, fields, strict=True)])
    cuts = [np.mean((day > cut) == truth) for cut in np.quantile(day, np.linspace(0.05, 0.95, 19))]
    assert max(*cuts, *(1 - cut for cut in np.array(cuts))) < 0.68
    # ... but how often NDVI rises over the year (clouds left out) differs.
    rises = []
    for place, there in zip(places, fields, strict=True):
        course = np.stack(
            [np.where(look[3] > 0, ndvi(place, k), np.nan) for k, look in enumerate(place.looks)]
        )
        gaps = np.apply_along_axis(over_clouds, 0, course[:, there])
        green = gaps > 0.45
        rises.append((np.diff(green.astype(int), axis=0) == 1).sum(axis=0))
    count = np.concatenate(rises)
    assert count[truth].mean() > count[~truth].mean() + 0.3


def test_midsummer_is_clear_and_other_days_are_cloudy(places: list[Place]) -> None:
    cloudy = np.array([[(look[3] == 0).mean() for look in place.looks] for place in places])
    assert (cloudy[:, MIDSUMMER] == 0).all()
    assert 0.12 < cloudy.mean() < 0.35
    assert len(places[0].looks) == len(DAYS)


def test_what_differs_most_is_not_what_changed(places: list[Place]) -> None:
    recalled = []
    for place in places:
        before, after = place.looks[MIDSUMMER].astype(float), place.later.astype(float)
        magnitude = np.linalg.norm(after - before, axis=0)
        changed = place.change > 0
        largest = magnitude >= np.quantile(magnitude, 1 - changed.mean())
        recalled.append((largest & changed).sum() / changed.sum())
    assert np.mean(recalled) < 0.6  # as many pixels as changed, taken by difference alone


def test_taller_trees_are_darker(places: list[Place]) -> None:
    for place in places:
        forest = place.classes == 1
        nir = place.looks[MIDSUMMER][3]
        tall = np.median(place.height[forest])
        assert nir[forest & (place.height > tall)].mean() < 0.95 * nir[forest & (place.height <= tall)].mean()
        assert (place.height[place.classes == 0] == 0).all()


def test_a_world_is_written_on_one_grid_per_place_and_is_the_same_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_course_world(tmp_path / name, seed=1, places=2, size=64)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.tif"))
    assert len(files) == 2 * (len(DAYS) + 5)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    grids = set()
    for file in files:
        if "place_01" in str(file):
            with rasterio.open(tmp_path / "one" / file) as source:
                grids.add((source.transform, source.shape, source.crs.to_epsg()))
    assert len(grids) == 1
    with rasterio.open(tmp_path / "one" / "change" / "place_00.tif") as source:
        assert source.nodata == 255


def test_what_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found 0 of 256 px"):
        make_course_world(tmp_path / "world", places=0)
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "file").touch()
    with pytest.raises(OutputError, match="holds files already"):
        make_course_world(tmp_path / "held", places=1, size=64)
