"""A filled sample is taken only as it was drawn."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from map_factory import write_map
from sample_factory import LAND, change, draw, fill, land

from eoseg.errors import DataError
from eoseg.evaluate.answers import (
    UNANSWERED,
    class_indices,
    in_order,
    require_answered,
    require_inside,
)
from eoseg.evaluate.sampling import Design
from eoseg.geo.grid import Grid
from eoseg.geo.sample_file import read_sample


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Path, Design]:
    map_path = write_map(tmp_path / "map.tif", land()[1], names=LAND)
    made = draw(map_path, tmp_path / "s.gpkg", points=40)
    return made.path, made.design


def test_answers_come_in_the_order_of_their_numbers(drawn: tuple[Path, Design]) -> None:
    path, design = drawn
    fill(path, [f"answer {number}" for number in range(1, 41)])
    change(path, "UPDATE points SET fid = 100 - fid")  # a program may write them in another order
    sample = read_sample(path)
    assert sample.ids.tolist()[0] == 40
    assert in_order(sample, design) == [f"answer {number}" for number in range(1, 41)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM points WHERE id IN (3, 9)", r"2 drawn points are no longer in .* \(numbers 3, 9\)"),
        ("UPDATE points SET id = 4 WHERE id = 3", r"holds points more than once \(number 4\)"),
        ("UPDATE points SET id = 77 WHERE id = 3", r"holds points that were not drawn \(number 77\)"),
        ("UPDATE points SET id = NULL WHERE id = 3", r"holds points that were not drawn \(number -1\)"),
        (
            "UPDATE points SET geom = (SELECT geom FROM points WHERE id = 1) WHERE id = 2",
            r"1 points .* no longer where they were drawn \(number 2\)",
        ),
        ("UPDATE points SET geom = NULL WHERE id = 2", r"no longer where they were drawn \(number 2\)"),
    ],
)
def test_points_that_are_not_as_they_were_drawn_are_refused(
    drawn: tuple[Path, Design], statement: str, message: str
) -> None:
    path, design = drawn
    change(path, statement)
    with pytest.raises(DataError, match=message):
        in_order(read_sample(path), design)


def test_points_outside_the_map_are_refused(drawn: tuple[Path, Design]) -> None:
    path, design = drawn
    sample = read_sample(path)
    require_inside(sample, design.grid, path="map.tif")
    elsewhere = Grid(design.grid.crs, Affine(10, 0, 500_000, 0, -10, 5_300_000), 120, 150)
    with pytest.raises(
        DataError, match=r"40 of 40 points .* outside 'map.tif' \(numbers 1, 2, 3, 4, 5 and so on\)"
    ):
        require_inside(sample, elsewhere, path="map.tif")
    rows = sorted(row for row, _, _ in design.points)
    smaller = Grid(design.grid.crs, design.grid.transform, rows[-1], 150)
    with pytest.raises(DataError, match=r"of 40 points .* outside"):
        require_inside(sample, smaller, path="map.tif")


def test_answers_are_classes_of_the_map() -> None:
    assert class_indices(["water", None, "forest"], LAND, path="s").tolist() == [2, UNANSWERED, 0]
    with pytest.raises(
        DataError,
        match="2 points of 's' are answered 'Forest'.* Did you mean 'forest'",
    ):
        class_indices(["Forest", "water", "Forest"], LAND, path="s")


def test_unanswered_points_are_refused_by_number() -> None:
    require_answered(np.array([1, 0]), path="s", source=None)
    with pytest.raises(
        DataError, match=r"2 of 3 points of 's' are not answered \(numbers 1, 3\).*--skip-unanswered"
    ):
        require_answered(np.array([-1, 0, -1]), path="s", source=None)
    with pytest.raises(DataError, match=r"1 of 2 points of 's' have no label in 'l.tif' \(number 2\)"):
        require_answered(np.array([0, -1]), path="s", source="l.tif")
