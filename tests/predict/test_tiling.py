"""Tiles that suit several networks."""

import pytest
from predict_factory import Convolutions, make_network, make_recipe
from torch import nn

from eoseg.geo.grid import Grid
from eoseg.models.network import Network
from eoseg.models.sampled_dropout import sampled_dropout
from eoseg.predict.chosen_product import make_product
from eoseg.predict.members import Member
from eoseg.predict.options import PredictOptions
from eoseg.predict.passes import Passes
from eoseg.predict.plan import Layout
from eoseg.predict.receptive import Context
from eoseg.predict.tiling import choose_tiles, shared_context

NEAR, FAR = Context(6, 12, True, "near"), Context(4, 20, True, "far")
EVERYTHING = Context(8, None, False, "global context")


def test_tiles_suit_the_networks_at_once() -> None:
    assert shared_context([NEAR]) is NEAR
    assert shared_context([NEAR, FAR]) == Context(12, 24, True, "far")  # 20 is no multiple of 12
    found = shared_context([NEAR, EVERYTHING, FAR])
    assert (found.output_stride, found.halo, found.exact) == (24, None, False)
    assert found.reason == "of one of the networks: global context"


def tiles(*networks: Network, passes: Passes, uncertainty: bool = False, **more: object) -> Layout:
    recipe = make_recipe()
    product = make_product(recipe, probabilities=False, uncertainty=uncertainty, passes=passes)
    members = [Member(network, recipe) for network in networks]
    grid = Grid(None, None, 90, 110)  # type: ignore[arg-type]
    return choose_tiles(members, grid, 1, PredictOptions(tile=32), product, passes, **more)


def test_memory_is_that_of_the_largest_network_and_of_the_means() -> None:
    small, large = (make_network(Convolutions(layers, seed=layers)) for layers in (2, 3))
    one = tiles(large, passes=Passes())
    two = tiles(small, large, passes=Passes(networks=2))
    assert one.plan.halo == two.plan.halo == 3
    pixels = two.plan.read_size[0] ** 2
    assert two.pass_bytes - one.pass_bytes == pytest.approx(pixels * 4 * (3 + 4 * 4), abs=4)
    sure = tiles(small, large, passes=Passes(networks=2), uncertainty=True)
    # three extras; a mean of four classes, and two entropies
    assert sure.pass_bytes - two.pass_bytes == pytest.approx(pixels * 4 * (3 + 4 + 2), abs=4)


def test_a_sample_takes_the_memory_of_what_it_drops() -> None:
    body = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.Dropout2d(0.5), nn.Conv2d(32, 4, 1))
    network = make_network(body)
    plain = tiles(network, passes=Passes(samples=2))
    with sampled_dropout(network) as sample:
        sampled = tiles(network, passes=Passes(samples=2), dropout=[sample])
    assert sampled.pass_bytes > plain.pass_bytes
