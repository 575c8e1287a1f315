"""Runs that are stopped, killed or shared out give the same map as one that runs through."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import MakeScene
from predict_factory import BANDS, Convolutions, make_network, make_recipe, smooth_noise
from torch import nn

from eoseg.errors import BusyError, OutputError
from eoseg.geo.parts import Parts, parts_folder
from eoseg.predict import Prediction, PredictOptions, Progress, Rank, predict_scene, predict_share

IMAGE = smooth_noise(150, 170)
OPTIONS = PredictOptions(tile=32, probabilities=True)


def network_of(body: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    return make_network(body or Convolutions(3))


def run(path: Path, name: str = "map.tif", **more: object) -> Prediction:
    settings = {"options": OPTIONS, **more}
    return predict_scene(network_of(), make_recipe(), str(path), path.with_name(name), **settings)


def stopped_at(tiles: int, error: type[BaseException] = KeyboardInterrupt):
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == tiles:
            raise error

    return stop


def content(path: Path, name: str = "map.tif") -> tuple[bytes, bytes]:
    return path.with_name(name).read_bytes(), path.with_name(name[:-4] + "_probabilities.tif").read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", IMAGE, names=BANDS)


def test_an_interrupted_run_goes_on_where_it_stopped(scene: Path) -> None:
    run(scene, "whole.tif")
    for tiles in (5, 9):
        with pytest.raises(KeyboardInterrupt):
            run(scene, progress=stopped_at(tiles))
        assert not scene.with_name("map.tif").exists()
    seen: list[Progress] = []
    prediction = run(scene, progress=seen.append)
    assert 14 <= prediction.resumed <= 18  # a tile or two were in flight
    assert len(seen) == prediction.tiles - prediction.resumed
    assert seen[-1] == Progress(150 * 170, 150 * 170)
    assert content(scene) == content(scene, "whole.tif")
    assert not parts_folder(scene.with_name("map.tif")).exists()


KILLED = """
import os, signal, sys, time
sys.path[:0] = {paths!r}
import test_resume
from pathlib import Path
from eoseg.geo.parts import read_progress
from eoseg.predict.tile_pass import TilePass

scene, fit = Path({scene!r}), TilePass._fit

def logged(self, call, batch):
    with scene.with_name("computed").open("ab") as log:
        log.write(b"." * len(batch))
    return fit(self, call, batch)

TilePass._fit = logged
for tiles, more in {moments!r}:
    child = os.fork()
    if not child:
        test_resume.run(scene, progress=lambda progress: time.sleep(0.01))
        os._exit(0)
    while read_progress(scene.with_name("map.tif"))[0] < tiles:
        if os.waitpid(child, os.WNOHANG)[0]:
            sys.exit("it ended before it was killed")
        time.sleep(0.001)
    time.sleep(more)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def test_runs_that_are_killed_lose_only_the_tiles_in_flight(scene: Path) -> None:
    """Five times, at any moment: in all less than two rows of six tiles each are computed twice."""
    run(scene, "whole.tif")
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    rng = np.random.default_rng(0)
    moments = [(tiles, float(rng.uniform(0, 0.02))) for tiles in (1, 6, 11, 17, 22)]
    code = KILLED.format(paths=paths, scene=str(scene), moments=moments)
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=300)
    assert not scene.with_name("map.tif").exists()
    prediction = run(scene)
    assert prediction.resumed >= 22
    computed = scene.with_name("computed").stat().st_size + prediction.tiles - prediction.resumed
    assert prediction.tiles <= computed < prediction.tiles + 2 * 6
    assert content(scene) == content(scene, "whole.tif")


@pytest.mark.parametrize("count", [2, 3, 4])
def test_ranks_make_the_map_that_one_process_makes(scene: Path, count: int) -> None:
    run(scene, "whole.tif")
    made = []
    for number in np.random.default_rng(count).permutation(count):
        rank = Rank(int(number), count)
        out = scene.with_name("map.tif")
        made.append(predict_share(network_of(), make_recipe(), str(scene), out, rank=rank, options=OPTIONS))
    assert made[:-1] == [None] * (count - 1)
    assert made[-1] is not None
    assert made[-1].valid_pixels == 150 * 170
    assert content(scene) == content(scene, "whole.tif")


def test_another_number_of_ranks_may_go_on(scene: Path) -> None:
    run(scene, "whole.tif")
    out = scene.with_name("map.tif")
    arguments = (network_of(), make_recipe(), str(scene), out)
    assert predict_share(*arguments, rank=Rank(1, 3), options=OPTIONS) is None
    assert predict_share(*arguments, rank=Rank(1, 2), options=OPTIONS) is None
    assert predict_share(*arguments, rank=Rank(0, 2), options=OPTIONS) is not None
    assert content(scene) == content(scene, "whole.tif")


def test_a_rank_that_comes_late_finds_the_map_made(scene: Path) -> None:
    run(scene)
    before = content(scene)
    out = scene.with_name("map.tif")
    arguments = (network_of(), make_recipe(), str(scene), out)
    assert predict_share(*arguments, rank=Rank(1, 2), options=OPTIONS) is None
    assert content(scene) == before
    os.utime(scene)  # a newer scene
    with pytest.raises(OutputError, match="exists already"):
        predict_share(*arguments, rank=Rank(1, 2), options=OPTIONS)


def test_a_run_that_was_killed_between_its_last_two_steps_is_complete(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = scene.with_name("map.tif")
    arguments = (network_of(), make_recipe(), str(scene), out)

    def stop(parts: Parts) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", stop)
        with pytest.raises(KeyboardInterrupt):
            predict_share(*arguments, rank=Rank(), options=OPTIONS)
    before = content(scene)
    assert parts_folder(out).exists()
    assert predict_share(*arguments, rank=Rank(), options=OPTIONS) is None
    assert content(scene) == before
    assert not parts_folder(out).exists()


@pytest.mark.parametrize("change", ["scene", "weights", "tile"])
def test_parts_of_another_run_are_never_taken(scene: Path, change: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(scene, progress=stopped_at(5))
    network, options = network_of(), OPTIONS
    if change == "scene":
        os.utime(scene)
    elif change == "weights":
        network = network_of(Convolutions(4))
    else:
        options = PredictOptions(tile=48, probabilities=True)
    arguments = (network, make_recipe(), str(scene), scene.with_name("map.tif"))
    said = {"scene": "the scene", "weights": "the checkpoint", "tile": "tile and halo"}[change]
    with pytest.raises(OutputError, match=f"holds parts of another run: {said}"):
        predict_scene(*arguments, options=options)
    anew = PredictOptions(tile=options.tile, probabilities=True, overwrite=True)
    assert predict_scene(*arguments, options=anew).resumed == 0


def test_a_run_that_another_process_works_on_is_left_alone(scene: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(scene, progress=stopped_at(5))
    journal = parts_folder(scene.with_name("map.tif")) / "share_0.journal"
    with journal.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = journal.read_bytes()
        with pytest.raises(BusyError, match=r"Another process is making .*map.tif' at this moment\. Wait"):
            run(scene)
        assert journal.read_bytes() == before
    assert run(scene).resumed >= 4
