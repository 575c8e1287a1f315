import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from conftest import write_scene
from map_factory import label_values, write_map

from eoseg.datasets.splits import Region, Split
from eoseg.errors import ConfigError, DataError
from eoseg.evaluate.accuracy import evaluate_map, notes
from eoseg.evaluate.part import LabelsWithin, read_part
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window
from eoseg.metrics import confusion_matrix

GRID = Grid(None, Affine.identity(), 60, 80)
REGIONS = (
    Region("north", Window(0, 0, 60, 40), "train"),
    Region("north", Window(0, 50, 20, 30), "test"),
    Region("north", Window(40, 50, 20, 20), "test"),
    Region("south", Window(0, 0, 10, 10), "val"),
    Region("north", Window(0, 0, 10, 10), "val"),
)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    path = tmp_path / "split.json"
    path.write_text(Split("blocks", 0, {"buffer": 10}, REGIONS).to_json())
    return path


def test_only_the_chosen_part_is_compared(split: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    truth, mapped = generator.integers(0, 3, (2, 60, 80)).astype(np.uint8)
    mapped[:, :40] = truth[:, :40]  # perfect where it was trained
    paths = write_map(tmp_path / "m.tif", mapped), write_scene(tmp_path / "r.tif", label_values(truth))
    evaluation = evaluate_map(*paths, split=split)
    expected = confusion_matrix(truth[:20, 50:], mapped[:20, 50:], 3)
    expected += confusion_matrix(truth[40:, 50:70], mapped[40:, 50:70], 3)
    assert (evaluation.matrix == expected).all()
    assert evaluation.protocol["split"]["part"] == "test"
    assert [evaluation.protocol["split"][key] for key in ("method", "seed", "buffer")] == ["blocks", 0, 10]
    assert evaluation.protocol["training"] is None  # this map does not tell it
    assert evaluation.protocol["split"]["sha256"] == json.loads(split.read_text())["sha256"]
    assert any("Compared is the part 'test' of the split" in line for line in notes(evaluation))
    assert evaluate_map(*paths, split=split, part="train").scores.overall_accuracy == 1
    assert evaluate_map(*paths).compared_pixels == 60 * 80


def test_labels_outside_the_windows_are_ignored() -> None:
    class Ones:
        path = "ones"
        reads = 0

        def read(self, window: Window) -> np.ndarray:
            self.reads += 1
            return np.ones((window.height, window.width), np.uint8)

        def close(self) -> None:
            self.path = "closed"

    ones = Ones()
    labels = LabelsWithin(ones, [Window(2, 2, 3, 3), Window(20, 20, 5, 5)])
    assert (labels.read(Window(0, 0, 10, 10)) == 1).sum() == 9
    assert (labels.read(Window(30, 30, 5, 5)) == 255).all()
    assert ones.reads == 1  # where no window is, nothing is read
    labels.close()
    assert ones.path == "closed"


def test_a_part_with_several_scenes_needs_the_name_of_one(split: Path) -> None:
    with pytest.raises(ConfigError, match="has 2 scenes: north, south"):
        read_part(split, "val", grid=GRID)
    assert read_part(split, "val", grid=GRID, scene="south").windows == (Window(0, 0, 10, 10),)
    with pytest.raises(ConfigError, match="Did you mean 'north'"):
        read_part(split, "val", grid=GRID, scene="nord")


def test_unknown_and_empty_parts_are_refused(tmp_path: Path, split: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'test'"):
        read_part(split, "tests", grid=GRID)
    path = tmp_path / "other.json"
    path.write_text(Split("files", 0, {}, REGIONS[:1]).to_json())
    with pytest.raises(ConfigError, match="has no part 'test'"):
        read_part(path, "test", grid=GRID)


def test_regions_beyond_the_map_are_refused(split: Path) -> None:
    with pytest.raises(DataError, match="reaches beyond the map of 50 x 60 px"):
        read_part(split, "test", grid=Grid(None, Affine.identity(), 60, 50))


def test_files_that_are_no_split_are_refused(tmp_path: Path, split: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_part(tmp_path / "none.json", "test", grid=GRID)
    for text in ("[]", "no json", '{"regions": []}'):
        (tmp_path / "wrong.json").write_text(text)
        with pytest.raises(DataError, match="is not a split of eoseg"):
            read_part(tmp_path / "wrong.json", "test", grid=GRID)
    split.write_text(split.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DataError, match="SHA-256 does not fit"):
        read_part(split, "test", grid=GRID)


def test_a_scene_of_no_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"give the split\.json too"):
        evaluate_map("map.tif", "reference.tif", split_scene="north")
