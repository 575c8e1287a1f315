from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tracking_fakes import FakeData, FakeTask, make_trainer, quietly

from eoseg.tracking.board import current_step, has_board, is_due, numbered, show

PICTURE = np.full((4, 6, 3), 7, np.uint8)


class Writer:
    """Takes what TensorBoard's writer is given."""

    def __init__(self) -> None:
        self.images: list[tuple[str, tuple[int, ...], int, str]] = []

    def add_image(self, tag: str, picture: np.ndarray, step: int, dataformats: str) -> None:
        self.images.append((tag, picture.shape, step, dataformats))


class Board(TensorBoardLogger):
    """Lightning's logger over that writer, so that no TensorBoard is needed."""

    def __init__(self) -> None:
        self.writer = Writer()

    @property
    def experiment(self) -> Any:
        return self.writer


def test_tensorboard_gets_each_picture_with_its_step(tmp_path: Path) -> None:
    board = Board()
    trainer = make_trainer(tmp_path, [], [])
    trainer.loggers = [board]
    assert has_board(trainer)
    show(trainer, {"val/one": {"a": PICTURE}, "val/two": {"a": PICTURE, "b": PICTURE}}, charts={"table": 1})
    assert board.writer.images == [
        ("val/one", (4, 6, 3), 0, "HWC"),
        ("val/two/00", (4, 6, 3), 0, "HWC"),
        ("val/two/01", (4, 6, 3), 0, "HWC"),
    ]


def test_pictures_can_be_read_back_from_tensorboards_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = make_trainer(tmp_path, [TensorBoardLogger(tmp_path, name="", version="")], [])
    show(trainer, {"val/one": {"a": PICTURE}})
    trainer.loggers[0].experiment.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    (image,) = events.Images("val/one")
    assert (image.width, image.height, image.step) == (6, 4, 0)


def test_without_a_board_nothing_is_shown(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [], [])
    assert not has_board(trainer)
    show(trainer, {"val/one": {"a": PICTURE}})


def test_the_step_is_that_of_the_last_figures(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [], [], max_epochs=2)
    assert current_step(trainer) == 0
    quietly(trainer.fit, FakeTask(), FakeData())
    assert current_step(trainer) == 3


def test_a_lone_validation_is_always_due(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, [], [])
    quietly(trainer.validate, FakeTask(), FakeData())
    assert is_due(trainer, 1000)


def test_pictures_of_one_caption_are_told_apart() -> None:
    assert list(numbered([("a", PICTURE), ("a", PICTURE), ("b", PICTURE)])) == ["a", "a (2)", "b"]
