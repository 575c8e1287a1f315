"""The halo is derived from the network, and is neither too small nor larger than needed."""

import pytest
import torch
from predict_factory import (
    Constant,
    Convolutions,
    FittedWindow,
    Global,
    PairConvolutions,
    Pooled,
    Ramp,
    SeriesConvolutions,
    SeriesOfChips,
    ThreeDates,
    make_network,
    make_recipe,
)
from torch import Tensor, nn

from eoseg.predict import receptive
from eoseg.predict.receptive import find_context, network_context, takes_dates

PAIR = make_recipe(time="pair", steps=2)
SERIES = make_recipe(time="series", steps=3)


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_the_halo_of_convolutions_is_their_reach(layers: int) -> None:
    context = find_context(Convolutions(layers).eval(), channels=3, stride=1)
    assert (context.output_stride, context.halo, context.exact) == (1, layers, True)
    assert f"up to {layers} px away" in context.reason


def test_the_halo_is_a_multiple_of_the_stride() -> None:
    # One pixel, then one cell of two pixels: three pixels and a half, rounded up.
    context = find_context(Pooled().eval(), channels=3, stride=2)
    assert (context.output_stride, context.halo, context.exact) == (2, 4, True)


def test_a_constant_network_needs_no_halo() -> None:
    assert find_context(Constant(), channels=3, stride=1).halo == 0


def test_layers_that_look_further_one_way_set_the_halo() -> None:
    wide = nn.Conv2d(3, 4, (3, 15), padding=(1, 7))
    assert find_context(wide.eval(), channels=3, stride=1).halo == 7


def test_one_sided_layers_are_seen_from_both_sides() -> None:
    class LooksUp(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image + torch.nn.functional.pad(image, (0, 0, 9, 0))[:, :, :-9]

    assert find_context(LooksUp(), channels=3, stride=1).halo == 9


@pytest.mark.parametrize(
    "layer", [nn.GroupNorm(1, 3), nn.InstanceNorm2d(3), nn.Sequential(Convolutions(2), Global())]
)
def test_global_context_is_recognised(layer: nn.Module) -> None:
    context = find_context(layer.eval(), channels=3, stride=1)
    assert (context.halo, context.exact) == (None, False)
    assert "global context" in context.reason


def test_a_network_that_depends_on_the_position_is_not_exact() -> None:
    context = find_context(Ramp(), channels=3, stride=1)
    assert (context.halo, context.exact) == (None, False)
    assert "depends on where a tile begins" in context.reason


def test_a_stride_that_is_too_small_is_doubled() -> None:
    class Patches(nn.Module):  # repeats itself every 4 pixels, but takes any even size
        def forward(self, image: Tensor) -> Tensor:
            pooled = nn.functional.max_pool2d(image, 4, ceil_mode=True)
            return nn.functional.interpolate(pooled, scale_factor=4)[..., : image.shape[2], : image.shape[3]]

    context = find_context(Patches(), channels=3, stride=2)
    assert (context.output_stride, context.halo, context.exact) == (4, 0, True)


def test_the_number_of_threads_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    find_context(Convolutions(1), channels=3, stride=1)
    assert torch.get_num_threads() == before


def test_the_halo_of_a_network_for_change_is_that_of_both_dates() -> None:
    context = network_context(make_network(PairConvolutions(4), recipe=PAIR), steps=2)
    assert (context.output_stride, context.halo, context.exact) == (1, 4, True)


@pytest.mark.parametrize("steps", [1, 3, 40])
def test_the_halo_of_a_network_for_series_does_not_depend_on_the_dates(steps: int) -> None:
    context = network_context(make_network(SeriesConvolutions(3), recipe=SERIES), steps=steps)
    assert (context.output_stride, context.halo, context.exact) == (1, 3, True)


def test_a_long_series_is_looked_at_on_a_few_dates_where_the_network_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        receptive, "find_context", lambda body, *, channels, stride, gaps: asked.append(channels // 3)
    )
    network_context(make_network(SeriesConvolutions(1), recipe=SERIES), steps=70)
    network_context(make_network(ThreeDates(), recipe=SERIES), steps=70)
    assert asked == [4, 70]


def test_a_network_whose_dates_are_missing_image_by_image_is_not_exact() -> None:
    context = network_context(make_network(SeriesOfChips(), recipe=SERIES), steps=3)
    assert (context.halo, context.exact) == (None, False)
    assert "where a tile begins or how large it is" in context.reason


def test_how_many_dates_a_network_takes_is_tried() -> None:
    network = make_network(ThreeDates(), recipe=SERIES)
    assert [steps for steps in (1, 2, 3, 4) if takes_dates(network, steps)] == [3]
    assert takes_dates(make_network(SeriesConvolutions(1), recipe=SERIES), 70)


def test_a_declared_halo_is_rounded_up_to_the_stride() -> None:
    context = network_context(make_network(FittedWindow()))
    assert (context.output_stride, context.halo, context.exact) == (1, 2, True)
    context = network_context(make_network(FittedWindow(), stride=8))
    assert (context.output_stride, context.halo) == (8, 8)
