"""From tiles to classes: the core only, nothing where nothing is valid."""

import numpy as np
import pytest
import torch
from predict_factory import (
    Brightness,
    ChipBrightness,
    Constant,
    Convolutions,
    NotANumber,
    SeriesConvolutions,
    make_network,
    make_recipe,
    whole_image,
    whole_logits,
)
from torch import nn

from eoseg.errors import CheckpointError, ConfigError
from eoseg.geo.tiles import Tile
from eoseg.geo.window import Window
from eoseg.predict.classifier import Classifier, pick_device
from eoseg.predict.products import ClassProduct
from eoseg.predict.reader import TileImage

CPU = torch.device("cpu")


def tile(image: np.ndarray, *, core: Window, valid: np.ndarray | None = None) -> TileImage:
    height, width = image.shape[1:]
    known = np.ones((height, width), bool) if valid is None else valid
    return TileImage(0, Tile(core, Window(0, 0, height, width)), image.astype(np.float32), known)


def classifier(body: nn.Module, *, probabilities: bool = False, num_classes: int = 4) -> Classifier:
    product = ClassProduct(make_recipe().schema.classes[:num_classes], probabilities=probabilities)
    return Classifier([make_network(body)], product, device=CPU)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (3, 12, 16))


def test_only_the_core_is_kept() -> None:
    core = Window(2, 4, 5, 6)
    (result,) = classifier(Brightness()).classify([tile(noise(), core=core)])
    expected = whole_image(make_network(Brightness()), noise())
    np.testing.assert_array_equal(result.layers[0], expected[2:7, 4:10])
    assert result.layers[0].dtype == np.uint8
    assert len(result.layers) == 1


def test_a_batch_gives_what_its_tiles_give_alone() -> None:
    tiles = [tile(noise(seed), core=Window(0, 0, 12, 16)) for seed in range(3)]
    together = classifier(Convolutions(2))
    alone = classifier(Convolutions(2))
    for result, one in zip(together.classify(tiles), tiles, strict=True):
        np.testing.assert_array_equal(result.layers[0], alone.classify([one])[0].layers[0])
    assert (together.passes, alone.passes) == (1, 3)


def test_pixels_that_are_not_valid_get_no_class() -> None:
    valid = np.random.default_rng(0).random((12, 16)) > 0.5
    source = tile(noise(), core=Window(1, 1, 9, 9), valid=valid)
    (result,) = classifier(Constant(), probabilities=True).classify([source])
    np.testing.assert_array_equal(result.layers[0], np.where(valid[1:10, 1:10], 2, 255))
    assert (result.layers[1][:, ~valid[1:10, 1:10]] == 255).all()


def test_probabilities_are_the_softmax_and_go_with_the_classes() -> None:
    source = tile(noise(), core=Window(0, 0, 12, 16))
    (result,) = classifier(Convolutions(2), probabilities=True).classify([source])
    with torch.inference_mode():
        logits = make_network(Convolutions(2))(
            torch.from_numpy(source.image)[None], torch.from_numpy(source.valid)[None]
        )[0]
    np.testing.assert_allclose(result.layers[1] / 250, logits.softmax(dim=0), atol=0.0021)
    own = np.take_along_axis(result.layers[1], result.layers[0][None].astype(int), axis=0)[0]
    np.testing.assert_array_equal(own, result.layers[1].max(axis=0))


def test_a_network_whose_training_diverged_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no finite numbers"):
        classifier(NotANumber()).classify([tile(noise(), core=Window(0, 0, 4, 4))])


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(CheckpointError, match="recipe has 3 classes"):
        classifier(Constant(), num_classes=3).classify([tile(noise(), core=Window(0, 0, 4, 4))])


def test_a_network_in_training_mode_is_switched_to_evaluation() -> None:
    network = make_network(nn.Sequential(Constant(), nn.Dropout(0.5))).train()
    Classifier([network], ClassProduct(make_recipe().schema.classes), device=CPU)
    assert not network.training


def test_devices_are_found_by_name() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_model_for_the_cpu_alone_is_refused_elsewhere(name: str) -> None:
    with pytest.raises(ConfigError, match=f"runs on the CPU, .* found --device {name}. Use --device cpu"):
        pick_device(name, cpu_only=True)
    assert pick_device("cpu", cpu_only=True) == CPU


def test_a_model_for_the_cpu_alone_goes_there_though_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto", cpu_only=True) == CPU
    assert [pick_device("auto", local=place).index for place in range(3)] == [0, 1, 0]


def test_a_chip_gives_its_core_one_class() -> None:
    network = make_network(ChipBrightness(), kind="classification")
    product = ClassProduct(make_recipe().schema.classes)
    dark, bright = np.zeros((3, 12, 12)), np.full((3, 12, 12), 255)
    tiles = [tile(image, core=Window(4, 4, 3, 2)) for image in (dark, bright)]
    first, second = Classifier([network], product, device=CPU).classify(tiles)
    assert first.layers[0].tolist() == [[0, 0]] * 3
    assert second.layers[0].tolist() == [[3, 3]] * 3


def test_a_network_of_pixels_is_no_network_of_chips() -> None:
    network = make_network(Brightness(), kind="classification")
    product = ClassProduct(make_recipe().schema.classes)
    with pytest.raises(CheckpointError, match=r"logits of shape \(1, 4, 12, 16\)"):
        Classifier([network], product, device=CPU).classify([tile(noise(), core=Window(0, 0, 4, 4))])


def test_the_days_reach_each_series_of_a_batch() -> None:
    recipe = make_recipe(time="series", steps=2)
    network = make_network(SeriesConvolutions(1), recipe=recipe)
    images = np.stack([noise(0), noise(1)]).astype(np.float32)
    size = Window(0, 0, 12, 16)
    tiles = [TileImage(n, Tile(size, size), images, np.ones((2, 12, 16), bool), "series") for n in range(3)]
    maps = []
    for days in ([1, 366], [366, 1]):
        product = ClassProduct(recipe.schema.classes)
        classifier = Classifier([network], product, device=CPU, days=np.array(days, np.float32))
        results = classifier.classify(tiles)
        expected = whole_logits(network, images, np.ones((2, 12, 16), bool), days).argmax(dim=0)
        for result in results:
            np.testing.assert_array_equal(result.layers[0], expected)
        maps.append(results[0].layers[0])
    assert (maps[0] != maps[1]).any()


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"There is no device|computes nothing"):
        pick_device(name)


def test_the_recipe_of_these_tests_has_four_classes() -> None:
    assert len(make_recipe().schema.classes) == 4
