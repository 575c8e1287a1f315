"""Features of pixels and series: known values, and the same in every tile."""

import numpy as np
import pytest
import torch

from eoseg.errors import ConfigError
from eoseg.models.features import DEFAULT_WINDOW, PixelFeatures, flatten_series, gradient_length


def checks(size: int = 40) -> torch.Tensor:
    """Two bands: a ramp along columns, and squares of 4 pixels of 1 and 3."""
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    squares = 1.0 + 2.0 * ((rows // 4 + cols // 4) % 2)
    return torch.stack([cols * 0.5 + 1.0, squares])[None]


def naive(image: torch.Tensor, row: int, col: int, window: int) -> list[float]:
    """Mean, deviation and mean gradient of the valid pixels of a window, per band, one at a time."""
    array = image[0].numpy().astype(np.float64)
    seen = (array != 0).any(axis=0)
    half, (height, width) = window // 2, seen.shape
    places = [
        (r, c)
        for r in range(max(row - half, 0), min(row + half + 1, height))
        for c in range(max(col - half, 0), min(col + half + 1, width))
        if seen[r, c]
    ]

    def slope(band: np.ndarray, r: int, c: int, dr: int, dc: int) -> float:
        total = 0.0
        for sign in (-1, 1):
            r2, c2 = r + sign * dr, c + sign * dc
            if 0 <= r2 < height and 0 <= c2 < width and seen[r2, c2]:
                total += sign * (band[r2, c2] - band[r, c])
        return total / 2

    means, stds, gradients = [], [], []
    for band in array:
        values = [band[place] for place in places]
        means.append(np.mean(values))
        stds.append(np.std(values))
        gradients.append(
            np.mean([np.hypot(slope(band, r, c, 1, 0), slope(band, r, c, 0, 1)) for r, c in places])
        )
    return [*means, *stds, *gradients]


def test_bands_are_the_values_themselves():
    image = checks()
    features = PixelFeatures("bands", 0)
    assert (features.halo, features.count(2)) == (0, 2)
    assert torch.equal(features(image), image)


@pytest.mark.parametrize("window", [3, 5, 9])
@pytest.mark.parametrize("place", [(0, 0), (20, 17), (39, 3), (11, 12)])
def test_texture_agrees_with_a_plain_loop_also_at_borders_and_beside_gaps(window, place):
    image = checks()
    image[:, :, 10:13, 10:12] = 0.0  # not valid
    features = PixelFeatures("texture", window)
    result = features(image)[0, :, place[0], place[1]]
    assert len(result) == features.count(2) == 8
    assert torch.equal(result[:2], image[0, :, place[0], place[1]])
    torch.testing.assert_close(
        result[2:].double(),
        torch.tensor(naive(image, *place, window), dtype=torch.float64),
        rtol=1e-3,
        atol=1e-3,
    )


def test_the_default_window_is_that_of_the_docs():
    assert PixelFeatures("texture", 0).window == DEFAULT_WINDOW == 9


@pytest.mark.parametrize("window", [3, 9])
def test_a_tile_with_the_halo_has_exactly_the_features_of_the_whole(window):
    image = torch.randn(1, 3, 70, 90, generator=torch.Generator().manual_seed(0))
    image[:, :, 30:35, 40:60] = 0.0
    features = PixelFeatures("texture", window)
    halo = features.halo
    whole = features(image)[:, :, 20:51, 30:63]
    tile = features(image[:, :, 20 - halo : 51 + halo, 30 - halo : 63 + halo])
    assert torch.equal(tile[:, :, halo:-halo, halo:-halo], whole)
    short = features(image[:, :, 20 - halo + 1 : 51 + halo, 30 - halo : 63 + halo])
    assert not torch.equal(short[:, :, halo - 1 : -halo, halo:-halo], whole)  # one pixel less is too few


@pytest.mark.parametrize("kind", ["bands", "texture"])
def test_features_of_chosen_pixels_are_those_of_the_whole_image_in_order(kind):
    images = torch.randn(3, 2, 30, 25, generator=torch.Generator().manual_seed(0))
    where = torch.zeros(3, 30, 25, dtype=torch.bool)
    where[0, 4, 7] = where[0, 20, 3] = where[2, 0, 0] = where[2, 29, 24] = True  # none in the second
    features = PixelFeatures(kind, 5 if kind == "texture" else 0)
    expected = features(images).permute(0, 2, 3, 1)[where]
    assert torch.equal(features.at(images, where), expected)
    assert features.at(images, torch.zeros_like(where)).shape == (0, features.count(2))


def test_a_single_pixel_has_no_texture():
    result = PixelFeatures("texture", 3)(torch.tensor([2.0, -1.0]).view(1, 2, 1, 1))
    assert result.flatten().tolist() == [2.0, -1.0, 2.0, -1.0, 0.0, 0.0, 0.0, 0.0]


def test_the_gradient_of_a_ramp_is_its_slope_and_half_of_it_at_the_border():
    image = checks()[:, :1]
    length = gradient_length(image, torch.ones_like(image, dtype=torch.bool))
    assert torch.equal(length[0, 0, :, 1:-1], torch.full((40, 38), 0.5))
    assert torch.equal(length[0, 0, :, 0], torch.full((40,), 0.25))


@pytest.mark.parametrize(
    ("kind", "window", "message"),
    [
        ("glcm", 0, "features is one of bands, texture, found 'glcm'"),
        ("texture", 4, "odd number of pixels of at least 3 .*found 4"),
        ("texture", 1, "odd number of pixels of at least 3 .*found 1"),
        ("texture", -3, "window is a whole number of at least 0, found -3"),
        ("bands", 5, "window is for features: texture; found 5"),
    ],
)
def test_wrong_options_are_refused(kind, window, message):
    with pytest.raises(ConfigError, match=message):
        PixelFeatures(kind, window)


def series(values: list[float], valid: list[int], days: list[float]) -> list[float]:
    """Flatten the series of one pixel and one band."""
    steps = len(values)
    image = torch.tensor(values).view(1, steps, 1, 1, 1)
    seen = torch.tensor(valid, dtype=torch.bool).view(1, steps, 1, 1)
    return flatten_series(image, seen, torch.tensor([days])).flatten().tolist()


def test_a_gap_is_filled_along_the_line_in_time():
    # 10 of 40 days after the first valid date
    assert series([1.0, 99.0, 5.0], [1, 0, 1], [100.0, 110.0, 140.0]) == pytest.approx([1.0, 2.0, 5.0])


def test_two_gaps_in_a_row_and_both_ends():
    filled = series([9.0, 2.0, 9.0, 9.0, 8.0, 9.0], [0, 1, 0, 0, 1, 0], [1.0, 10.0, 20.0, 30.0, 40.0, 50.0])
    assert filled == pytest.approx([2.0, 2.0, 4.0, 6.0, 8.0, 8.0])


def test_a_series_over_the_new_year_goes_on():
    # 355 to 5: 15.25 days in a year of 365.25; 360 is 5 of them on
    assert series([0.0, 7.0, 15.25], [1, 0, 1], [355.0, 360.0, 5.0])[1] == pytest.approx(5.0, rel=1e-4)


def test_a_pixel_that_was_never_seen_is_the_mean():
    assert series([3.0, 4.0], [0, 0], [1.0, 2.0]) == [0.0, 0.0]


def test_what_an_invalid_date_holds_does_not_matter():
    first = series([1.0, 5.0, 3.0], [1, 0, 1], [1.0, 5.0, 9.0])
    assert first == series([1.0, float("nan"), 3.0], [1, 0, 1], [1.0, 5.0, 9.0])


def test_the_bands_of_a_date_stay_together_and_pixels_apart():
    image = torch.arange(24.0).view(1, 3, 2, 2, 2)  # (B, T, C, H, W)
    flat = flatten_series(image, torch.ones(1, 3, 2, 2, dtype=torch.bool), torch.tensor([[1.0, 2.0, 3.0]]))
    assert torch.equal(flat, image.view(1, 6, 2, 2))
