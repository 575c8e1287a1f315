from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from affine import Affine
from conftest import write_scene
from rasterio.crs import CRS

from eoseg.datasets.split_file import Region
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window
from eoseg.report.split_map import MOST_SCENES, scene_grids, split_map

UTM = CRS.from_epsg(32632)


def grid(col: float, row: float, size: int = 100) -> Grid:
    return Grid(UTM, Affine(10, 0, 500_000 + 10 * col, 0, -10, 5_400_000 - 10 * row), size, size)


def shapes(chart: str) -> dict[str, tuple[float, float, float, float]]:
    """Left, top, right and bottom of each polygon by its title."""
    found = {}
    for element in ElementTree.fromstring(chart).iter("polygon"):
        pairs = [tuple(map(float, pair.split(","))) for pair in (element.get("points") or "").split()]
        xs, ys = zip(*pairs, strict=True)
        found[element.find("title").text or ""] = (min(xs), min(ys), max(xs), max(ys))  # type: ignore[union-attr]
    return found


REGIONS = [
    Region("west", Window(0, 0, 100, 50), "train"),
    Region("west", Window(0, 60, 100, 40), "val"),
    Region("east", Window(0, 0, 100, 100), "test"),
]


def test_scenes_lie_where_they_are_on_the_ground() -> None:
    chart, note = split_map(REGIONS, {"west": grid(0, 0), "east": grid(150, 50)})
    assert note == "The scenes where they lie, north up."
    drawn = shapes(chart)
    west, east = drawn["west"], drawn["east"]
    side = west[2] - west[0]
    assert east[0] - west[0] == pytest.approx(1.5 * side, rel=0.01)
    assert east[1] - west[1] == pytest.approx(0.5 * side, rel=0.01)  # southeast
    assert drawn["west: train"][2] - drawn["west: train"][0] == pytest.approx(side / 2, rel=0.01)
    assert drawn["west: val"][0] - west[0] == pytest.approx(0.6 * side, rel=0.01)
    assert "var(--train)" in chart
    assert "var(--test)" in chart


@pytest.mark.parametrize(
    "grids",
    [
        {},
        {"west": grid(0, 0)},
        {"west": grid(0, 0), "east": grid(0, 0)},  # on top of each other
        {"west": grid(0, 0), "east": grid(100_000, 0)},  # two specks
        {"west": grid(0, 0), "east": grid(500, 0)},  # the same in a flat strip
        {"west": grid(0, 0), "east": grid(150, 0, size=50)},  # other files by now
        {"west": grid(0, 0), "east": Grid(None, Affine.identity(), 100, 100)},
    ],
)
def test_scenes_whose_places_show_nothing_are_drawn_by_themselves(grids: dict[str, Grid]) -> None:
    chart, note = split_map(REGIONS, grids)
    assert note == "Each scene by itself."
    drawn = shapes(chart)
    assert drawn["west"][2] < drawn["east"][0]
    assert drawn["west: val"][2] <= drawn["west"][2]
    assert set(drawn) == {"west", "east", "west: train", "west: val", "east: test"}


def test_of_very_many_scenes_some_are_drawn() -> None:
    many = [Region(f"s{number}", Window(0, 0, 8, 8), "train") for number in range(MOST_SCENES + 5)]
    chart, note = split_map(many, {})
    assert f"The first {MOST_SCENES} of {MOST_SCENES + 5} scenes" in note
    assert chart.count("<polygon") == 2 * MOST_SCENES


def test_grids_are_found_by_the_names_of_the_split(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scene(tmp_path / "images" / f"{name}.tif", np.ones((4, 6), np.uint8))
    scenes = {"root": str(tmp_path), "images": "images/*.tif"}
    found = scene_grids({"data": {"init_args": {"scenes": scenes}}})
    assert list(found) == ["a", "b"]
    assert (found["a"].height, found["a"].width) == (4, 6)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"data": {"init_args": {"chips": {}}}},
        {"data": {"init_args": {"scenes": {"images": "none/*.tif"}}}},
        {"data": {"init_args": {"scenes": {"images": "a.tif", "other": 1}}}},
    ],
)
def test_data_that_are_not_here_have_no_grids(config: dict[str, object]) -> None:
    assert scene_grids(config) == {}
