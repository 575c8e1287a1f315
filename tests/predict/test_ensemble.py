"""Maps of the mean over several trainings, and over samples of one by dropout."""

import json
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
    Convolutions,
    FittedWindow,
    Global,
    Pooled,
    make_network,
    make_recipe,
    smooth_noise,
)
from torch import Tensor, nn

from eoseg.errors import BandError, ConfigError, OutputError
from eoseg.models.network import Network
from eoseg.predict import Member, Prediction, PredictOptions, predict_scene
from eoseg.predict.preparation import prepare
from eoseg.predict.ranks import Rank
from eoseg.predict.work import Work
from eoseg.recipe import Quantity, Recipe

TWO = ("dark", "bright")
IMAGE = smooth_noise(70, 90)


class Says(nn.Module):
    """These probabilities everywhere."""

    def __init__(self, *chances: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(chances).log())

    def forward(self, image: Tensor) -> Tensor:
        return self.logits.view(1, -1, 1, 1).expand(len(image), -1, *image.shape[2:]).contiguous()


class Left(nn.Module):
    """The second class, with these odds, where the pixel on the left is bright."""

    def __init__(self, odds: float) -> None:
        super().__init__()
        self.odds = nn.Parameter(torch.tensor(odds))

    def forward(self, image: Tensor) -> Tensor:
        left = nn.functional.pad(image[:, :1], (1, 0))[..., :-1]
        return torch.cat([torch.zeros_like(left), self.odds * left.sign()], dim=1)


