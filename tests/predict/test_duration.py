"""The time that is announced is about the time that it takes."""

from pathlib import Path

import pytest
from conftest import MakeScene
from predict_factory import BANDS, make_network, make_recipe, smooth_noise
from torch import Tensor, nn

from eoseg.geo.tiles import plan_tiles
from eoseg.predict import Estimate, PredictOptions, Rank, duration, predict_share
from eoseg.predict.duration import pushed_pixels
from eoseg.predict.plan import ChipPlan, Layout

SECONDS_PER_PIXEL = 5e-6


class Clock:
    """Stands still but for what the network takes, whatever else the machine does."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duration, "time", CLOCK)


class Slow(nn.Module):
    """Takes a known time per pixel; looks at each pixel alone."""

    def forward(self, image: Tensor) -> Tensor:
        CLOCK.now += SECONDS_PER_PIXEL * image[:, 0].numel()
        return image[:, :1].expand(-1, 4, -1, -1)


def run(scene: Path, *, fail_after: int | None = None, **options: object) -> tuple[Estimate, float]:
    """What was announced, and how many seconds the tiles took from there."""
    seen: list[tuple[Estimate, float]] = []
    done = 0

    def stop(_: object) -> None:
        nonlocal done
        done += 1
        if done == fail_after:
            raise KeyboardInterrupt

    network = make_network(Slow(), stride=4)
    predict_share(
        network,
        make_recipe(),
        str(scene),
        scene.with_name("map.tif"),
        rank=Rank(),
        options=PredictOptions(**options),  # type: ignore[arg-type]
        announce=lambda estimate: seen.append((estimate, CLOCK.perf_counter())),
        progress=stop,
    )
    return seen[0][0], CLOCK.perf_counter() - seen[0][1]


def test_a_slow_network_is_announced_with_its_halo(make_scene: MakeScene) -> None:
    scene = make_scene("s.tif", smooth_noise(160, 160), names=BANDS)
    announced, taken = run(scene, tile=32, halo=16)
    pushed = 25 * 64 * 64  # 4 times the scene
    assert announced.seconds == pytest.approx(SECONDS_PER_PIXEL * pushed, rel=0.02)
    assert taken == pytest.approx(announced.seconds, rel=0.15)  # and what was timed for it


def test_only_what_is_left_is_announced(make_scene: MakeScene) -> None:
    scene = make_scene("s.tif", smooth_noise(160, 160), names=BANDS)
    with pytest.raises(KeyboardInterrupt):
        run(scene, tile=32, halo=16, fail_after=20)
    announced, _ = run(scene, tile=32, halo=16)
    assert announced.seconds < 0.35 * SECONDS_PER_PIXEL * 25 * 64 * 64


def test_chips_are_pushed_whole() -> None:
    plan = ChipPlan(plan_tiles(64, 64, core=16, halo=0, stride=1), 32)
    assert pushed_pixels(Layout(plan, 4, True, "")) == 16 * 32 * 32
