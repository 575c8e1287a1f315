"""What sets the models apart that see a pixel's surroundings."""

import pytest
import torch
from series_factory import CLASSES, make_body, make_series
from torch import nn

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions
from eoseg.models.series_dense import convlstm, utae


def run(body: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = body.eval()(*inputs)
    return logits


@pytest.mark.parametrize("name", ["convlstm", "utae"])
def test_a_neighbouring_pixel_matters(name):
    image, valid, days = make_series()
    body = make_body(name)
    other = image.clone()
    other[..., 8, 9] += 5.0
    valid[..., 8, 9] = True
    change = (run(body, image, valid, days) - run(body, other, valid, days)).abs().amax(dim=(0, 1))
    assert change[8, 10] > 1e-5


def test_convlstm_takes_any_size():
    assert make_body("convlstm").output_stride == 1
    assert run(make_body("convlstm"), *make_series(height=5, width=1)).shape == (2, CLASSES, 5, 1)


def test_a_pixel_keeps_its_state_where_a_date_is_not_valid():
    image, valid, days = make_series(steps=2)
    valid[:] = True
    body = make_body("convlstm")
    first = run(body, image[:, :1], valid[:, :1], days[:, :1])
    valid[:, 1, :, :8] = False
    both = run(body, image, valid, days)
    torch.testing.assert_close(both[..., :8], first[..., :8])
    assert not torch.allclose(both[..., 8:], first[..., 8:], atol=1e-3)


@pytest.mark.parametrize(("depth", "stride"), [(2, 4), (3, 8), (5, 32)])
def test_the_output_stride_of_utae_follows_from_its_depth(depth, stride):
    body = make_body("utae", depth=depth)
    assert body.encoder.output_stride == stride
    assert run(body, *make_series(height=stride, width=2 * stride)).shape == (2, CLASSES, stride, 2 * stride)


@pytest.mark.parametrize("encoder", ["mit_b0", "mobilenet_v2", "tu-resnet18"])
def test_utae_takes_other_encoders(encoder):
    body = make_body("utae", encoder=encoder, heads=8)
    assert run(body, *make_series(height=32, width=32)).isfinite().all()


def test_clouded_dates_have_no_part_in_the_skips_of_utae():
    # Under a cloud that covers the left half of one date, that date must not dilute the others there.
    image, valid, days = make_series(height=32, width=64)
    valid[:] = True
    valid[:, 1, :, :32] = False
    body = make_body("utae")
    rest = [0, 2, 3, 4, 5, 6]
    without = run(body, image[:, rest], valid[:, rest], days[:, rest])
    logits = run(body, image, valid, days)
    torch.testing.assert_close(logits[..., :12], without[..., :12], atol=1e-4, rtol=1e-3)  # far from the edge
    assert not torch.allclose(logits[..., 40:], without[..., 40:], atol=1e-3)


def test_what_is_missing_beyond_a_tile_does_not_matter():
    # In the tile one date is missing altogether and one corner was never seen; in the image neither is.
    image, valid, days = make_series(height=8, width=320)
    valid[:] = True
    valid[:, 0, :, :240] = False
    valid[..., :24] = False
    body = make_body("utae")
    whole = run(body, image, valid, days)
    tile = run(body, image[..., :240], valid[..., :240], days)
    torch.testing.assert_close(tile[..., :160], whole[..., :160], atol=1e-5, rtol=1e-4)
    assert whole[..., :24].isfinite().all()


def test_dropout_of_utae_makes_training_random_unless_it_is_zero():
    series = make_series()
    for dropout, random in ((0.5, True), (0.0, False)):
        body = make_body("utae", dropout=dropout).train()
        assert torch.equal(body(*series), body(*series)) is not random


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (convlstm, {"hidden": 0}, "hidden is a whole number"),
        (convlstm, {"layers": 0}, "layers is a whole number"),
        (convlstm, {"kernel": 2}, "kernel is an odd number of pixels, found 2. Take 3."),
        (convlstm, {"kernel": 0}, "kernel is a whole number"),
        (utae, {"depth": 1}, "depth is a whole number from 2 to 5"),
        (utae, {"channels": 0}, "channels is a whole number"),
        (utae, {"width": 0}, "width is a whole number"),
        (utae, {"keys": 0}, "keys is a whole number"),
        (utae, {"heads": 0}, "heads is a whole number"),
        (utae, {"heads": 6}, "heads divides the width 128 and the channels.*found 6. Take 64, or a divisor"),
        (utae, {"dropout": 2}, "dropout is a number from 0"),
        (utae, {"encoder": "resnet"}, "There is no encoder 'resnet'"),
    ],
)
def test_values_outside_an_options_limits_are_refused(function, options, message):
    with pytest.raises(ConfigError, match=message):
        function(Dimensions(3, 2, steps=5), **options)


@pytest.mark.parametrize(
    ("function", "larger"),
    [
        (convlstm, {"hidden": 64}),
        (convlstm, {"layers": 2}),
        (convlstm, {"kernel": 5}),
        (utae, {"channels": 64}),
        (utae, {"width": 256}),
        (utae, {"keys": 8}),
        (utae, {"heads": 32}),
    ],
)
def test_options_of_size_change_the_size(function, larger):
    def count(body: nn.Module) -> int:
        return sum(value.numel() for value in body.parameters())

    dims = Dimensions(3, 2, steps=5)
    assert count(function(dims, **larger)) > count(function(dims))


@pytest.mark.parametrize("name", ["convlstm", "utae"])
def test_fields_that_differ_in_season_alone_are_told_apart(name):
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(4, 16, 16, dtype=torch.long)
    target[:, :, 8:] = 1
    image = 0.1 * torch.randn(4, 6, 1, 16, 16, generator=generator)
    image[:, 1, :, :, :8] += 2.0
    image[:, 4, :, :, 8:] += 2.0
    valid = torch.rand(4, 6, 16, 16, generator=generator) > 0.2
    days = torch.linspace(20.0, 340.0, 6).expand(4, -1)
    body = make_body(name, bands=1).train()
    optimizer = torch.optim.Adam(body.parameters(), lr=0.01)
    for _ in range(30):
        loss = nn.functional.cross_entropy(body(image, valid, days), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (run(body.train(), image, valid, days).argmax(dim=1) == target).float().mean() > 0.9
