"""Each shipped configuration of a torchgeo data set on tiny files in its real layout."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchgeo_factory import DATA_SETS, value_of

from eoseg import tasks
from eoseg.batch import IGNORE, Batch
from eoseg.datasets.base import EOData
from eoseg.datasets.torchgeo import TorchGeoData
from eoseg.models import MODELS, Dimensions

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True)
class Expected:
    """What is known of a data set."""

    bands: int
    classes: int
    images: dict[str, int]
    time: str = "single"
    steps: int = 1
    per_chip: bool = False
    first_band: str = "red"
    mean: float | None = None
    """Mean of the first band over the training pixels, in raw values."""


THREE = ("train", "val", "test")
EXPECTED = {
    "eurosat": Expected(13, 10, dict.fromkeys(THREE, 10), per_chip=True, first_band="B01", mean=1004.5),
    "eurosat_spatial": Expected(
        13, 10, dict.fromkeys(THREE, 10), per_chip=True, first_band="B01", mean=1004.5
    ),
    "ucmerced": Expected(3, 21, dict.fromkeys(THREE, 21), per_chip=True, mean=10),
    "resisc45": Expected(3, 45, dict.fromkeys(THREE, 45), per_chip=True),
    "bigearthnet": Expected(12, 19, dict.fromkeys(THREE, 2), per_chip=True, first_band="B01", mean=1000),
    "landcoverai": Expected(3, 5, dict.fromkeys(THREE, 2)),
    "loveda": Expected(3, 7, {"train": 2, "val": 2}, mean=0.5),
    "deepglobe": Expected(3, 6, {"train": 4, "val": 1, "test": 1}),
    "potsdam": Expected(4, 6, {"train": 4, "val": 1, "test": 1}, mean=10),
    "vaihingen": Expected(3, 6, {"train": 4, "val": 1, "test": 1}, first_band="nir"),
    "l8biome": Expected(11, 4, {"train": 3, "val": 1, "test": 1}, first_band="B1"),
    "oscd": Expected(13, 2, {"train": 4, "val": 1, "test": 2}, time="pair", steps=2, first_band="B01"),
    "levircd": Expected(3, 2, dict.fromkeys(THREE, 2), time="pair", steps=2, mean=50),
    "pastis": Expected(
        10, 19, {"train": 4, "val": 1, "test": 1}, time="series", steps=7, first_band="B02", mean=None
    ),
}


class Tiny(nn.Module):
    """One layer for each kind of network."""

    output_stride = 1

    def __init__(self, dims: Dimensions, per_chip: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(dims.channels, dims.classes, 1)
        self.per_chip = per_chip

    def forward(self, image: Tensor, valid: Tensor | None = None, days: Tensor | None = None) -> Tensor:
        if image.ndim == 5:
            image = image[:, -1] - image[:, 0]
        logits: Tensor = self.layer(image)
        return logits.mean(dim=(2, 3)) if self.per_chip else logits


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    held = {}
    for name, write in DATA_SETS.items():
        held[name] = tmp_path_factory.mktemp(name)
        write(held[name])
    return held


def load(name: str, root: Path) -> tuple[TorchGeoData, dict[str, Any]]:
    """The datamodule of a shipped configuration with another root, and what it says of the model."""
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    options = config["data"]["init_args"]
    options["args"]["paths" if "paths" in options["args"] else "root"] = str(root)
    # Workers would take longer to start than the tests to run; batches of chips of 512 px would be large.
    options |= {"num_workers": 0, "batch_size": min(4, options["batch_size"])}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EOData, "data")
    data = parser.instantiate_classes(parser.parse_object({"data": config["data"]})).data
    assert isinstance(data, TorchGeoData)
    return data, config["model"]


def check_batch(batch: Batch, data: TorchGeoData, expected: Expected) -> None:
    size = data.chip_size
    count = len(batch["id"])
    dates = (expected.steps,) if expected.time != "single" else ()
    assert batch["image"].shape == (count, *dates, expected.bands, size, size)
    assert batch["image"].dtype == torch.float32
    assert batch["valid"].shape == (count, *dates, size, size)
    assert batch["valid"].dtype == torch.bool
    assert (batch["image"].movedim(-3, 0)[:, ~batch["valid"]] == 0).all()
    if expected.time == "series":
        assert batch["days"].shape == (count, expected.steps)
        assert ((batch["days"] >= 1) & (batch["days"] <= 366)).all()
    if expected.per_chip:
        assert "mask" not in batch
        assert batch["label"].dtype == torch.int64
        assert batch["label"].shape == ((count, expected.classes) if data.schema.multilabel else (count,))
        return
    assert batch["mask"].shape == (count, size, size)
    assert batch["mask"].dtype == torch.int64
    assert set(batch["mask"].unique().tolist()) <= {*range(expected.classes), IGNORE}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_shipped_configuration_fits_the_data_in_their_real_layout(
    name: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = EXPECTED[name]
    data, model = load(name, folders[name])
    schema = data.schema
    assert (len(schema.bands), len(schema.classes)) == (expected.bands, expected.classes)
    assert (schema.bands[0], schema.time, schema.steps) == (
        expected.first_band,
        expected.time,
        expected.steps,
    )
    assert data.split_record["images"] == expected.images
    statistics = data.statistics
    assert len(statistics.bands) == expected.bands
    assert 0 < statistics.valid_pixels <= statistics.pixels
    if expected.mean is not None:
        assert statistics.bands[0].mean == pytest.approx(expected.mean)
    if name != "bigearthnet":
        assert all(statistics.class_pixels)
    batch = next(iter(data.train_dataloader()))
    check_batch(batch, data, expected)
    for stage in expected.images:
        if stage != "train":
            loader = data.val_dataloader() if stage == "val" else data.test_dataloader()
            check_batch(next(iter(loader)), data, expected)
            check_batch(data.panel_chips(stage, 3), data, expected)
    train_one_step(data, model, tmp_path, monkeypatch)


def train_one_step(
    data: TorchGeoData, model: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the task of the configuration and its loss, but a network of one layer."""
    kind = getattr(tasks, model["class_path"])
    per_chip = kind.kind == "classification"
    monkeypatch.setitem(MODELS[kind.kind], "tiny", lambda dims: Tiny(dims, per_chip))
    known = inspect.signature(kind.__init__).parameters
    assert set(model["init_args"]) <= set(known)
    kept = {key: model["init_args"][key] for key in ("class_weights",) if key in model["init_args"]}
    task = kind(data.schema, data.chip_size, arch="tiny", **kept)
    before = task.network.body.layer.weight.clone()
    trainer = Trainer(
        fast_dev_run=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    trainer.fit(task, datamodule=data)
    assert not torch.equal(task.network.body.layer.weight, before)
    if data.has("test"):
        trainer.test(task, datamodule=data, verbose=False)


def test_values_arrive_raw(folders: dict[str, Path]):
    # torchgeo's datamodule would subtract a mean and divide by a deviation on the device.
    data, _ = load("eurosat", folders["eurosat"])
    batch = next(iter(data.val_dataloader()))
    for image, label in zip(batch["image"], batch["label"].tolist(), strict=True):
        assert [int(band[0, 0]) for band in image] == [value_of(band, label) for band in range(13)]

    class FakeTrainer:
        training, current_epoch, global_rank, world_size = False, 0, 0, 1

    data.trainer = FakeTrainer()  # type: ignore[assignment]
    assert data.on_after_batch_transfer(batch, 0) is batch
