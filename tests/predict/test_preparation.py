"""What is settled before the first tile, and leaves nothing behind where it does not fit."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import MakeScene
from predict_factory import BANDS, make_work, smooth_noise

from eoseg.predict import Rank


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", smooth_noise(90, 110), names=BANDS)


def test_nothing_is_written_before_the_work_begins(scene: Path) -> None:
    with ExitStack() as stack:
        work = make_work(stack, scene)
        assert not work.is_made()
        assert [path.name for path in scene.parent.iterdir()] == ["s.tif"]
        assert work.begin().folder.is_dir()


def test_each_process_finds_the_same_run(scene: Path) -> None:
    with ExitStack() as stack:
        first, second = (make_work(stack, scene, rank=Rank(number, 2)) for number in (0, 1))
        assert first.fingerprint == second.fingerprint
        assert first.begin().shares == second.begin().shares == 1  # as many as there are tiles
