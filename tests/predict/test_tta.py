"""Maps of the mean over the symmetries, and files that say how sure a map is."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from predict_factory import (
    BANDS,
    Brightness,
    Convolutions,
    PairConvolutions,
    Pooled,
    SeriesConvolutions,
    make_network,
    make_recipe,
    smooth_noise,
)
from torch import Tensor, nn

from eoseg.errors import CheckpointError, ConfigError, OutputError
from eoseg.geo import cog
from eoseg.geo.parts import Parts
from eoseg.models.network import Network
from eoseg.predict import Prediction, PredictOptions, Rank, predict_scene, predict_share
from eoseg.predict.chosen_product import make_product
from eoseg.predict.passes import Passes
from eoseg.predict.preparation import prepare
from eoseg.predict.work import Work
from eoseg.recipe import Quantity, Recipe

HEIGHT = Quantity("height", "m")
SURE = {"tta": True, "uncertainty": True, "probabilities": True}


def predict(network: Network, scenes: Sequence[Path], recipe: Recipe, **options: object) -> Prediction:
    out = scenes[0].with_name("map.tif")
    return predict_scene(
        network, recipe, [str(path) for path in scenes], out, options=PredictOptions(**options)
    )


def read(path: Path | None) -> np.ndarray:
    assert path is not None
    with rasterio.open(path) as dataset:
        return dataset.read()


def turned(array: np.ndarray) -> list[np.ndarray]:
    """An image `(..., H, W)` in eight ways, by rotations and a mirror."""
    return [np.rot90(one, n, axes=(-2, -1)) for one in (array, array[..., ::-1]) for n in range(4)]


def back(results: list[np.ndarray]) -> np.ndarray:
    """The opposite of `turned`, stacked."""
    straight = [np.rot90(one, -(n % 4), axes=(-2, -1)) for n, one in enumerate(results)]
    return np.stack([*straight[:4], *(one[..., ::-1] for one in straight[4:])])


def whole_scene(
    network: Network, image: np.ndarray, valid: np.ndarray, days: Sequence[float] | None = None
) -> np.ndarray:
    """Logits `(8, K, H, W)` of the whole scene, filled up to the stride, for each symmetry."""
    height, width = valid.shape[-2:]
    fill = [(0, -size % network.output_stride) for size in (height, width)]
    image = np.pad(image.astype(np.float32), [(0, 0)] * (image.ndim - 2) + fill)
    valid = np.pad(valid, [(0, 0)] * (valid.ndim - 2) + fill)
    dated = None if days is None else torch.tensor([days], dtype=torch.float32)
    results = []
    with torch.inference_mode():
        for one, known in zip(turned(image), turned(valid), strict=True):
            arguments = (torch.from_numpy(array.copy())[None] for array in (one, known))
            results.append(network(*arguments, dated)[0].numpy())
    return back(results)[..., :height, :width]


def check(prediction: Prediction, logits: np.ndarray, valid: np.ndarray) -> float:
    """Compare all files with the logits of the whole scene; the largest spread."""
    chances = torch.from_numpy(logits.astype(np.float64)).softmax(dim=1).numpy()
    mean, deviation = chances.mean(axis=0), chances.std(axis=0)
    ordered = np.sort(mean, axis=0)
    margin = ordered[-1] - ordered[-2]
    clear = valid & (margin > 1e-5)  # elsewhere rounding decides
    best = mean.argmax(axis=0)
    np.testing.assert_array_equal(read(prediction.path)[0][clear], best[clear])
    entropy = -(mean * np.log(mean.clip(1e-300))).sum(axis=0) / np.log(len(mean))
    spread = np.take_along_axis(deviation, best[None], axis=0)[0]
    sure = read(prediction.uncertainty)
    for band, expected in zip(sure[:3], (entropy, margin, spread), strict=True):
        np.testing.assert_allclose(band[clear] / 250, expected[clear], atol=0.0021)
    np.testing.assert_allclose(read(prediction.probabilities)[:, valid] / 250, mean[:, valid], atol=0.0021)
    assert (sure[3, valid] == 0).all()  # no value that training never saw
    assert (sure[:, ~valid] == 255).all()
    assert (read(prediction.path)[0] == 255).sum() == (~valid).sum()
    assert prediction.exact
    return float(spread[clear].max())


# The mean over the symmetries is exact where the network is


@pytest.mark.parametrize("size", [(97, 131), (64, 64), (10, 131), (65, 9)])
@pytest.mark.parametrize(("body", "stride"), [(Convolutions(4), 1), (Pooled(), 2)])
def test_a_tiled_map_is_that_of_the_whole_scene_in_all_symmetries(
    make_scene: MakeScene, body: nn.Module, stride: int, size: tuple[int, int]
) -> None:
    image = smooth_noise(*size).clip(1)
    image[:, 3:9, 2:30] = 0
    path = make_scene("s.tif", image, names=BANDS, nodata=0)
    recipe = make_recipe(stride=stride)
    network = make_network(body, stride=stride, recipe=recipe)
    prediction = predict(network, [path], recipe, tile=16, batch_size=3, **SURE)
    valid = (image != 0).all(axis=0)
    assert check(prediction, whole_scene(network, image, valid), valid) > 0.03
    assert prediction.tiles > 1
    assert (prediction.passes.count, str(prediction.passes)) == (8, "8 symmetries")


def test_one_pixel_of_halo_less_is_not_exact(make_scene: MakeScene) -> None:
    image = smooth_noise(80, 90)
    network = make_network(Convolutions(3))
    mean = torch.from_numpy(whole_scene(network, image, np.ones((80, 90), bool))).softmax(dim=1).mean(dim=0)
    path = make_scene("s.tif", image, names=BANDS)
    worst = []
    for halo in (3, 2):
        prediction = predict(
            network, [path], make_recipe(), tile=16, halo=halo, tta=True, probabilities=True, overwrite=True
        )
        worst.append(np.abs(read(prediction.probabilities) / 250 - mean.numpy()).max())
    assert worst[0] < 0.0021 < worst[1]


def test_the_scene_border_is_where_it_is_in_the_whole_scene(make_scene: MakeScene) -> None:
    class Border(nn.Module):
        """Class 1 where the pixel above lies outside of what the network sees."""

        def forward(self, image: Tensor) -> Tensor:
            inside = nn.functional.pad(0 * image[:, :1] + 1, (0, 0, 1, 0))[:, :, :-1]
            return torch.cat([torch.zeros_like(inside), 20 - 40 * inside], dim=1)

    recipe = make_recipe(classes=("no", "yes"))
    path = make_scene("s.tif", smooth_noise(40, 50), names=BANDS)
    prediction = predict(make_network(Border(), recipe=recipe), [path], recipe, tile=16, **SURE)
    chance = read(prediction.probabilities)[1]
    assert prediction.exact
    assert np.isin(chance[0, 1:-1], (62, 63)).all()  # two of eight symmetries turn this border up: 1/4
    assert np.isin(chance[1:-1, -1], (62, 63)).all()
    assert (chance[[0, 0, -1, -1], [0, -1, 0, -1]] == 125).all()
    assert (chance[1:-1, 1:-1] == 0).all()


# What symmetries do to a map, with known answers


class RightNeighbour(nn.Module):
    """The quantity is the pixel on the right; class 1 where that pixel is bright."""

    def __init__(self, *, classes: bool = True) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, image: Tensor) -> Tensor:
        right = nn.functional.pad(image[:, :1], (0, 1))[..., 1:]
        if not self.classes:
            return right
        return torch.cat([torch.zeros_like(right), 4 * right.sign()], dim=1)


EDGE = np.where(np.arange(24) < 12, 50, 200).astype(np.uint8) * np.ones((3, 20, 1), np.uint8)
CHANCE = 1 / (1 + np.exp(-4))


def test_a_network_that_depends_on_orientation_gets_the_mean(make_scene: MakeScene) -> None:
    recipe = make_recipe(classes=("dark", "bright"))
    path = make_scene("s.tif", EDGE, names=BANDS)
    network = make_network(RightNeighbour(), recipe=recipe)
    plain = predict(network, [path], recipe, tile=8, uncertainty=True)
    assert read(plain.path)[0, 5, 10:13].tolist() == [0, 1, 1]
    assert read(plain.uncertainty).shape[0] == 3  # no symmetries, no spread
    averaged = predict(network, [path], recipe, tile=8, overwrite=True, **SURE)
    # Left of the edge a neighbour is bright in two of eight symmetries, in which it lies on the right.
    mean = (2 * CHANCE + 6 * (1 - CHANCE)) / 8
    spread = (2 * CHANCE - 1) * np.sqrt(2 / 8 * 6 / 8)
    assert read(averaged.path)[0, 5, 10:13].tolist() == [0, 0, 1]
    assert read(averaged.probabilities)[1, 5, 11] == round(250 * mean)
    assert read(averaged.uncertainty)[1:3, 5, 11].tolist() == [
        round(250 * (1 - 2 * mean)),
        round(250 * spread),
    ]
    assert read(averaged.uncertainty)[2, 5, 10] == 0


def test_a_quantity_has_the_mean_and_its_spread_in_the_unit(make_scene: MakeScene) -> None:
    recipe = make_recipe(quantity=HEIGHT)
    path = make_scene("s.tif", EDGE, names=BANDS)
    network = make_network(RightNeighbour(classes=False), recipe=recipe)
    prediction = predict(network, [path], recipe, tile=8, tta=True, uncertainty=True)
    dark, bright = ((value - 127.5) / 58.75 * 5 + 10 for value in (50, 200))
    np.testing.assert_allclose(read(prediction.path)[0, 5, 11], (2 * bright + 6 * dark) / 8, rtol=1e-5)
    spread = read(prediction.uncertainty)
    np.testing.assert_allclose(spread[0, 5, 11], (bright - dark) * np.sqrt(3) / 4, rtol=1e-5)
    assert spread.dtype == np.float32
    assert (spread[0, 5, [9, 10, 15]] == 0).all()
    with rasterio.open(prediction.uncertainty) as dataset:
        assert (dataset.descriptions, dataset.units) == (("spread", "out_of_range"), ("m", None))


def test_a_quantity_from_one_pass_has_no_spread(make_scene: MakeScene) -> None:
    recipe = make_recipe(quantity=HEIGHT)
    path = make_scene("s.tif", EDGE, names=BANDS)
    network = make_network(RightNeighbour(classes=False), recipe=recipe)
    prediction = predict(network, [path], recipe, tile=8, uncertainty=True)
    assert prediction.uncertainty is not None
    with rasterio.open(prediction.uncertainty) as dataset:
        assert dataset.descriptions == ("out_of_range",)


def test_a_network_without_orientation_has_no_spread(make_scene: MakeScene) -> None:
    class Round(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return Brightness()(nn.functional.avg_pool2d(image, 3, stride=1, padding=1))

    path = make_scene("s.tif", smooth_noise(50, 60), names=BANDS)
    plain = read(predict(make_network(Round()), [path], make_recipe(), tile=16).path)
    prediction = predict(make_network(Round()), [path], make_recipe(), tile=16, overwrite=True, **SURE)
    assert (read(prediction.uncertainty)[2] == 0).all()
    assert (read(prediction.path) != plain).mean() < 1e-3  # where two classes tie within rounding


def test_the_threshold_decides_on_the_mean_and_on_whose_spread_it_is(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", EDGE, names=BANDS)
    for threshold, expected in ((0.26, 0), (0.25, 1)):  # the mean is 0.2589...: see above
        recipe = make_recipe(classes=("dark", "bright"), threshold=threshold)
        network = make_network(RightNeighbour(), recipe=recipe)
        prediction = predict(network, [path], recipe, tile=8, overwrite=True, **SURE)
        assert read(prediction.path)[0, 5, 11] == expected


def test_labels_have_their_own_means_and_the_largest_spread(make_scene: MakeScene) -> None:
    class Labels(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.cat([RightNeighbour()(image)[:, 1:], torch.full_like(image[:, :1], 2.0)], dim=1)

    recipe = make_recipe(classes=("a", "b"), multilabel=True)
    path = make_scene("s.tif", EDGE, names=BANDS)
    prediction = predict(make_network(Labels(), recipe=recipe), [path], recipe, tile=8, **SURE)
    mean = (2 * CHANCE + 6 * (1 - CHANCE)) / 8
    sure = 1 / (1 + np.exp(-2))
    chances = read(prediction.probabilities)[:, 5, 11]
    assert chances.tolist() == [round(250 * mean), round(250 * sure)]
    spread = (2 * CHANCE - 1) * np.sqrt(2 / 8 * 6 / 8)
    assert read(prediction.uncertainty)[1:3, 5, 11].tolist() == [
        round(250 * (1 - 2 * mean)),
        round(250 * spread),
    ]
    assert read(prediction.path)[:, 5, 11].tolist() == [0, 1]


# Every kind of network


def test_change_and_series_turn_all_dates_with_their_gaps(make_scene: MakeScene) -> None:
    images = np.stack([smooth_noise(40, 53, seed=seed).clip(1) for seed in range(2)])
    images[0, :, :9, 20:] = 0
    images[1, :, 5:30, :7] = 0
    valid = (images != 0).all(axis=1)
    paths = [
        make_scene(f"s_2021-0{n + 1}-01.tif", image, names=BANDS, nodata=0) for n, image in enumerate(images)
    ]
    pair = make_recipe(time="pair", steps=2)
    network = make_network(PairConvolutions(3), recipe=pair)
    prediction = predict(network, paths, pair, tile=16, **SURE)
    assert check(prediction, whole_scene(network, images, valid), valid.all(axis=0)) > 0.05
    series = make_recipe(time="series", steps=2)
    network = make_network(SeriesConvolutions(3), recipe=series)
    prediction = predict(network, paths, series, tile=16, overwrite=True, **SURE)
    logits = whole_scene(network, images, valid, [1, 32])
    assert check(prediction, logits, valid.any(axis=0)) > 0.05


def test_a_chip_is_turned_as_a_whole(make_scene: MakeScene) -> None:
    class Corner(nn.Module):
        """How bright the first pixel of the chip is."""

        def forward(self, image: Tensor) -> Tensor:
            return torch.cat([torch.zeros_like(image[:, :1, 0, 0]), 4 * image[:, :1, 0, 0].sign()], dim=1)

    image = np.full((3, 16, 24), 50, np.uint8)
    image[:, 0, 8] = image[:, 15, 7] = 200  # a corner each of two of six chips
    recipe = make_recipe(classes=("dark", "bright"), chip_size=8)
    network = make_network(Corner(), recipe=recipe, kind="classification")
    prediction = predict(network, [make_scene("s.tif", image, names=BANDS)], recipe, **SURE)
    chances = read(prediction.probabilities)[1, ::8, ::8]
    mean, none = (round(250 * (2 * CHANCE + 6 * (1 - CHANCE)) / 8), round(250 * (1 - CHANCE)))
    assert chances.tolist() == [[none, mean, none], [mean, none, none]]
    spread = round(250 * (2 * CHANCE - 1) * np.sqrt(3) / 4)
    assert read(prediction.uncertainty)[2, ::8, ::8].tolist() == [[0, spread, 0], [spread, 0, 0]]


def test_a_model_of_single_pixels_is_refused(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", smooth_noise(20, 20), names=BANDS)
    with pytest.raises(ConfigError, match="each pixel alone, .* --tta would take 8 times as long and change"):
        predict(make_network(Brightness()), [path], make_recipe(), tta=True)
    assert not path.with_name("map.tif").exists()
    sure = predict(make_network(Brightness()), [path], make_recipe(), uncertainty=True)  # needs no symmetries
    assert sure.uncertainty is not None


def test_a_network_whose_training_diverged_is_refused(make_scene: MakeScene) -> None:
    class Diverged(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return Convolutions(2)(image) * torch.nan

    path = make_scene("s.tif", smooth_noise(20, 20), names=BANDS)
    with pytest.raises(CheckpointError, match="no finite numbers"):
        predict(make_network(Diverged()), [path], make_recipe(), tta=True)


# How it is run


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_other_backends_take_tiles_that_lie_on_their_side(make_scene: MakeScene, backend: str) -> None:
    pytest.importorskip(backend)
    image = smooth_noise(20, 90)
    path = make_scene("s.tif", image, names=BANDS)
    network = make_network(Convolutions(2))
    prediction = predict(network, [path], make_recipe(), tile=32, backend=backend, **SURE)
    assert backend in prediction.runtime
    valid = np.ones((20, 90), bool)
    check(prediction, whole_scene(network, image, valid), valid)


def test_a_batch_that_does_not_fit_is_halved(make_scene: MakeScene) -> None:
    class Small(Convolutions):
        fitting = 10**6

        def forward(self, image: Tensor) -> Tensor:
            if len(image) > self.fitting:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(image)

    path = make_scene("s.tif", smooth_noise(60, 60), names=BANDS)
    files = []
    for fitting in (10**6, 1):
        body = Small(2)
        body.fitting = fitting
        prediction = predict(
            make_network(body), [path], make_recipe(), tile=16, batch_size=4, overwrite=True, **SURE
        )
        files.append((read(prediction.path), read(prediction.uncertainty)))
    np.testing.assert_array_equal(files[0][0], files[1][0])
    np.testing.assert_allclose(files[0][1], files[1][1].astype(float), atol=1)


def work(stack: ExitStack, scene: Path, **options: object) -> Work:
    return prepare(
        stack,
        make_network(Convolutions(2)),
        make_recipe(),
        str(scene),
        scene.with_name("map.tif"),
        rank=Rank(),
        options=PredictOptions(tile=32, **options),
        checkpoint=None,
    )


def test_passes_memory_and_disk_are_estimated(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", smooth_noise(90, 110), names=BANDS)
    with ExitStack() as stack:
        plain = work(stack, path).estimate()
        averaged = work(stack, path, tta=True).estimate()
        sure = work(stack, path, tta=True, uncertainty=True).estimate()
    assert (plain.passes.count, averaged.passes.count) == (1, 8)
    assert averaged.memory_bytes - plain.memory_bytes == pytest.approx(36**2 * 4 * (3 + 4 * 4), abs=4)
    assert sure.disk_bytes == plain.disk_bytes * 5


def test_a_map_is_complete_with_its_uncertainty_alone(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", smooth_noise(90, 110), names=BANDS)
    prediction = predict(make_network(Convolutions(2)), [path], make_recipe(), tile=32, uncertainty=True)
    with ExitStack() as stack:
        assert work(stack, path, uncertainty=True).is_made()
        with pytest.raises(OutputError, match="exists already"):
            work(stack, path).is_made()  # another run
        with pytest.raises(OutputError, match="exists already"):
            work(stack, path, uncertainty=True, tta=True).is_made()
        assert prediction.uncertainty is not None
        prediction.uncertainty.unlink()
        with pytest.raises(OutputError, match="map.tif' exists already"):
            work(stack, path, uncertainty=True).is_made()
    prediction.path.unlink()
    prediction.uncertainty.write_bytes(b"mine")
    with pytest.raises(OutputError, match="map_uncertainty.tif' exists already"):
        predict(make_network(Convolutions(2)), [path], make_recipe(), uncertainty=True)


def test_a_run_that_was_stopped_or_shared_gives_the_same_files(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", smooth_noise(90, 110), names=BANDS)
    options = PredictOptions(tile=32, tta=True, uncertainty=True)

    def run(name: str, **more: object) -> None:
        network = make_network(Convolutions(2))
        predict_scene(network, make_recipe(), str(path), path.with_name(name), options=options, **more)

    run("whole.tif")

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("stopped.tif", progress=stop)
    run("stopped.tif")
    for number in (1, 0):
        predict_share(
            make_network(Convolutions(2)),
            make_recipe(),
            str(path),
            path.with_name("shared.tif"),
            rank=Rank(number, 2),
            options=options,
        )
    for ending in (".tif", "_uncertainty.tif"):
        whole = path.with_name(f"whole{ending}").read_bytes()
        assert path.with_name(f"stopped{ending}").read_bytes() == whole
        assert path.with_name(f"shared{ending}").read_bytes() == whole


def test_a_run_that_was_killed_between_its_files_is_completed(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_scene("s.tif", smooth_noise(40, 50), names=BANDS)

    def run() -> Prediction:
        network = make_network(Convolutions(2))
        return predict(network, [path], make_recipe(), probabilities=True, uncertainty=True)

    publish = cog._publish

    def killed(parts: Parts, number: int, target: Path) -> None:
        if number == 0:
            raise KeyboardInterrupt
        publish(parts, number, target)

    with monkeypatch.context() as patch:
        patch.setattr(cog, "_publish", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    beside = ["map.stac.json", "map_probabilities.tif", "map_uncertainty.tif"]
    assert sorted(file.name for file in path.parent.glob("map*")) == [
        "map.stac.json",
        "map.tif.parts",
        *beside[1:],
    ]
    assert run().resumed == 1
    assert sorted(file.name for file in path.parent.glob("map*")) == sorted(
        ["map.tif", "map.tif.aux.xml", *beside]
    )


def test_extras_are_channels_that_scores_and_logits_pass_on() -> None:
    for recipe in (make_recipe(), make_recipe(multilabel=True), make_recipe(quantity=HEIGHT)):
        passes = Passes(networks=2)
        product = make_product(recipe, probabilities=False, uncertainty=True, passes=passes)
        count = len(product.extras)
        assert count == (2 if recipe.schema.quantity else 3)
        given = torch.randn(2, product.outputs + count, 4, 5, generator=torch.Generator().manual_seed(0))
        given[:, -count:] = given[:, -count:].abs()
        scores = product.scores(given)
        assert torch.equal(scores[:, -count:], given[:, -count:])
        assert torch.equal(product.logits(scores)[:, -count:], given[:, -count:])
        torch.testing.assert_close(product.scores(product.logits(scores)), scores)
