"""What a chip is described by: known values for chips that can be worked out by hand."""

import pytest
import torch

from eoseg.models.chip_statistics import chip_statistics


def stripes(*, period: int = 2, turned: bool = False, size: int = 16) -> torch.Tensor:
    """A chip of one band, bright and dark stripes of 1 and -1."""
    line = 1.0 - 2.0 * (torch.arange(size) // (period // 2) % 2)
    image = line.expand(size, size)
    return (image.T if turned else image)[None, None].clone()


@pytest.mark.parametrize(("channels", "count"), [(1, 47), (2, 72), (3, 103), (13, 418)])
def test_any_number_of_bands_and_any_size(channels, count):
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 5, 64):
        features = chip_statistics(torch.randn(2, channels, size, size, generator=generator))
        assert features.shape == (2, count)
        assert features.isfinite().all()


def test_a_constant_chip_has_its_value_and_nothing_else():
    features = chip_statistics(torch.full((1, 1, 8, 8), 3.0))[0]
    assert features[0] == 3.0  # mean
    assert features[1] == 0.0  # deviation
    assert features[2:9].tolist() == [3.0] * 7  # percentiles
    assert features[9:19].abs().max() == 0.0  # gradients and coarser scales
    assert features[19:27].abs().max() == 0.0  # directions
    # Each neighbour is at least as bright: the pattern of eight, at both scales.
    assert features[27:37].tolist() == features[37:47].tolist() == [0.0] * 8 + [1.0, 0.0]


def test_percentiles_are_those_of_the_sorted_values():
    chip = torch.arange(121.0).flip(0).view(1, 1, 11, 11)
    assert chip_statistics(chip)[0, 2:9].tolist() == [0.0, 12.0, 30.0, 60.0, 90.0, 108.0, 120.0]


def test_texture_parts_chips_of_the_same_colours():
    fine, coarse = chip_statistics(stripes(period=2)), chip_statistics(stripes(period=8))
    assert torch.equal(fine[:, :9], coarse[:, :9])  # mean, deviation and percentiles are the same
    # A stripe of one pixel has equal neighbours on both sides, so no gradient but at the border.
    assert fine[0, 9] < 0.2 < coarse[0, 9]
    assert fine[0, 13] == 0.0  # twice as coarse, stripes of one pixel are gone
    assert coarse[0, 13] == pytest.approx(1.0)


def test_turning_a_chip_by_a_right_angle_changes_nothing():
    torch.testing.assert_close(
        chip_statistics(stripes(period=8)), chip_statistics(stripes(period=8, turned=True))
    )
    chip = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        chip_statistics(chip), chip_statistics(chip.rot90(dims=(2, 3)).contiguous()), atol=1e-3, rtol=1e-3
    )


def test_the_share_of_the_strongest_direction_tells_stripes_from_noise():
    striped = chip_statistics(stripes(period=8))[0, 19:27]
    assert striped[0] == 0.375  # six of sixteen columns lie beside an edge
    assert striped[1:].abs().max() == 0.0  # all edges run one way


def test_bands_that_go_together_and_against_each_other():
    first = torch.arange(64.0).view(8, 8)
    together = chip_statistics(torch.stack([first, 2 * first + 1])[None])
    against = chip_statistics(torch.stack([first, -first])[None])
    constant = chip_statistics(torch.stack([first, torch.ones(8, 8)])[None])
    place = together.shape[1] - 28 - 1  # before the directions and patterns
    assert together[0, place] == pytest.approx(1.0, abs=1e-5)
    assert against[0, place] == pytest.approx(-1.0, abs=1e-5)
    assert constant[0, place] == 0.0


def test_chips_of_a_batch_do_not_touch_each_other():
    chips = torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    together = chip_statistics(chips)
    alone = torch.cat([chip_statistics(chip[None]) for chip in chips])
    torch.testing.assert_close(together, alone)
