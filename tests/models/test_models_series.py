"""What models of series must do beyond the contract, and what sets those of single pixels apart."""

import pytest
import torch
from series_factory import CLASSES, FUNCTIONS, PIXELWISE, STEPS, make_body, make_series
from torch import nn

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions
from eoseg.models.series import LightweightAttention, lstm, ltae, tempcnn, transformer

ANY_LENGTH = sorted(FUNCTIONS.keys() - {"tempcnn"})
ATTENTION = ["ltae", "transformer", "utae"]
NAMES = sorted(FUNCTIONS)


def run(body: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = body.eval()(*inputs)
    return logits


@pytest.mark.parametrize("held", [4321.0, float("nan")])
@pytest.mark.parametrize("name", NAMES)
def test_what_an_invalid_date_holds_does_not_matter(name, held):
    image, valid, days = make_series()
    other = torch.where(valid.unsqueeze(2), image, torch.tensor(held))
    assert torch.equal(run(make_body(name), other, valid, days), run(make_body(name), image, valid, days))


@pytest.mark.parametrize("name", NAMES)
def test_what_an_invalid_date_holds_does_not_matter_in_training(name):
    image, valid, days = make_series()
    valid[:, 2] = False  # batch normalisation sees no date that is missing altogether
    other = torch.where(valid.unsqueeze(2), image, torch.tensor(99.0))
    bodies = [make_body(name).train() for _ in range(2)]
    for module in [module for body in bodies for module in body.modules()]:
        if isinstance(module, (nn.Dropout, nn.MultiheadAttention)):
            module.eval()
    if name == "transformer":
        bodies = [body.eval() for body in bodies]
    torch.manual_seed(1)
    first = bodies[0](image, valid, days)
    torch.manual_seed(1)
    assert torch.equal(bodies[1](other, valid, days), first)


@pytest.mark.parametrize("name", ANY_LENGTH)
def test_a_date_that_is_valid_nowhere_is_as_good_as_absent(name):
    image, valid, days = make_series()
    valid[:, 3] = False
    rest = [0, 1, 2, 4, 5, 6]
    body = make_body(name)
    without = run(body, image[:, rest], valid[:, rest], days[:, rest])
    torch.testing.assert_close(run(body, image, valid, days), without, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ANY_LENGTH)
def test_any_number_of_dates_is_taken(name):
    for steps in (1, 12):
        assert run(make_body(name), *make_series(steps=steps)).isfinite().all()


def test_tempcnn_refuses_another_number_of_dates():
    with pytest.raises(ConfigError, match=r"made for series of 7 dates, found 6\. .*lstm, ltae"):
        make_body("tempcnn")(*make_series(steps=6))


@pytest.mark.parametrize("name", ATTENTION)
def test_the_order_in_which_dates_are_given_does_not_matter_to_attention(name):
    image, valid, days = make_series()
    order = [3, 0, 6, 2, 5, 1, 4]
    body = make_body(name)
    mixed = run(body, image[:, order], valid[:, order], days[:, order])
    torch.testing.assert_close(run(body, image, valid, days), mixed, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_days_matter(name):
    image, valid, days = make_series()
    body = make_body(name)
    other = days.clone()
    other[:, 1:4] += torch.tensor([30.0, 20.0, 5.0])
    assert not torch.allclose(run(body, image, valid, days), run(body, image, valid, other), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_valid_date_matters(name):
    image, valid, days = make_series()
    valid[:, 2] = True
    body = make_body(name)
    other = image.clone()
    other[:, 2] += 2.0
    assert not torch.allclose(run(body, image, valid, days), run(body, other, valid, days), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_without_a_single_valid_date_are_finite(name):
    image, valid, days = make_series()
    valid[:, :, :9, :9] = False
    valid[1] = False  # a whole chip
    for mode in (True, False):
        assert make_body(name).train(mode)(image, valid, days).isfinite().all()


@pytest.mark.parametrize("name", sorted(PIXELWISE))
def test_tables_of_pixels_are_images_of_one_pixel(name):
    image, valid, days = make_series()
    body = make_body(name)
    assert body.output_stride == 1
    expected = run(body, image, valid, days)[:, :, 5, 7]
    single = run(body, image[..., 5:6, 7:8], valid[..., 5:6, 7:8], days)
    torch.testing.assert_close(single[:, :, 0, 0], expected, atol=1e-5, rtol=1e-4)
    many = make_series(height=1, width=1, batch=6)
    assert body.train()(*many).shape == (6, CLASSES, 1, 1)


@pytest.mark.parametrize("name", sorted(PIXELWISE))
def test_each_sample_has_its_own_days(name):
    image, valid, _ = make_series(height=3, width=2)
    days = torch.stack([torch.linspace(10.0, 350.0, STEPS), torch.linspace(30.0, 200.0, STEPS) ** 1.02])
    body = make_body(name)
    whole = run(body, image, valid, days)
    parts = [run(body, image[i : i + 1], valid[i : i + 1], days[i : i + 1]) for i in (0, 1)]
    torch.testing.assert_close(whole, torch.cat(parts), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lstm, {"hidden": 0}, "hidden is a whole number"),
        (lstm, {"layers": 0}, "layers is a whole number"),
        (lstm, {"dropout": 1}, "dropout is a number from 0"),
        (tempcnn, {"channels": 0}, "channels is a whole number"),
        (tempcnn, {"kernel": 4}, "kernel is an odd number of dates, found 4. Take 5."),
        (tempcnn, {"kernel": 0}, "kernel is a whole number"),
        (tempcnn, {"hidden": -1}, "hidden is a whole number"),
        (tempcnn, {"dropout": 1.5}, "dropout is a number from 0"),
        (ltae, {"width": 100}, "width is a multiple of heads .16., found 100. Take 112."),
        (ltae, {"heads": 0}, "heads is a whole number"),
        (ltae, {"keys": 0}, "keys is a whole number"),
        (ltae, {"dropout": -1}, "dropout is a number from 0"),
        (transformer, {"width": 10}, "width is a multiple of heads .4., found 10. Take 12."),
        (transformer, {"layers": 0}, "layers is a whole number"),
        (transformer, {"dropout": "no"}, "dropout is a number from 0"),
    ],
)
def test_values_outside_an_options_limits_are_refused(function, options, message):
    with pytest.raises(ConfigError, match=message):
        function(Dimensions(3, 2, steps=5), **options)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (lstm, {"hidden": 32}),
        (lstm, {"layers": 1}),
        (tempcnn, {"channels": 16}),
        (tempcnn, {"kernel": 3}),
        (tempcnn, {"hidden": 32}),
        (ltae, {"width": 64}),
        (ltae, {"keys": 4}),
        (ltae, {"heads": 8}),
        (transformer, {"width": 32}),
        (transformer, {"layers": 1}),
    ],
)
def test_options_of_size_change_the_size(function, options):
    def count(body: nn.Module) -> int:
        return sum(value.numel() for value in body.parameters())

    dims = Dimensions(3, 2, steps=5)
    assert count(function(dims, **options)) < count(function(dims))


