"""An encoder learns without labels, and a segmenter starts from what it learned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_scene
from task_worlds import World, batch_of, evaluate, make_schema, make_statistics, seeded, train

from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.datamodule import SceneData
from eoseg.errors import ConfigError, DataError
from eoseg.models.autoencoder import Autoencoder
from eoseg.models.checkpoint import load_network
from eoseg.tasks import ClassificationTask, PretrainTask, SegmentationTask
from eoseg.tasks.optim import OptimizerConfig

SCHEMA = make_schema(("a", "b", "c"))
STATISTICS = make_statistics(SCHEMA, mean=100.0, std=20.0)
SIZE = 32


def make_task(**options: object) -> PretrainTask:
    seeded()
    network_args = {"depth": 3, "channels": 4, "mask_ratio": 0.5, "mask_patch": 8}
    settings = {"network_args": network_args, "optimizer": OptimizerConfig(lr=3e-3)}
    return PretrainTask(SCHEMA, SIZE, **(settings | options))  # type: ignore[arg-type]


def world(*, labelled: bool = True) -> World:
    """Smooth stripes of 100 +- 20 in the first band and the opposite in the second; a corner is invalid."""
    rng = seeded()
    rows, cols = np.indices((SIZE, SIZE))
    parts = []
    for _ in range(12):
        angle, phase = rng.uniform(0, np.pi, (4, 1, 1)), rng.uniform(0, 2 * np.pi, (4, 1, 1))
        wave = 20 * np.sqrt(2) * np.sin(0.25 * (rows * np.sin(angle) + cols * np.cos(angle)) + phase)
        image = 100 + np.stack([wave, -wave], axis=1)
        mask = (wave > 0).astype(np.int64) if labelled else np.full(wave.shape, 255)
        batch = batch_of(image, mask=mask)
        batch["valid"][:, :4, :4] = False
        batch["image"][:, :, :4, :4] = torch.nan
        parts.append(batch)
    return World(STATISTICS, parts[:8], parts[8:], SIZE)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[PretrainTask, dict[str, float], Path]:
    folder = tmp_path_factory.mktemp("pretrained")
    task = make_task()
    trainer = train(task, world(labelled=False), folder, max_epochs=6)
    return task, {key: float(value) for key, value in trainer.callback_metrics.items()}, folder / "best.ckpt"


def test_hidden_patches_are_reconstructed_without_any_label(pretrained) -> None:
    _, figures, _ = pretrained
    assert figures["val/rmse"] < 0.9  # 1 is what the mean of each band would have
    assert figures["val/r2"] > 0.2


def test_the_figures_are_those_of_hidden_valid_pixels(pretrained, tmp_path: Path) -> None:
    task, _, _ = pretrained
    data = world()
    figures = evaluate(task, data, tmp_path)
    body = task.network.body
    assert isinstance(body, Autoencoder)
    errors = []
    task.eval()
    with torch.no_grad():
        for batch in data.batches["val"]:
            image = ((batch["image"] - 100) / 20).nan_to_num(0)
            rebuilt, judged = body.reconstruct(image, torch.Generator().manual_seed(20))
            known = (judged & batch["valid"][:, None]).expand_as(image)
            errors.append((rebuilt - image)[known].double())
    error = torch.cat(errors)
    assert figures["test/rmse"] == pytest.approx(error.square().mean().sqrt().item(), rel=1e-4)
    assert figures["test/mae"] == pytest.approx(error.abs().mean().item(), rel=1e-4)
    assert evaluate(task, data, tmp_path) == figures  # the same patches each time


def test_a_segmenter_starts_from_the_encoder_of_the_checkpoint(pretrained) -> None:
    _, _, checkpoint = pretrained
    seeded(1)
    args = {"depth": 3, "channels": 4}
    started = SegmentationTask(SCHEMA, SIZE, arch="unet", weights=str(checkpoint), network_args=args)
    fresh = SegmentationTask(SCHEMA, SIZE, arch="unet", network_args=args)
    name = "body.encoder.layer1.0.conv1.weight"
    learned = torch.load(checkpoint, weights_only=True)["state_dict"][f"network.{name}"]
    assert torch.equal(started.network.state_dict()[name], learned)
    assert not torch.equal(fresh.network.state_dict()[name], learned)


def test_its_checkpoint_is_a_network_that_reconstructs(pretrained) -> None:
    _, _, checkpoint = pretrained
    network, recipe = load_network(checkpoint)
    assert recipe.task == "PretrainTask"
    assert network.kind == "pretraining"
    batch = world().batches["val"][0]
    with torch.no_grad():
        again = network(batch["image"], batch["valid"])
    assert again.shape == batch["image"].shape  # two bands, though the data have three classes


def test_without_hiding_all_valid_pixels_are_judged(tmp_path: Path) -> None:
    task = make_task(network_args={"depth": 3, "channels": 4, "mask_ratio": 0.0})
    data = world()
    task.use_statistics(STATISTICS)
    batch = data.batches["val"][0]
    with torch.no_grad():
        rebuilt = task.network(batch["image"], batch["valid"])
        loss = task.compute_loss(rebuilt, batch)
    known = batch["valid"][:, None].expand_as(rebuilt)
    expected = (rebuilt - (batch["image"] - 100) / 20)[known].square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_split_without_a_valid_pixel_is_refused(tmp_path: Path) -> None:
    data = world()
    for batch in data.batches["val"]:
        batch["valid"][:] = False
    task = make_task()
    task.use_statistics(STATISTICS)
    with pytest.raises(DataError, match="The test split holds no valid pixel"):
        evaluate(task, data, tmp_path)


def test_what_cannot_be_pretrained_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'unet' is a model for segmentation, not for pretraining"):
        make_task(arch="unet")
    with pytest.raises(ConfigError, match=r"at most 16"):
        make_task(network_args={"mask_patch": 32})
    with pytest.raises(ConfigError, match="PretrainTask learns from single images; found pairs"):
        PretrainTask(make_schema(time="pair", steps=2), SIZE)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of smooth waves without any label; the bands are each other's opposite."""
    folder = tmp_path_factory.mktemp("scenes")
    rng = seeded()
    rows, cols = np.indices((160, 160))
    for number in range(3):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        wave = np.sin(0.05 * (rows * np.sin(angle) + cols * np.cos(angle)) + phase)
        image = np.stack([100 + 50 * wave, 100 - 50 * wave]).astype(np.uint8)
        image[:, :10, :10] = 0
        write_scene(folder / f"scene_{number}.tif", image, nodata=0, names=["x", "y"])
    return folder


