"""How shared ground and distances are judged."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from eoseg.datasets.leakage_ground import (
    Ground,
    check_distance,
    check_ground,
    map_of,
    said_area,
    said_length,
)
from eoseg.geo.grid import Grid
from eoseg.geo.ground_plan import GroundPart, plan_ground
from eoseg.geo.window import Window

SCENE = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 1000, 1000)


def ground_of(grid: Grid = SCENE, **windows: Window) -> Ground:
    """Parts of one scene by their split."""
    plan = plan_ground([GroundPart("a", grid, window) for window in windows.values()])
    numbers = np.array([("train", "val", "test").index(name) for name in windows])
    return Ground(plan, numbers, [f"{name} part" for name in windows], 0)


def labels(length: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Places all over the scene; classes in squares of a length in metres, drawn by lot."""
    rng = np.random.default_rng(seed)
    places = np.stack(
        [500_000 + rng.uniform(0, 10_000, 1500), 5_390_000 + rng.uniform(0, 10_000, 1500)], axis=1
    )
    cells = np.floor((places - places.min(axis=0)) / length).astype(int)
    classes = rng.integers(0, 3, (cells.max() + 1, cells.max() + 1))
    return places, classes[cells[:, 0], cells[:, 1]].astype(float)


def test_shared_ground_is_an_error_with_its_area_and_of_a_benchmark_a_warning():
    ground = ground_of(train=Window(0, 0, 500, 1000), test=Window(499, 0, 501, 1000))
    shared = ground.plan.shared(ground.splits)[0]
    check = check_ground(ground, shared, is_benchmark=False)
    assert check.level == "error"
    assert (
        "train and test share 0.1 km2 of ground in 1 place (most: 'train part' and 'test part'" in check.text
    )
    assert check.numbers == {"train-test places": 1, "train-test area": 100_000.0}
    assert check.text.endswith("(split.method files).")
    assert check_ground(ground, shared, is_benchmark=True).level == "warning"
    assert check_ground(ground, [], is_benchmark=False).level == "clean"


def test_without_a_crs_shared_ground_cannot_be_told():
    ground = ground_of(Grid(None, Affine.identity(), 9, 9), train=Window(0, 0, 4, 9), test=Window(5, 0, 4, 9))
    assert check_ground(ground, [], is_benchmark=False).level == "unknown"


def test_test_ground_within_the_range_of_training_ground_is_a_warning():
    ground = ground_of(train=Window(0, 0, 1000, 450), test=Window(0, 460, 1000, 60))
    near = check_distance(ground, *labels(2500), categorical=True, longest=7000, seed=0)
    assert near.level == "warning"
    assert near.numbers["share within range"] == 1
    assert float(str(near.numbers["autocorrelation"])) > 0.5
    assert near.numbers["least distance"] == pytest.approx(100, abs=5)
    assert near.numbers["median distance"] == pytest.approx(400, abs=20)
    assert float(str(near.numbers["range"])) > 1500
    far = check_distance(ground, *labels(80), categorical=True, longest=7000, seed=0)
    assert far.level == "clean"
    assert float(str(far.numbers["range"])) < 250


def test_what_cannot_be_measured_is_said():
    places, classes = labels(500)
    alone = ground_of(train=Window(0, 0, 9, 9))
    assert (
        "no second split"
        in check_distance(alone, places, classes, categorical=True, longest=100, seed=0).text
    )
    both = ground_of(train=Window(0, 0, 9, 9), val=Window(20, 0, 9, 9))
    few = check_distance(both, places[:1], classes[:1], categorical=True, longest=100, seed=0)
    assert (few.level, few.text[:15]) == ("unknown", "Too few labels,")


def test_the_map_has_all_parts_and_what_is_shared():
    ground = ground_of(train=Window(0, 0, 500, 1000), test=Window(499, 0, 501, 1000))
    shared = ground.plan.shared(ground.splits)[0]
    drawn = map_of(ground, shared)
    assert drawn is not None
    assert [outline.split for outline in drawn.outlines] == ["train", "test"]
    assert len(drawn.shared) == 1
    ys = [y for _, y in drawn.shared[0]]
    assert (min(ys), max(ys)) == (5_400_000 - 5000, 5_400_000 - 4990)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (said_area(250, "m"), "250 m2"),
        (said_area(2.5e6, "m"), "2.5 km2"),
        (said_area(1234, "px"), "1,234 px"),
        (said_length(3.14159, "px"), "3.14 px"),
        (said_length(640.4, "m"), "640 m"),
        (said_length(12_345, "m"), "12.3 km"),
    ],
)
def test_sizes_in_words(said: str, words: str):
    assert said == words
