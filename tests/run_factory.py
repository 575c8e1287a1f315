"""Run folders as `eoseg fit` and `eoseg test` leave them, with known figures and without any training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from conftest import write_scene
from map_factory import CLASSES, label_values, write_map

from eoseg.datasets.splits import Region, Split
from eoseg.evaluate.accuracy import evaluate_map
from eoseg.geo.window import Window
from eoseg.recipe import BandStatistics, Quantity, Recipe, Schema, Statistics

MATRIX = np.array([[900, 100, 0], [40, 360, 0], [30, 270, 300]])
"""Of the test: overall accuracy 0.78; town is the weakest class, mostly taken for wood."""

SIZE = 96


def make_recipe(**changes: Any) -> Recipe:
    """A U-Net on two bands and the three classes of the maps."""
    bands = tuple(BandStatistics(name, 500, 100, 1, 300, 700, 900) for name in ("red", "nir"))
    values: dict[str, Any] = {
        "task": "SegmentationTask",
        "schema": Schema(("red", "nir"), CLASSES, pixel_size=(10, 10), pixel_metres=10.0),
        "statistics": Statistics(bands, "uint16", 5000, 4800, (2000, 1500, 500)),
        "network": {"kind": "segmentation", "arch": "unet", "args": {"encoder": "resnet18", "depth": 4}},
        "chip_size": 32,
        "output_stride": 16,
        "provenance": {
            "eoseg": "0.1.0",
            "seed": 7,
            "split": {"method": "blocks", "sha256": "f" * 64},
            "chosen_by": "val/miou, highest",
        },
    }
    return Recipe(**{**values, **changes})


def height_recipe() -> Recipe:
    """The same for a quantity."""
    target = BandStatistics("canopy height", 10, 5, 0, 1, 19, 20)
    recipe = make_recipe(
        task="RegressionTask",
        schema=Schema(("red", "nir"), (), quantity=Quantity("canopy height", "m")),
    )
    bands = recipe.statistics.bands
    return make_recipe(
        task=recipe.task,
        schema=recipe.schema,
        statistics=Statistics(bands, "uint16", 5000, 4800, (4000,), target=target),
    )


def make_run(
    base: Path,
    *,
    recipe: Recipe | None = None,
    stamp: str = "20260101-120000",
    method: str = "blocks",
    figures: dict[str, Any] | None = None,
) -> Path:
    """Write the folder of a training."""
    folder = base / "runs" / "demo" / stamp
    folder.mkdir(parents=True)
    chosen = recipe or make_recipe()
    state = {"network.body.weight": torch.zeros(2)}
    torch.save({"state_dict": state, "eoseg": chosen.to_dict()}, folder / "model.ckpt")
    scenes = {"root": str(base / "demo"), "images": "images/*.tif"}
    config = {"data": {"class_path": "SceneData", "init_args": {"scenes": scenes}}, "ckpt_path": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    regions = [
        Region("scene", Window(0, 0, 40, 96), "train"),
        Region("scene", Window(50, 0, 46, 40), "val"),
        Region("scene", Window(50, 50, 46, 46), "test"),
    ]
    split = Split(method, 7, {"block_size": 46, "buffer": 8}, tuple(regions))
    (folder / "split.json").write_text(split.to_json())
    values = {
        "command": "fit",
        "task": chosen.task,
        "parameters": 14_321,
        "seconds": 61.0,
        "figures": {"val/oa": 0.8, "val/miou": 0.6},
        "best": {"figure": "val/miou", "value": 0.61},
        "epochs": 2,
    }
    (folder / "figures.json").write_text(json.dumps({**values, **(figures or {})}))
    write_environment(folder, stamp, "fit")
    (folder / "metrics.csv").write_text(
        "epoch,step,train/loss_epoch,val/loss,val/miou,val/oa\n0,9,1.5,,,\n0,9,,1.2,0.5,0.7\n"
        "1,19,1.1,,,\n1,19,,0.9,0.61,0.8\n"
    )
    if chosen.schema.classes and not chosen.schema.multilabel:
        write_matrix(folder / "confusion_val.csv", MATRIX)
    return folder


def make_test(
    run: Path, *, stamp: str = "20260101-130000", checkpoint: Path | None = None, **figures: Any
) -> Path:
    """Write the folder of a test of a run."""
    folder = run.parents[1] / "demo-test" / stamp
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"ckpt_path: {checkpoint or run / 'model.ckpt'}\nverbose: false\n")
    values = {
        "command": "test",
        "figures": {"test/oa": 0.78, "test/miou": 0.586, "test/kappa": 0.64},
        "intervals": {
            "values": {"overall_accuracy": [0.71, 0.84], "mean_iou": [0.5, 0.66], "iou/town": None},
            "blocks": 24,
            "block_size": 64,
            "draws": 1000,
            "reason": None,
        },
        "calibration": {
            "ece": 0.12,
            "class_ece": {"water": 0.1, "wood": 0.2, "town": None},
            "brier": 0.3,
            "nll": 0.9,
            "bins": {"count": [0, 500, 1500], "right": [0, 300, 1260], "confidence": [0, 250, 1350.0]},
        },
        "selective": {
            "aurc": 0.05,
            "count": 2000,
            "curve": {"coverage": [0.5, 1.0], "accuracy": [0.96, 0.78], "confidence": [0.8, 0.4]},
            "mask_for_accuracy": {
                "0.95": {"confidence": 0.812, "coverage": 0.52, "accuracy": 0.951},
                "0.99": None,
            },
        },
        "protocol": {"split_evaluated": "test", "test_set_opened": 2},
    }
    (folder / "figures.json").write_text(json.dumps({**values, **figures}))
    write_environment(folder, stamp, "test")
    write_matrix(folder / "confusion_test.csv", MATRIX)
    return folder


def write_environment(folder: Path, stamp: str, command: str) -> None:
    day, time = stamp.split("-")
    values = {
        "eoseg": "0.1.0",
        "python": "3.12.1",
        "packages": {"torch": "2.15.0", "wandb": None},
        "git": {"revision": "0123456789abcdef", "dirty": False},
        "eoseg_git": None,
        "command": ["/somewhere/bin/eoseg", command, "--config", "configs/demo.yaml"],
        "started": f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}+0000",
        "platform": "Linux",
        "host": "secret-host",
        "cpus": 2,
    }
    (folder / "environment.json").write_text(json.dumps(values))


def write_matrix(path: Path, matrix: np.ndarray, names: tuple[str, ...] = ("water", "wood", "town")) -> None:
    rows = [f"{name},{','.join(map(str, row))}" for name, row in zip(names, matrix.tolist(), strict=True)]
    path.write_text("\n".join([f"reference \\ map,{','.join(names)}", *rows]) + "\n")


def write_world(base: Path) -> Path:
    """A scene of three stripes, as image and as reference; returns the image."""
    truth = np.kron(np.arange(3, dtype=np.uint8), np.ones((SIZE, SIZE // 3), np.uint8))
    level = truth.astype(np.uint16)
    image = np.stack([300 + 100 * level, 700 - 100 * level])
    write_scene(base / "demo" / "truth.tif", label_values(truth))
    return write_scene(base / "demo" / "images" / "scene.tif", image, names=["red", "nir"])


def write_run_map(run: Path, image: Path, *, item: bool = True) -> Path:
    """A map whose upper quarter is all water, with a STAC item that names its scene."""
    mapped = np.kron(np.arange(3, dtype=np.uint8), np.ones((SIZE, SIZE // 3), np.uint8))
    mapped[: SIZE // 4] = 0
    path = write_map(run / "map.tif", mapped)
    links = [{"rel": "derived_from", "href": str(image)}]
    if item:
        (run / "map.stac.json").write_text(json.dumps({"links": links}))
    return path


def write_evaluation(run: Path, base: Path) -> Path:
    """What `eoseg evaluate` finds of that map: 5/6 are right."""
    found = evaluate_map(run / "map.tif", base / "demo" / "truth.tif", block_size=16, draws=100)
    path = run / "evaluation.json"
    path.write_text(json.dumps(found.to_dict()))
    return path


def write_accuracy(path: Path) -> Path:
    """As `eoseg accuracy` writes it."""

    def figure(value: float, margin: float | None) -> dict[str, Any]:
        ends = None if margin is None else [value - margin, value + margin]
        half = margin or 0.0
        return {"value": value, "standard_error": half / 1.96, "margin_95": half, "interval_95": ends}

    shares = {"water": 0.4, "wood": 0.35, "town": 0.25}
    values = {
        "overall_accuracy": figure(0.947, 0.018),
        "classes": [
            {
                "name": name,
                "users_accuracy": figure(0.9, 0.05),
                "producers_accuracy": None if name == "town" else figure(1.0, None),
                "area_share": figure(share, 0.02),
                "area": figure(share * 921_600, 0.02 * 921_600),
                "mapped_area": 307_200.0,
            }
            for name, share in shares.items()
        ],
        "area_unit": "m2",
        "strata": [{"name": name, "answered": 75} for name in shares],
        "notes": ["Intervals: 95 %, normal approximation."],
        "protocol": {"sample": "sample.gpkg"},
    }
    path.write_text(json.dumps(values))
    return path


def full_run(base: Path) -> Path:
    """A run with everything: test, map, evaluation, accuracy."""
    image = write_world(base)
    run = make_run(base)
    make_test(run)
    write_run_map(run, image)
    write_evaluation(run, base)
    write_accuracy(run / "accuracy.json")
    return run
