"""What is settled before the first tile, and leaves nothing behind where it does not fit."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import MakeScene
from predict_factory import BANDS, Brightness, make_network, make_recipe, smooth_noise

from eoseg.errors import OutputError
from eoseg.predict import PredictOptions, Rank, predict_scene, preparation
from eoseg.predict.preparation import Work, prepare


def make_work(stack: ExitStack, scene: Path, *, rank: Rank | None = None, **options: object) -> Work:
    return prepare(
        stack,
        make_network(Brightness()),
        make_recipe(),
        str(scene),
        scene.with_name("map.tif"),
        rank=rank or Rank(),
        options=PredictOptions(**options),
        checkpoint=None,
    )


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


def test_a_map_that_is_there_is_made_anew_only_by_one_process_alone(scene: Path) -> None:
    predict_scene(make_network(Brightness()), make_recipe(), str(scene), scene.with_name("map.tif"))
    with ExitStack() as stack:
        assert make_work(stack, scene).is_made()
        assert not make_work(stack, scene, overwrite=True).is_made()
        assert make_work(stack, scene, overwrite=True, rank=Rank(1, 2)).is_made()
        with pytest.raises(OutputError, match="exists already"):
            make_work(stack, scene, nodata=3.0).is_made()


def test_memory_and_disk_are_estimated(scene: Path) -> None:
    with ExitStack() as stack:
        small = make_work(stack, scene, tile=32).estimate()
        more = make_work(stack, scene, tile=32, batch_size=4, probabilities=True).estimate()
    assert (small.tiles, small.tile, small.disk_bytes) == (12, 32, 90 * 110)
    assert more.disk_bytes == 5 * small.disk_bytes  # four probabilities beside the class
    assert more.memory_bytes == pytest.approx(4 * small.memory_bytes, abs=4)


def test_a_disk_that_is_too_small_is_refused_before_any_work(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = preparation.shutil.disk_usage(scene.parent)
    monkeypatch.setattr(preparation.shutil, "disk_usage", lambda path: usage._replace(free=9000))
    with ExitStack() as stack, pytest.raises(OutputError, match=r"while it is made; its disk has 0 MB left"):
        make_work(stack, scene).begin()
    assert [path.name for path in scene.parent.iterdir()] == ["s.tif"]