@pytest.fixture(scope="module")
def checkpoint_of_scenes(scenes: Path) -> tuple[dict[str, float], Path]:
    """What a whole encoder learned of these scenes."""
    seeded()
    split = SplitConfig(method="files", val=["scene_2"], test=[])
    source = SceneSource("*.tif", root=str(scenes))
    data = SceneData(source, SIZE, batch_size=8, split=split, chips_per_epoch=32)
    task = PretrainTask(
        data.schema,
        SIZE,
        network_args={"channels": 4, "mask_ratio": 0.3, "mask_patch": 8},
        optimizer=OptimizerConfig(lr=3e-3),
    )
    trainer = train(task, data, scenes / "run", max_epochs=6)
    figures = {key: float(value) for key, value in trainer.callback_metrics.items()}
    return figures, scenes / "run" / "best.ckpt"


def test_scenes_without_labels_teach_more_than_the_mean(checkpoint_of_scenes) -> None:
    figures, checkpoint = checkpoint_of_scenes
    assert figures["val/rmse"] < 0.9  # of a scene that it has not seen; 1 is what the mean would have
    assert figures["val/r2"] > 0.2
    _, recipe = load_network(checkpoint)
    assert recipe.schema.classes == ()
    assert recipe.statistics.class_pixels == (recipe.statistics.valid_pixels,)


@pytest.mark.parametrize(
    ("kind", "arch", "args"),
    [(SegmentationTask, "unet", {"channels": 4}), (ClassificationTask, "encoder", {})],
)
def test_segmenters_and_classifiers_start_from_it(
    checkpoint_of_scenes, kind: type[SegmentationTask], arch: str, args: dict[str, int]
) -> None:
    _, checkpoint = checkpoint_of_scenes
    task = kind(make_schema("abc"), SIZE, arch=arch, weights=str(checkpoint), network_args=args)
    fresh = kind(make_schema("abc"), SIZE, arch=arch, network_args=args)
    learned = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name in ("conv1", "layer4.1.conv2"):
        key = f"network.body.encoder.{name}.weight"
        assert torch.equal(task.state_dict()[key], learned[key])
        assert not torch.equal(fresh.state_dict()[key], learned[key])
