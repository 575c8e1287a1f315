"""What sets networks for change apart; tests/models/test_contract.py has what all have in common."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.change import changevit, fc_ef, fc_siam_conc, fc_siam_diff
from eoseg.models.dimensions import Dimensions

FUNCTIONS = {
    "fc_ef": fc_ef,
    "fc_siam_conc": partial(fc_siam_conc, channels=4),
    "fc_siam_diff": partial(fc_siam_diff, channels=4),
    "changevit": partial(changevit, patch=16),
}
STRIDES = {"fc_ef": 16, "fc_siam_conc": 32, "fc_siam_diff": 32, "changevit": 16}
CLASSES = 3


def make_dims(bands: int = 3, *, classes: int = CLASSES) -> Dimensions:
    return Dimensions(bands, classes, chip_size=32, steps=2)


def make_body(name: str, bands: int = 3, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return FUNCTIONS[name](make_dims(bands), **options)


def make_pair(bands: int = 3, height: int = 32, width: int = 64, *, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 2, bands, height, width, generator=generator)


def output_stride(body: nn.Module) -> int:
    return int(body.output_stride if hasattr(body, "output_stride") else body.encoder.output_stride)


@pytest.fixture(scope="module", params=sorted(FUNCTIONS))
def body(request: pytest.FixtureRequest) -> nn.Module:
    return make_body(request.param)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_output_stride_is_that_of_the_coarsest_features(name):
    assert output_stride(make_body(name)) == STRIDES[name]


def test_both_dates_matter(body):
    body.eval()
    pair = make_pair()
    with torch.inference_mode():
        logits = body(pair)
        for date in (0, 1):
            other = pair.clone()
            other[:, date] += 1.0
            assert not torch.allclose(body(other), logits)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_another_number_of_dates_is_refused(name):
    with pytest.raises(ConfigError, match=r"takes 2 dates, found 3"):
        FUNCTIONS[name](Dimensions(3, 2, steps=3))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (fc_ef, {"width": 0}, "width is a whole number of at least 1"),
        (fc_ef, {"dropout": 1.0}, "dropout is a number from 0 to below 1"),
        (fc_siam_conc, {"depth": 2}, "depth is a whole number from 3 to 5"),
        (fc_siam_conc, {"channels": 0}, "channels is a whole number"),
        (fc_siam_conc, {"encoder": "resnet"}, "There is no encoder 'resnet'"),
        (fc_siam_diff, {"encoder": "tu-swin_tiny_patch4_window7_224"}, "images of one size only"),
        (fc_siam_diff, {"difference": "squared"}, "difference is one of absolute, signed"),
        (changevit, {"patch": 0}, "patch is a whole number"),
        (changevit, {"channels": 0}, "channels is a whole number"),
        (changevit, {"encoder": "resnet18"}, "plain vision transformer.*found 'resnet18'"),
        (changevit, {"encoder": "vit_tiny_patch"}, "There is no encoder 'vit_tiny_patch'"),
        (changevit, {"encoder": "vit_small_patch14_reg4_dinov2"}, "with one class token"),
    ],
)
def test_values_outside_an_options_limits_are_refused(function, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        function(make_dims(), **options)
    assert "\n" not in str(error.value)


def count(body: nn.Module) -> int:
    return sum(value.numel() for value in body.parameters())


def test_fc_ef_is_as_large_as_in_the_paper():
    # 1.35 million parameters for two dates of three bands and two classes (Daudt et al. 2018, table 2)
    assert count(fc_ef(make_dims(classes=2))) == pytest.approx(1.35e6, rel=0.01)
    assert count(fc_ef(make_dims(), width=4)) < count(fc_ef(make_dims())) / 10


@pytest.mark.parametrize("name", ["fc_siam_conc", "fc_siam_diff"])
def test_depth_and_channels_shape_the_siamese_models(name):
    assert output_stride(make_body(name, depth=3)) == 8
    assert count(make_body(name, channels=8)) > count(make_body(name, channels=4))
    assert count(make_body(name, encoder="mobilenet_v2")) < count(make_body(name)) / 2


def test_changevit_has_the_patch_and_decoder_it_is_asked_for():
    small = changevit(make_dims(), patch=8, channels=8)
    assert output_stride(small) == 8
    assert count(small.decoder) < count(make_body("changevit").decoder)
    other = changevit(make_dims(), encoder="vit_small_patch16_224", patch=16)
    assert other.encoder.embed_dim > small.encoder.embed_dim


def test_dropout_makes_training_random_unless_it_is_zero():
    pair = make_pair()
    for dropout, random in ((0.5, True), (0.0, False)):
        body = fc_ef(make_dims(), dropout=dropout).train()
        assert torch.equal(body(pair), body(pair)) is not random


def test_absolute_differences_do_not_ask_for_the_order_and_signed_ones_do():
    pair = make_pair()
    with torch.inference_mode():
        for difference, symmetric in (("absolute", True), ("signed", False)):
            body = make_body("fc_siam_diff", difference=difference).eval()
            assert torch.allclose(body(pair), body(pair.flip(1)), atol=1e-5) is symmetric


def test_the_order_of_the_dates_matters_where_features_are_joined():
    pair = make_pair()
    with torch.inference_mode():
        body = make_body("fc_siam_conc").eval()
        assert not torch.allclose(body(pair), body(pair.flip(1)), atol=1e-4)


def test_a_shift_of_a_whole_date_is_seen_in_training_too():
    # Were each date normalised by its own batch, an offset of one date would vanish in training.
    body = make_body("fc_siam_diff").train()
    still = make_pair()[:, :1].expand(-1, 2, -1, -1, -1)
    brighter = still.clone()
    brighter[:, 1] += 2.0
    levels = [level.view(-1, 2, *level.shape[1:]) for level in body.encoder(brighter.flatten(0, 1))]
    assert all((level[:, 1] - level[:, 0]).abs().max() > 0.1 for level in levels[1:])
    assert not torch.allclose(body(still), body(brighter), atol=1e-3)


@pytest.mark.parametrize("name", ["fc_ef", "fc_siam_diff"])
def test_a_planted_change_is_learned(name):
    """Squares that appear on the second date are change; those that disappear are not."""
    generator = torch.Generator().manual_seed(0)

    def make_batch() -> tuple[Tensor, Tensor]:
        pair = 0.1 * torch.randn(8, 2, 1, 32, 32, generator=generator)
        target = torch.zeros(8, 32, 32, dtype=torch.long)
        for chip in range(8):
            for date in (0, 1):
                row, col = torch.randint(0, 22, (2,), generator=generator).tolist()
                pair[chip, date, :, row : row + 10, col : col + 10] += 2.0
        target[(pair[:, 1, 0] > 1) & (pair[:, 0, 0] <= 1)] = 1
        return pair, target

    torch.manual_seed(0)
    dims = Dimensions(1, 2, chip_size=32, steps=2)
    if name == "fc_ef":
        body = fc_ef(dims, dropout=0.0)
    else:
        body = fc_siam_diff(dims, depth=3, channels=8, difference="signed")
    optimizer = torch.optim.Adam(body.parameters(), lr=3e-3)
    for _ in range(30):
        pair, target = make_batch()
        loss = nn.functional.cross_entropy(body(pair), target, weight=torch.tensor([1.0, 4.0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pair, target = make_batch()
    with torch.inference_mode():
        found = body.eval()(pair).argmax(dim=1)
    hits = ((found == 1) & (target == 1)).sum()
    assert 2 * hits / ((found == 1).sum() + (target == 1).sum()) > 0.8  # F1
