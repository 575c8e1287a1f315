"""One way to make a class map of a GeoTIFF, in the environment of its program: prints what it took as JSON.

Run by `peers.py` as `PYTHON peer_runs.py NAME SCENE WEIGHTS OUT TILE OVERLAP BATCH`. Each peer is used as its
documentation says, with the network as it is (NCHW, default allocator); `..._cl` are those whose network was
moved to channels_last, the one setting that their users may know of.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MEAN, STD = 1700.0, 800.0  # of each band, as the network was trained


def main() -> None:
    """Warm the network up, make the map, say what it took."""
    name, scene, weights, out, tile, overlap, batch = sys.argv[1:]
    torch.set_num_threads(1)
    method, _, layout = name.partition("_")
    run = globals()[f"make_{method}"](Path(weights), int(tile), int(overlap), int(batch), layout == "cl")
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        start = (run(scene, out) or cpu) - cpu
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    above = _status("VmHWM") - before
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "start_s": start, "above_mb": above}))


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _load(weights: Path, tile: int, batch: int, channels_last: bool) -> nn.Module:
    import segmentation_models_pytorch as smp

    state = torch.load(weights, weights_only=True)
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=4, classes=8)
    network.load_state_dict(state)
    network.eval()
    if channels_last:
        network.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        network(torch.zeros(batch, 4, tile, tile))
    return network


def _read(scene: str) -> tuple[Tensor, dict[str, Any]]:
    with rasterio.open(scene) as dataset:
        return torch.from_numpy((dataset.read().astype(np.float32) - MEAN) / STD), dataset.profile


def _write(out: str, classes: NDArray[np.uint8], profile: dict[str, Any]) -> None:
    profile = {**profile, "count": 1, "dtype": "uint8", "nodata": 255, "predictor": 1}
    with rasterio.open(out, "w", **profile) as dataset:
        dataset.write(classes, 1)


def _classes(logits: Tensor) -> NDArray[np.uint8]:
    return logits.max(dim=0).indices.to(torch.uint8).numpy()  # (H, W); the cheap way, which favours peers


type _Run = Callable[[str, str], float | None]
"""Maps a scene into a file; gives the CPU clock at the first tile, of a program that prepares before it."""


def make_monai(weights: Path, tile: int, overlap: int, batch: int, channels_last: bool) -> _Run:
    """https://docs.monai.io/en/stable/inferers.html, Gaussian weights."""
    from monai.inferers import sliding_window_inference

    network = _load(weights, tile, batch, channels_last)

    def run(scene: str, out: str) -> None:
        image, profile = _read(scene)
        logits = sliding_window_inference(
            image[None], (tile, tile), batch, network, overlap=overlap / tile, mode="gaussian"
        )
        _write(out, _classes(logits[0]), profile)

    return run


def make_terratorch(weights: Path, tile: int, overlap: int, batch: int, channels_last: bool) -> _Run:
    """https://terrastackai.github.io/terratorch, `tiled_inference` with its defaults beside sizes."""
    from terratorch.tasks.tiled_inference import tiled_inference

    network = _load(weights, tile, batch, channels_last)

    def run(scene: str, out: str) -> None:
        image, profile = _read(scene)
        logits = tiled_inference(network, image[None], crop=tile, stride=tile - overlap, batch_size=batch)
        _write(out, _classes(logits[0]), profile)

    return run