def test_the_number_of_heads_changes_the_output_of_the_same_weights():
    first, other = make_body("transformer", heads=2), make_body("transformer", heads=4)
    other.load_state_dict(first.state_dict())
    assert not torch.allclose(run(first, *make_series()), run(other, *make_series()), atol=1e-4)


@pytest.mark.parametrize("name", sorted(PIXELWISE))
def test_dropout_makes_training_random_unless_it_is_zero(name):
    series = make_series()
    for dropout, random in ((0.5, True), (0.0, False)):
        body = make_body(name, dropout=dropout).train()
        assert torch.equal(body(*series), body(*series)) is not random


def test_lightweight_attention_is_a_weighted_mean_of_the_valid_dates():
    torch.manual_seed(0)
    layer = LightweightAttention(8, heads=2, keys=3, dropout=0.0)
    embedded, valid = torch.randn(5, STEPS, 8), torch.rand(5, STEPS) > 0.4
    valid[0] = False
    days = torch.linspace(1, 300, STEPS).expand(5, -1)
    result, weights = layer(embedded, valid, days)
    assert result.shape == (5, 8)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(5, 2))
    assert (weights[1:].masked_select(~valid[1:, None].expand(-1, 2, -1)) == 0).all()
    torch.testing.assert_close(
        weights[0].sum(), torch.tensor(2.0)
    )  # no date is valid: all take part, so that the result is finite


@pytest.mark.parametrize("name", sorted(PIXELWISE))
def test_seasons_that_differ_in_time_alone_are_told_apart(name):
    """Both classes have the same values, in another order: early or late in the year."""
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(256) % 2
    image = 0.1 * torch.randn(256, STEPS, 1, 1, 1, generator=generator)
    image[target == 0, 1:3] += 2.0
    image[target == 1, 4:6] += 2.0
    valid = torch.rand(256, STEPS, 1, 1, generator=generator) > 0.2
    days = torch.linspace(20.0, 340.0, STEPS).expand(256, -1)
    body = make_body(name, bands=1, dropout=0.0).train()
    optimizer = torch.optim.Adam(body.parameters(), lr=0.01)
    for _ in range(60):
        loss = nn.functional.cross_entropy(body(image, valid, days)[:, :, 0, 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = run(body, image, valid, days)[:, :, 0, 0].argmax(dim=1)
    assert (found == target).float().mean() > 0.95
