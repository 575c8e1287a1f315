from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tracking_fakes import SCHEMA, FakeData, FakeTask, chips

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError, OutputError
from eoseg.figures import NO_LABEL, RIGHT, WRONG
from eoseg.tracking.panels import make_panels, wandb_image, write_panels


def test_panels_hold_image_truth_prediction_and_errors() -> None:
    panels = make_panels(FakeTask(), FakeData(), "val", 3)
    assert [panel.id for panel in panels] == chips("val", 3)["id"]
    panel = panels[1]
    assert panel.image[4, 4].tolist() == [0, 0, 0]
    assert panel.image[4, 12].tolist() == [255, 255, 255]
    assert panel.truth[4, [0, 12, 15]].tolist() == [0, 1, IGNORE]
    assert panel.prediction[[4, 12], 3].tolist() == [0, 1]
    assert (panel.prediction[:, 15] == IGNORE).all()
    assert panel.errors[12, [3, 12]].tolist() == [1, 0]
    assert (panel.errors[0] == IGNORE).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_network_runs_in_evaluation_mode_and_gets_its_mode_back(training: bool) -> None:
    task = FakeTask()
    task.train(training)
    make_panels(task, FakeData(), "val", 3)
    assert task.training is training
    assert task.modes == [False, False]  # three chips in batches of two


def test_the_chips_of_the_asked_split_are_shown() -> None:
    data = FakeData()
    make_panels(FakeTask(), data, "test", 5)
    assert data.asked == [("test", 5)]


def test_chips_without_masks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = FakeData()
    batch = chips("val", 1)
    del batch["mask"]
    monkeypatch.setattr(data, "panel_chips", lambda *_: batch)
    with pytest.raises(ConfigError, match="these chips have none"):
        make_panels(FakeTask(), data, "val", 1)


def test_a_strip_shows_the_four_pictures_side_by_side(tmp_path: Path) -> None:
    write_panels(tmp_path / "panels", make_panels(FakeTask(), FakeData(), "val", 2), SCHEMA)
    paths = sorted((tmp_path / "panels").iterdir())
    assert [path.name for path in paths] == ["00_val_scene_one_0,0.png", "01_val_scene_one_16,0.png"]
    strip = np.asarray(Image.open(paths[0]))
    assert strip.shape == (256, 4 * 256 + 3 * 4, 3)

    def pixel(picture: int, row: int, col: int) -> tuple[int, ...]:
        return tuple(strip[row * 16 + 8, picture * 260 + col * 16 + 8].tolist())

    dark, bright = (entry.color for entry in SCHEMA.classes)
    assert [pixel(picture, 12, 3) for picture in range(4)] == [(0, 0, 0), dark, bright, WRONG]
    assert [pixel(picture, 4, 3) for picture in range(4)] == [(0, 0, 0), dark, dark, RIGHT]
    assert [pixel(picture, 0, 12) for picture in range(1, 4)] == [NO_LABEL, dark, NO_LABEL]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "panels").write_text("")
    with pytest.raises(OutputError, match="Panels cannot be written"):
        write_panels(tmp_path / "panels", make_panels(FakeTask(), FakeData(), "val", 1), SCHEMA)


def test_wandb_masks_are_bytes_with_named_classes() -> None:
    panel = make_panels(FakeTask(), FakeData(), "val", 1)[0]
    image = wandb_image(panel, SCHEMA)
    assert image._caption == panel.id
    assert set(image._masks) == {"prediction", "truth", "error"}
    mask = np.asarray(Image.open(image._masks["truth"]._path))
    assert (mask == panel.truth).all()
