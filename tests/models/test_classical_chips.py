"""Classical models of chips: several labels, and descriptors of a trained network."""

import pytest
import torch
from classical_factory import make_body
from network_factory import BANDS, make_statistics

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError, DataError
from eoseg.models import build_from_recipe, build_network, network_config
from eoseg.models.classical_chips import ChipBody
from eoseg.models.classical_methods import METHODS
from eoseg.models.dimensions import Dimensions
from eoseg.recipe import Recipe, Schema, parse_classes

SIZE = 32


def chips(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Chips of 3 bands with two labels: bright in the first band, striped in the second."""
    number = torch.arange(count)
    labels = torch.stack([number % 2, number // 2 % 2], dim=1)
    image = 0.1 * torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    image[:, 0] += 2.0 * labels[:, 0, None, None] - 1.0
    image[:, 1] += labels[:, 1, None, None] * (1.0 - 2.0 * (torch.arange(SIZE) // 2 % 2))
    return image, labels


def valid(image: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(image[:, 0], dtype=torch.bool)


@pytest.mark.parametrize("name", METHODS)
def test_each_of_several_labels_is_learned(name):
    image, labels = chips()
    labels = torch.cat([labels, torch.ones_like(labels[:, :1]), torch.zeros_like(labels[:, :1])], dim=1)
    body = make_body("chips", name, Dimensions(3, 4, SIZE))
    body.collect(image, valid(image), labels)
    body.fit()
    logits = body(image)
    assert torch.equal((logits > 0).long(), labels)  # the last two are the same for all
    twin = make_body("chips", name, Dimensions(3, 4, SIZE))
    twin.load_state_dict(body.state_dict())
    assert torch.equal(twin(image), logits)


def test_several_labels_take_no_class_weights():
    image, labels = chips(8)
    body = make_body("chips", "random_forest", Dimensions(3, 2, SIZE))
    body.collect(image, valid(image), labels)
    with pytest.raises(ConfigError, match="no class weights where chips have several labels"):
        body.fit([1.0, 2.0])


def test_texture_alone_parts_chips():
    image, labels = chips()
    body = make_body("chips", "rbf_svm", Dimensions(3, 2, SIZE))
    body.collect(image, valid(image), labels[:, 1])
    body.fit()
    assert torch.equal(body(image).argmax(dim=1), labels[:, 1])


def test_chips_without_a_label_are_not_learned():
    image, labels = chips()
    target = torch.where(labels[:, 0] == 1, IGNORE, labels[:, 0])
    body = make_body("chips", "random_forest", Dimensions(3, 2, SIZE))
    body.collect(image, valid(image), target)
    body.collect(image, valid(image), torch.full_like(target, IGNORE))
    with pytest.raises(DataError, match="found class 0 alone"):
        body.fit()


def trained(kind: str = "classification", bands: int = 3, chip_size: int = SIZE) -> tuple:
    """A network with random weights, and its recipe."""
    torch.manual_seed(0)
    arch = "lenet5" if kind == "classification" else "softmax_regression"
    names = BANDS[bands]
    network = build_network(arch, bands=names, num_classes=4, kind=kind, chip_size=chip_size)
    network.normalize.set_statistics(make_statistics(names))
    recipe = Recipe(
        task="ClassificationTask" if kind == "classification" else "SegmentationTask",
        schema=Schema(bands=tuple(names), classes=parse_classes(["a", "b", "c", "d"])),
        statistics=make_statistics(names),
        network=network_config(network, arch, encoder=None, args=None),
        chip_size=chip_size,
        output_stride=1,
    )
    return network.eval(), recipe


def write(path, network, recipe) -> str:
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return str(path)


def test_descriptors_of_a_trained_network_are_learned_from_raw_values(tmp_path):
    network, recipe = trained()
    image, labels = chips()
    raw = 100 + 20 * image
    body = make_body(
        "chips",
        "linear_svm",
        Dimensions(3, 2, SIZE),
        checkpoint=write(tmp_path / "net.ckpt", network, recipe),
    )
    assert isinstance(body, ChipBody)
    assert body.wants_raw
    assert body.bands == recipe.schema.bands
    with torch.inference_mode():
        expected = network.body.features(network.prepare(raw, valid(raw)))
    torch.testing.assert_close(body.describe(raw), expected)
    body.collect(raw, valid(raw), labels[:, 0])
    body.fit()
    assert torch.equal(body(raw).argmax(dim=1), labels[:, 0])
    assert not [value for value in body.parameters() if value.requires_grad]
    assert not body.train().inner.training


def test_a_checkpoint_of_descriptors_needs_no_other_file(tmp_path):
    path = write(tmp_path / "net.ckpt", *trained())
    image, labels = chips()
    raw = 100 + 20 * image
    body = make_body("chips", "linear_svm", Dimensions(3, 2, SIZE), checkpoint=path, penalty=0.5)
    body.collect(raw, valid(raw), labels[:, 0])
    body.fit()
    (tmp_path / "net.ckpt").unlink()
    assert set(body.recipe_options) == {"penalty", "inner"}
    twin = make_body("chips", "linear_svm", Dimensions(3, 2, SIZE), **body.recipe_options)
    twin.load_state_dict(body.state_dict())
    assert torch.equal(twin(raw), body(raw))


def test_without_a_network_values_are_standardised_ones():
    body = make_body("chips", "rbf_svm", Dimensions(3, 2, SIZE))
    assert not body.wants_raw
    assert body.recipe_options is None


@pytest.mark.parametrize(
    ("options", "dims", "message"),
    [
        ({"kind": "segmentation"}, {}, "found a checkpoint of SegmentationTask with 'softmax_regression'"),
        ({"bands": 1}, {}, "takes the bands grey; found 3 bands"),
        ({}, {"chip_size": 64}, "takes chips of 32 pixels; found chip_size 64"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(options, dims, message):
    _, recipe = trained(**options)
    with pytest.raises(ConfigError, match=message):
        make_body(
            "chips",
            "rbf_svm",
            Dimensions(**{"channels": 3, "classes": 2, "chip_size": SIZE, **dims}),
            inner=recipe.to_dict(),
        )


def test_a_network_is_named_once(tmp_path):
    network, recipe = trained()
    with pytest.raises(ConfigError, match="checkpoint and inner name the same network"):
        make_body(
            "chips",
            "rbf_svm",
            Dimensions(3, 2, SIZE),
            checkpoint=write(tmp_path / "net.ckpt", network, recipe),
            inner=recipe.to_dict(),
        )


def test_the_recipe_alone_builds_the_network_again():
    _, recipe = trained()
    assert build_from_recipe(recipe).kind == "classification"
