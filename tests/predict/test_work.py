"""What a prediction will take, and whether it is done already."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import MakeScene
from predict_factory import BANDS, Brightness, make_network, make_recipe, make_work, smooth_noise

from eoseg.errors import OutputError
from eoseg.predict import Rank, predict_scene, work


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", smooth_noise(90, 110), names=BANDS)


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
    usage = work.shutil.disk_usage(scene.parent)
    monkeypatch.setattr(work.shutil, "disk_usage", lambda path: usage._replace(free=9000))
    with ExitStack() as stack, pytest.raises(OutputError, match=r"while it is made; its disk has 0 MB left"):
        make_work(stack, scene).begin()
    assert [path.name for path in scene.parent.iterdir()] == ["s.tif"]