class Dropping(nn.Module):
    """Convolutions with a batch normalisation that is folded, and dropout."""

    def __init__(self, share: float = 0.4, *, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.norm = nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.drop, self.last = nn.Dropout2d(share), nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(self.drop(self.norm(self.first(image)).relu()))


def predict(
    path: Path,
    bodies: Sequence[nn.Module],
    recipe: Recipe | None = None,
    *,
    out: str = "map.tif",
    **options: object,
) -> Prediction:
    recipe = recipe or make_recipe()
    first, *others = (make_network(body, recipe=recipe, **kind(body)) for body in bodies)
    ensemble = [Member(other, recipe) for other in others]
    chosen = PredictOptions(**{"overwrite": True, **options})
    return predict_scene(first, recipe, str(path), path.with_name(out), options=chosen, ensemble=ensemble)


def kind(body: nn.Module) -> dict[str, object]:
    return {"stride": 2} if isinstance(body, Pooled) else {}


def read(path: Path | None) -> dict[str, np.ndarray]:
    """The bands of a file by name; of a scaled one in its meaning."""
    assert path is not None
    with rasterio.open(path) as dataset:
        values = dataset.read() * np.array(dataset.scales)[:, None, None]
        return dict(zip(dataset.descriptions, values, strict=True))


def bits(*chances: float) -> float:
    return float(-sum(chance * np.log2(chance) for chance in chances))


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", IMAGE, names=BANDS)


# Ensembles


def test_two_networks_of_known_probabilities(scene: Path) -> None:
    recipe = make_recipe(classes=TWO)
    prediction = predict(
        scene, [Says(0.9, 0.1), Says(0.3, 0.7)], recipe, tile=32, uncertainty=True, probabilities=True
    )
    assert (prediction.passes.count, prediction.exact) == (2, True)
    assert (read(prediction.path)["class"] == 0).all()
    for name, value in read(prediction.probabilities).items():
        np.testing.assert_allclose(value, {"dark": 0.6, "bright": 0.4}[name], atol=1e-6)
    sure = read(prediction.uncertainty)
    expected = {
        "entropy": bits(0.6, 0.4),
        "margin": 0.2,
        "spread": 0.3,
        "mutual_information": bits(0.6, 0.4) - (bits(0.9, 0.1) + bits(0.3, 0.7)) / 2,
        "out_of_range": 0.0,
    }
    assert list(sure) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(sure[name], value, atol=0.0021)


def test_networks_that_agree_leave_nothing_that_another_would_know(scene: Path) -> None:
    recipe = make_recipe(classes=TWO)
    # the same probabilities from two networks of other weights
    prediction = predict(scene, [Says(0.5, 0.5), Says(0.2, 0.2)], recipe, uncertainty=True)
    sure = read(prediction.uncertainty)
    assert (sure["entropy"] == 1).all()
    assert (sure["mutual_information"] == 0).all()
    assert (sure["spread"] == 0).all()


def test_labels_and_quantities_have_their_means_too(scene: Path) -> None:
    recipe = make_recipe(classes=TWO, multilabel=True)
    odds = [Says(4.0, 1.0), Says(1.0, 1.0)]  # probabilities 0.8 and 0.5, 0.5 and 0.5
    sure = read(predict(scene, odds, recipe, uncertainty=True).uncertainty)
    information = (bits(0.65, 0.35) - (bits(0.8, 0.2) + 1) / 2) / 2
    np.testing.assert_allclose(sure["mutual_information"], information, atol=0.0021)
    np.testing.assert_allclose(sure["spread"], 0.15, atol=0.0021)
    recipe = make_recipe(quantity=Quantity("height", "m"))
    prediction = predict(scene, [Says(np.e), Says(np.e**3)], recipe, uncertainty=True)
    np.testing.assert_allclose(read(prediction.path)["height"], 2 * 5 + 10, rtol=1e-6)
    sure = read(prediction.uncertainty)
    assert list(sure) == ["spread", "out_of_range"]
    np.testing.assert_allclose(sure["spread"], 5, rtol=1e-6)


def test_the_first_networks_threshold_decides(scene: Path) -> None:
    for threshold, expected in ((0.39, 1), (0.41, 0)):
        recipe = make_recipe(classes=TWO, threshold=threshold)
        prediction = predict(scene, [Says(0.9, 0.1), Says(0.3, 0.7)], recipe)
        assert (read(prediction.path)["class"] == expected).all()


def test_symmetries_are_no_members(make_scene: MakeScene) -> None:
    edge = np.where(np.arange(24) < 12, 50, 200).astype(np.uint8) * np.ones((3, 20, 1), np.uint8)
    path, recipe = make_scene("e.tif", edge, names=BANDS), make_recipe(classes=TWO)
    prediction = predict(path, [Left(4.0), Left(2.0)], recipe, tile=8, uncertainty=True, tta=True)
    assert str(prediction.passes) == "2 checkpoints x 8 symmetries"
    sure = {name: band[5, 12] for name, band in read(prediction.uncertainty).items()}
    passes = []  # right of the edge the neighbour is dark in two of eight symmetries
    for odds in (4.0, 2.0):
        chance = 1 / (1 + np.exp(-odds))
        passes.append([1 - chance] * 2 + [chance] * 6)
    own = np.mean(passes, axis=1)
    mean = own.mean()
    information = bits(mean, 1 - mean) - np.mean([bits(p, 1 - p) for p in own])
    assert sure["spread"] == pytest.approx(np.std(passes), abs=0.0021)
    assert sure["mutual_information"] == pytest.approx(information, abs=0.0021)


def test_networks_of_other_strides_share_exact_tiles(scene: Path) -> None:
    bodies = [Pooled(), Convolutions(4)]
    small = predict(scene, bodies, tile=16, uncertainty=True, out="a.tif")
    large = predict(scene, bodies, tile=90, uncertainty=True, out="b.tif")
    assert (small.exact, small.halo, small.tiles > 1) == (True, 4, True)
    assert (read(small.path)["class"] != read(large.path)["class"]).mean() < 1e-3  # ties
    for name, band in read(large.uncertainty).items():
        np.testing.assert_allclose(read(small.uncertainty)[name], band, atol=0.0041)


def test_a_network_that_is_not_exact_makes_the_map_so(scene: Path) -> None:
    prediction = predict(scene, [Convolutions(2), Global()], tile=16, halo=8, uncertainty=True)
    assert not prediction.exact
    assert prediction.reason.startswith("of one of the networks: global context")
    assert prediction.blended == 16
    assert list(read(prediction.uncertainty))[2:] == ["spread", "mutual_information", "out_of_range"]


def test_a_forest_and_a_network_may_be_averaged(scene: Path) -> None:
    prediction = predict(scene, [Convolutions(1), FittedWindow()], tile=16)
    assert prediction.exact
    assert prediction.halo == 2


def test_a_network_that_does_not_fit_is_refused_before_anything_is_written(scene: Path) -> None:
    recipe, other = make_recipe(), make_recipe(values=(0, 0.1, 0.9, 1), dtype="float32")
    first = make_network(Convolutions(1), recipe=recipe)
    for member, error, said in (
        (Member(first, recipe, Path("b.ckpt")), ConfigError, "'b.ckpt' holds the same network"),
        (
            Member(make_network(Convolutions(1, seed=1), recipe=other), other, Path("c.ckpt")),
            BandError,
            "For 'c.ckpt' of the ensemble: .*s.tif",
        ),
    ):
        with pytest.raises(error, match=said):
            predict_scene(first, recipe, str(scene), scene.with_name("map.tif"), ensemble=[member])
    assert [path.name for path in scene.parent.iterdir()] == ["s.tif"]


def test_the_map_names_all_networks_and_another_one_is_another_run(scene: Path) -> None:
    recipe, out = make_recipe(), scene.with_name("map.tif")
    files = [scene.with_name(f"{name}.ckpt") for name in "abc"]
    for file in files:
        file.write_text(file.name)

    def run(*numbers: int) -> Prediction:
        networks = [make_network(Convolutions(1, seed=number), recipe=recipe) for number in numbers]
        members = [Member(network, recipe, files[n]) for n, network in zip(numbers, networks, strict=True)]
        first, *others = members
        return predict_scene(
            first.network, recipe, str(scene), out, checkpoint=first.checkpoint, ensemble=others
        )

    prediction = run(0, 1)
    with rasterio.open(out) as dataset:
        tags = dataset.tags()
    assert tags["EOSEG_CHECKPOINT"] == "a.ckpt"
    (other,) = json.loads(tags["EOSEG_ENSEMBLE"])
    assert other["checkpoint"] == "b.ckpt"
    assert len(other["sha256"]) == 64
    item = json.loads(prediction.item.read_text())
    assert item["assets"]["model_2"]["href"] == "./b.ckpt"
    assert item["assets"]["model_2"]["file:checksum"] == f"1220{other['sha256']}"
    assert "mean over 2 checkpoints" in item["properties"]["processing:lineage"]
    with pytest.raises(OutputError, match="exists already"):
        run(0, 2)


def test_each_network_has_its_runtime(scene: Path) -> None:
    prediction = predict(scene, [Convolutions(1), Convolutions(2)], precision="float32")
    assert prediction.runtime == "torch, float32"


# Samples by dropout


def test_samples_are_the_same_for_any_tiles(scene: Path) -> None:
    files = []
    for tile in (16, 48, 90):
        prediction = predict(
            scene, [Dropping()], tile=tile, mc_dropout=5, uncertainty=True, precision="float32"
        )
        assert prediction.exact
        files.append((read(prediction.path)["class"], read(prediction.uncertainty)))
    assert str(prediction.passes) == "5 samples by dropout"
    for classes, sure in files[:-1]:
        np.testing.assert_array_equal(classes, files[-1][0])
        for name, band in files[-1][1].items():
            np.testing.assert_allclose(sure[name], band, atol=0.0041)
    assert files[-1][1]["spread"].max() > 0.1
    assert files[-1][1]["mutual_information"].max() > 0.02


def test_samples_are_those_of_the_network_itself(scene: Path) -> None:
    """By hand: masks as they are drawn, in place of the layer."""
    from eoseg.models.sampled_dropout import sampled_dropout

    network = make_network(Dropping())
    with sampled_dropout(network) as sample, torch.inference_mode():
        chances = []
        for number in range(3):
            with sample.drawn(number):
                logits = network(torch.from_numpy(IMAGE)[None].float(), torch.ones(1, 70, 90) > 0)
            chances.append(logits[0].softmax(dim=0))
    mean = torch.stack(chances).mean(dim=0)
    prediction = predict(scene, [Dropping()], mc_dropout=3, probabilities=True, precision="float32")
    found = np.stack(list(read(prediction.probabilities).values()))
    np.testing.assert_allclose(found, mean, atol=0.0021)
    plain = predict(scene, [Dropping()], probabilities=True, out="plain.tif", precision="float32")
    assert np.abs(np.stack(list(read(plain.probabilities).values())) - found).max() > 0.02
    more = predict(scene, [Dropping()], mc_dropout=4, probabilities=True, precision="float32")
    assert np.abs(np.stack(list(read(more.probabilities).values())) - found).max() > 0.02


def test_a_run_of_samples_that_was_stopped_goes_on_with_the_same(scene: Path) -> None:
    options = {"tile": 32, "mc_dropout": 3, "uncertainty": True}

    def run(name: str, **more: object) -> None:
        predict_scene(
            make_network(Dropping()),
            make_recipe(),
            str(scene),
            scene.with_name(name),
            options=PredictOptions(**options),
            **more,
        )

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    run("whole.tif")
    with pytest.raises(KeyboardInterrupt):
        run("stopped.tif", progress=stop)
    run("stopped.tif")
    for ending in (".tif", "_uncertainty.tif"):
        assert (
            scene.with_name(f"stopped{ending}").read_bytes() == scene.with_name(f"whole{ending}").read_bytes()
        )


def test_a_network_is_left_as_it_was(scene: Path) -> None:
    network = make_network(Dropping())
    for _ in range(2):  # hooks of two runs would drop twice
        predict_scene(
            network,
            make_recipe(),
            str(scene),
            scene.with_name("map.tif"),
            options=PredictOptions(mc_dropout=2, overwrite=True),
        )
        assert not any(module._forward_hooks for module in network.modules())


def test_samples_of_all_networks_are_averaged(scene: Path) -> None:
    prediction = predict(
        scene, [Dropping(), Dropping(0.2, seed=1)], mc_dropout=2, tta=True, uncertainty=True, tile=48
    )
    assert prediction.passes.count == 2 * 2 * 8
    with rasterio.open(prediction.path) as dataset:
        assert json.loads(dataset.tags()["EOSEG_OPTIONS"])["mc_dropout"] == "2"


def test_a_network_without_dropout_is_refused_by_name(scene: Path) -> None:
    with pytest.raises(ConfigError, match="^The network has no layer that drops anything"):
        predict(scene, [Convolutions(2)], mc_dropout=3)
    with pytest.raises(ConfigError, match="^The network has no layer that drops anything"):
        predict(scene, [FittedWindow()], mc_dropout=3)
    with pytest.raises(ConfigError, match="^a network has no layer that drops anything"):
        predict(scene, [Dropping(), Convolutions(2)], mc_dropout=3)
    assert not scene.with_name("map.tif").exists()


# What it takes


def work(stack: ExitStack, scene: Path, networks: Sequence[Network], **options: object) -> Work:
    recipe = make_recipe()
    first, *others = (Member(network, recipe) for network in networks)
    return prepare(
        stack,
        first.network,
        recipe,
        str(scene),
        scene.with_name("map.tif"),
        rank=Rank(),
        options=PredictOptions(tile=32, **options),
        checkpoint=None,
        ensemble=others,
    )


def test_all_passes_are_counted_in_what_it_will_take(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eoseg.predict.work.time_pass", lambda *_, **__: 1.0)  # second per pixel
    networks = [make_network(Dropping(seed=seed)) for seed in range(2)]
    with ExitStack() as stack:
        one = work(stack, scene, networks[:1]).estimate()
    with ExitStack() as stack:
        many = work(stack, scene, networks, mc_dropout=3, tta=True).estimate()
    assert many.passes.count == 2 * 3 * 8
    assert many.seconds == pytest.approx(48 * one.seconds, rel=1e-3)
