"""A toy world whose answer is known: three materials in blocks, told apart by two bands."""

from pathlib import Path

import numpy as np
import yaml
from conftest import write_scene

LEVELS = np.array([[400, 300], [700, 2500], [2200, 2000]])  # soil, grass, roof in two bands


def make_toy(folder: Path, seed: int, size: tuple[int, int]) -> tuple[Path, Path]:
    """Blocks of 16 px of three materials with noise, a nodata corner; returns image and label paths."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (size[0] // 16 + 1, size[1] // 16 + 1))
    label = blocks.repeat(16, axis=0).repeat(16, axis=1)[: size[0], : size[1]].astype(np.uint8)
    image = LEVELS[label].transpose(2, 0, 1) + rng.normal(0, 60, (2, *size))
    image = image.clip(1, 10_000).astype(np.uint16)
    image[:, :8, :8] = 0
    name = f"scene_{seed}.tif"
    return (
        write_scene(
            folder / "images" / name, image, nodata=0, names=["red", "nir"], origin=(5e5 + 1e5 * seed, 5.4e6)
        ),
        write_scene(folder / "labels" / name, label, origin=(5e5 + 1e5 * seed, 5.4e6)),
    )


def write_config(folder: Path, **trainer: object) -> Path:
    for seed in range(3):
        make_toy(folder, seed, (192, 192))
    config = {
        "data": {
            "class_path": "SceneData",
            "init_args": {
                "scenes": {
                    "root": str(folder),
                    "images": "images/*.tif",
                    "labels": "labels/*.tif",
                    "classes": {"soil": "#AA7744", "grass": "#44AA55", "roof": "#CC3344"},
                },
                "chip_size": 32,
                "batch_size": 8,
                "split": {"val": 0.2, "test": 0.2, "block_size": 64, "buffer": 4},
            },
        },
        "model": {
            "class_path": "SegmentationTask",
            "init_args": {
                "network_args": {"depth": 3, "channels": 8},
                "optimizer": {"lr": 0.01},
            },
        },
        "trainer": {"max_epochs": 6, "accelerator": "cpu", **trainer},
    }
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