def make_torchgeo(weights: Path, tile: int, overlap: int, batch: int, channels_last: bool) -> _Run:
    """GridGeoSampler and a DataLoader; tiles are put side by side, cut in the middle of each overlap."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, Units

    network = _load(weights, tile, batch, channels_last)

    def run(scene: str, out: str) -> None:
        class Scenes(RasterDataset):
            filename_glob = Path(scene).name
            is_image = True
            separate_files = False

        data = Scenes(str(Path(scene).parent))
        sampler = GridGeoSampler(data, size=tile, stride=tile - overlap, units=Units.PIXELS)
        with rasterio.open(scene) as dataset:
            profile, inverse = dataset.profile, ~dataset.transform
        height, width = profile["height"], profile["width"]
        canvas = np.zeros((height, width), np.uint8)
        for sample in DataLoader(data, batch_size=batch, sampler=sampler, collate_fn=stack_samples):
            logits = network((sample["image"].float() - MEAN) / STD)
            for one, place in zip(logits, _places(sample, inverse), strict=True):
                _put(canvas, _classes(one), *place, overlap // 2)
        _write(out, canvas, profile)

    return run


def _places(sample: dict[str, Any], inverse: Any) -> list[tuple[int, int]]:
    """Row and column of each tile, from the bounds that torchgeo gives it: x and y as start, stop, step."""
    found = []
    for left, _, _, _, top, *_ in sample["bounds"].tolist():
        col, row = inverse * (left, top)
        found.append((round(row), round(col)))
    return found


def _put(canvas: NDArray[np.uint8], classes: NDArray[np.uint8], row: int, col: int, margin: int) -> None:
    """Write a tile without its margin, except at the border of the scene."""
    height, width = canvas.shape
    top, left = (0 if row <= 0 else row + margin), (0 if col <= 0 else col + margin)
    bottom, right = row + classes.shape[0], col + classes.shape[1]
    bottom, right = (
        (height if bottom >= height else bottom - margin),
        (width if right >= width else right - margin),
    )
    canvas[top:bottom, left:right] = classes[top - row : bottom - row, left - col : right - col]


def make_geoai(weights: Path, tile: int, overlap: int, batch: int, channels_last: bool) -> _Run:
    """https://opengeoai.org/inference, `predict_geotiff` with its spline weights."""
    from geoai.inference import predict_geotiff

    network = _load(weights, tile, batch, channels_last)

    def run(scene: str, out: str) -> None:
        predict_geotiff(
            network,
            scene,
            out,
            tile_size=tile,
            overlap=overlap,
            batch_size=batch,
            num_classes=8,
            output_dtype="uint8",
            output_nodata=255,
            preprocess_fn=lambda values: ((values - MEAN) / STD).astype(np.float32),
            postprocess_fn=lambda chances: chances.argmax(axis=0)[None],
            device="cpu",
            verbose=False,
        )

    return run


def make_rastervision(weights: Path, tile: int, overlap: int, batch: int, channels_last: bool) -> _Run:
    """https://docs.rastervision.io, sliding windows and smooth labels, whose edges are left out."""
    from rastervision.core.data import RasterioSource, Scene, SemanticSegmentationLabels
    from rastervision.pytorch_learner import SemanticSegmentationSlidingWindowGeoDataset
    from torch.utils.data import DataLoader

    network = _load(weights, tile, batch, channels_last)

    def run(scene: str, out: str) -> None:
        source = RasterioSource(scene, allow_streaming=True)
        data = SemanticSegmentationSlidingWindowGeoDataset(
            Scene("scene", source), size=tile, stride=tile - overlap, normalize=False
        )
        scores = (
            one
            for image, _ in DataLoader(data, batch_size=batch)
            for one in network((image - MEAN) / STD).softmax(dim=1).numpy()
        )
        labels = SemanticSegmentationLabels.from_predictions(
            data.windows, scores, extent=source.extent, num_classes=8, smooth=True, crop_sz=overlap // 2
        )
        with rasterio.open(scene) as dataset:
            profile = dataset.profile
        _write(out, labels.get_label_arr(source.extent).astype(np.uint8), profile)

    return run


def make_eoseg(weights: Path, tile: int, overlap: int, batch: int, channels_last: bool) -> _Run:  # noqa: ARG001
    """`eoseg predict` with its defaults, or with the same tiles as the others where a tile is given."""
    from world import make_network, make_recipe

    from eoseg.predict import PredictOptions, Rank, keep_freed_memory, predict_share

    keep_freed_memory()
    network = make_network(4)
    network.body.load_state_dict(torch.load(weights, weights_only=True))
    recipe = make_recipe(network)
    sizes: dict[str, Any] = {}
    if tile:
        sizes = {"tile": tile - overlap, "halo": overlap // 2, "batch_size": batch}
    options = PredictOptions(precision="float32", overwrite=True, **sizes)
    with torch.inference_mode():
        side = tile or 2048
        network(
            torch.zeros(batch if tile else 1, 4, side, side),
            torch.ones(batch if tile else 1, side, side, dtype=torch.bool),
        )

    def run(scene: str, out: str) -> float:
        clock: list[float] = []
        predict_share(
            network,
            recipe,
            scene,
            Path(out),
            rank=Rank(),
            options=options,
            announce=lambda _: clock.append(time.process_time()),
        )
        return clock[0]

    return run


if __name__ == "__main__":
    main()
