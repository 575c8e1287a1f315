"""A pass over tiles: what is read, computed and written at the same time, and what happens without memory."""

from pathlib import Path

import pytest
import torch
from conftest import MakeScene
from predict_factory import BANDS, Brightness, make_network, make_recipe, smooth_noise
from torch import nn

from eoseg.errors import ConfigError, OutputError
from eoseg.geo.share import Share
from eoseg.predict import PredictOptions, Progress, predict_scene

IMAGE = smooth_noise(150, 170)


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", IMAGE, names=BANDS)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Small(nn.Module):
    """A device that has memory for so many tiles at a time."""

    def __init__(self, fitting: int) -> None:
        super().__init__()
        self.inner, self.fitting, self.passes = Brightness(), fitting, []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(image))
        if len(image) > self.fitting:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(image)


def test_a_batch_that_does_not_fit_is_halved(scene: Path) -> None:
    small = Small(2)
    options = PredictOptions(tile=32, halo=0, batch_size=8)
    recipe, out = make_recipe(), scene.with_name("map.tif")
    prediction = predict_scene(make_network(small), recipe, str(scene), out, options=options)
    assert small.passes.count(8) == 1  # tried once, then never again
    assert set(small.passes[-10:]) == {2}
    predict_scene(make_network(Brightness()), recipe, str(scene), scene.with_name("b.tif"), options=options)
    assert prediction.path.read_bytes()[:200] == scene.with_name("b.tif").read_bytes()[:200]


def test_a_tile_that_does_not_fit_is_one_line_and_work_is_kept(scene: Path) -> None:
    body = Small(1)
    options = PredictOptions(tile=32, halo=0)

    def shrink(progress: Progress) -> None:
        if progress.done > 5 * 32 * 32:
            body.fitting = 0

    with pytest.raises(ConfigError, match=r"does not fit the memory .* kept in .*map.tif.parts'"):
        predict_scene(
            make_network(body),
            make_recipe(),
            str(scene),
            scene.with_name("map.tif"),
            options=options,
            progress=shrink,
        )
    assert names(scene.parent) == ["map.tif.parts", "s.tif"]


def test_the_time_of_a_run_is_told_apart(scene: Path) -> None:
    out, options = scene.with_name("map.tif"), PredictOptions(tile=32)
    times = predict_scene(make_network(Brightness()), make_recipe(), str(scene), out, options=options).times
    assert times.compute > 0
    assert times.finish > 0
    assert min(times.read, times.write) >= 0


def test_an_error_of_the_writer_stops_the_run_with_its_own_words(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Share.write

    def fail(self: Share, index: int, values: object, *, skipped: bool = False) -> None:
        if index == 3:
            raise OutputError("The disk is full.")
        write(self, index, values, skipped=skipped)

    monkeypatch.setattr(Share, "write", fail)
    seen: list[Progress] = []
    with pytest.raises(OutputError, match=r"The disk is full\. Of 30 tiles \d+ are kept"):
        predict_scene(
            make_network(Brightness()),
            make_recipe(),
            str(scene),
            scene.with_name("map.tif"),
            options=PredictOptions(tile=32),
            progress=seen.append,
        )
    assert len(seen) < 10  # not at the very end
