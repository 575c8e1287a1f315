"""Post-classification comparison: the probabilities are those of two maps, and no other file is needed."""

from pathlib import Path

import pytest
import torch
from network_factory import BANDS, make_image, make_recipe, make_statistics
from torch import Tensor, nn

from eoseg.errors import CheckpointError, ConfigError
from eoseg.models import Network, build_from_recipe
from eoseg.models.change_post import PostClassification, post_classification
from eoseg.models.dimensions import Dimensions
from eoseg.recipe import Recipe

DIMS = Dimensions(3, 2, chip_size=64, steps=2)
CONFIG = {"kind": "segmentation", "arch": "unet", "args": {"encoder": "resnet18", "channels": 4, "depth": 3}}


class ByBrightness(nn.Module):
    """Class 0 or 1 by the sign of the first band, as sure as that is large."""

    output_stride = 4

    def forward(self, image: Tensor) -> Tensor:
        return torch.stack([-image[:, 0], image[:, 0]], dim=1)


def make_inner() -> tuple[Network, Recipe]:
    network = Network(ByBrightness(), bands=BANDS[3], output_stride=4)
    network.normalize.set_statistics(make_statistics(BANDS[3]))
    return network, make_recipe(CONFIG, output_stride=4)


def make_pair() -> tuple[Tensor, Tensor]:
    (before, seen_before), (after, seen_after) = make_image(3, 32, 40), make_image(3, 32, 40, seed=1)
    return torch.stack([before, after], dim=1), torch.stack([seen_before, seen_after], dim=1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    recipe = make_recipe(CONFIG, output_stride=8)
    network = build_from_recipe(recipe)
    network.normalize.set_statistics(recipe.statistics)
    path = tmp_path / "inner.ckpt"
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "eoseg": recipe.to_dict()}, path)
    return path


def test_the_probability_of_change_is_that_of_two_different_classes():
    body = PostClassification(*make_inner())
    body.fit()
    image, valid = make_pair()
    chance = body(image, valid).exp()
    maps = [body.inner(image[:, date], valid[:, date]).softmax(dim=1) for date in (0, 1)]
    same = (maps[0] * maps[1]).sum(dim=1)
    torch.testing.assert_close(chance[:, 0], same, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(chance[:, 1], 1 - same, atol=1e-5, rtol=1e-4)
    assert body.output_stride == 4


def test_certain_classes_give_finite_logits():
    body = PostClassification(*make_inner())
    body.fit()
    image = torch.full((1, 2, 3, 4, 4), 1e6)
    image[:, 1, :, 2:] = -1e6
    logits = body(image)
    assert logits.isfinite().all()
    assert logits.argmax(dim=1)[0].tolist() == [[0] * 4] * 2 + [[1] * 4] * 2


def test_a_checkpoint_is_compared_with_and_then_needed_no_more(checkpoint):
    body = post_classification(DIMS, checkpoint=str(checkpoint))
    body.fit()
    image, valid = make_pair()
    expected = body(image, valid)
    assert body.bands == tuple(BANDS[3])
    assert body.output_stride == 8
    assert body.wants_raw
    checkpoint.unlink()
    twin = post_classification(DIMS, **body.recipe_options)
    twin.load_state_dict(body.state_dict())
    assert torch.equal(twin(image, valid), expected)


def test_the_inner_network_stays_as_it_is(checkpoint):
    body = post_classification(DIMS, checkpoint=str(checkpoint)).train()
    assert body.training
    assert not body.inner.training
    assert not any(value.requires_grad for value in body.parameters())


def test_it_predicts_only_once_it_was_declared_ready(checkpoint):
    body = post_classification(DIMS, checkpoint=str(checkpoint))
    with pytest.raises(CheckpointError, match=r"never fitted"):
        body(*make_pair())
    with pytest.raises(ConfigError, match=r"takes no class weights"):
        body.fit([1.0, 1.0])


@pytest.mark.parametrize("options", [{}, {"checkpoint": "a.ckpt", "inner": {}}])
def test_exactly_one_source_is_taken(options):
    with pytest.raises(ConfigError, match=r"set its option 'checkpoint' to the path"):
        post_classification(DIMS, **options)


def test_a_missing_or_foreign_checkpoint_is_refused(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"does not exist"):
        post_classification(DIMS, checkpoint=str(tmp_path / "none.ckpt"))
    with pytest.raises(CheckpointError, match=r"version None"):
        post_classification(DIMS, inner={"nothing": 1})
    with pytest.raises(ConfigError, match=r"takes the bands red, green, blue; found 4 bands"):
        post_classification(Dimensions(4, 2, steps=2), checkpoint=str(checkpoint))
    with pytest.raises(ConfigError, match=r"2 classes apart"):
        post_classification(Dimensions(3, 4, steps=2), checkpoint=str(checkpoint))


def test_a_checkpoint_of_another_kind_is_refused(checkpoint, monkeypatch):
    network, recipe = make_inner()
    network.kind = "change"
    monkeypatch.setattr("eoseg.models.checkpoint.load_network", lambda path: (network, recipe))
    with pytest.raises(ConfigError, match=r"compares classes per pixel; found a checkpoint of"):
        post_classification(DIMS, checkpoint=str(checkpoint))
