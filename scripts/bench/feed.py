"""How many chips a core reads for training, beside torchgeo on the same files; what memory an epoch takes."""

import time
import warnings
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from figures import Figure
from rasterio.env import get_gdal_config, set_gdal_config
from torch.utils.data import DataLoader
from world import CLASSES, band_names, make_land

from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.datamodule import SceneData

CHIP, BATCH, ROUNDS, BATCHES = 256, 16, 5, 3
SCENES, SIDE, BANDS = 4, 1024, 4
EPOCH = 1024
LIMIT = 5.0
GROWTH_MB = 24.0
COLD_BYTES = 8 * 2**20
"""Block cache with which nearly every chip is decompressed anew, as where scenes exceed the memory."""
_WARM_BYTES = 256 * 2**20


def measure(folder: Path) -> list[Figure]:
    """CPU time per chip under torchgeo / under eoseg, in turns of a few batches in one process."""
    write_world(folder / "feed")
    figures = _growth(folder / "feed")  # first: later nothing grows into memory that was freed
    for labelled in (True, False):
        figures += _ratios(folder / "feed", labelled=labelled)
    return figures


def _ratios(folder: Path, *, labelled: bool) -> list[Figure]:
    what = "images and labels" if labelled else "images alone"
    samplers = ("RandomGeoSampler", "RandomPatchSampler")
    loaders = {name: torchgeo_loader(folder, name, labelled=labelled) for name in samplers}
    loaders["files"] = eoseg_loader(folder, labelled=labelled)
    loaders["cache"] = eoseg_loader(folder, labelled=labelled, cache=str(folder / "decoded"))
    figures = []
    for state, cache_bytes in (("blocks in memory", _WARM_BYTES), ("blocks to decompress", COLD_BYTES)):
        with _block_cache(cache_bytes):
            took = _in_turns(loaders)
        for name in ("files", "cache"):
            for sampler in samplers:
                # Where decompression is nearly all, only a cache can be so much faster.
                judged = name == "cache" or state == "blocks in memory"
                note = f"{1 / took[sampler]:.0f} and {1 / took[name]:.0f} chips/s per core"
                title = f"{what}, {state}: eoseg from {name} / {sampler}"
                ratio = took[sampler] / took[name]
                figures.append(Figure("feed", title, ratio, "times", LIMIT if judged else None, note=note))
    return figures


def _growth(folder: Path) -> list[Figure]:
    """Anonymous memory at the end of an epoch less that after its first quarter."""
    figures = []
    for name, cache in (("files", None), ("cache", str(folder / "decoded"))):
        loader = iter(eoseg_loader(folder, labelled=True, cache=cache, chips=EPOCH))
        count = EPOCH // BATCH
        for _ in islice(loader, count // 4):
            pass
        before = _anonymous_mb()
        for _ in loader:
            pass
        note = f"{EPOCH} chips of {CHIP} px; {before:.0f} MB after a quarter of them"
        grown = _anonymous_mb() - before
        title = f"memory that the rest of an epoch adds, from {name}"
        figures.append(Figure("feed", title, grown, "MB", GROWTH_MB, "smaller", note))
    return figures


def _in_turns(loaders: dict[str, Any]) -> dict[str, float]:
    """CPU seconds per chip of each; the median of several turns."""
    streams = {name: _endless(loader) for name, loader in loaders.items()}
    took: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(ROUNDS + 1):
        for name, stream in streams.items():
            started = time.process_time()
            chips = sum(len(batch["image"]) for batch in islice(stream, BATCHES))
            if turn:  # the first one opens files
                took[name].append((time.process_time() - started) / chips)
    return {name: sorted(values)[len(values) // 2] for name, values in took.items()}


def _endless(loader: Any) -> Iterator[Any]:
    for _ in cycle([0]):
        yield from loader


class _block_cache:
    """Bound GDAL's block cache for all who read."""

    def __init__(self, cache_bytes: int) -> None:
        self.cache_bytes = cache_bytes

    def __enter__(self) -> None:
        with rasterio.Env():
            self.before = get_gdal_config("GDAL_CACHEMAX")
        self._set(self.cache_bytes)

    def __exit__(self, *_: object) -> None:
        self._set(self.before)

    def _set(self, cache_bytes: int) -> None:
        set_gdal_config("GDAL_CACHEMAX", cache_bytes)


def eoseg_loader(folder: Path, *, labelled: bool, cache: str | None = None, chips: int = 512) -> Any:
    """What `eoseg fit` reads from."""
    labels: dict[str, Any] = {"labels": "label_*.tif", "classes": list(CLASSES)} if labelled else {}
    source = SceneSource(images="image_*.tif", root=str(folder), **labels)
    split = SplitConfig(val=0.0, test=0.0, buffer=0)
    data = SceneData(source, CHIP, batch_size=BATCH, split=split, chips_per_epoch=chips, cache=cache)
    return data.train_dataloader()


def torchgeo_loader(folder: Path, sampler: str, *, labelled: bool) -> Any:
    """What torchgeo's documentation recommends."""
    from torchgeo import samplers
    from torchgeo.datasets import RasterDataset, stack_samples

    class Images(RasterDataset):
        filename_glob = "image_*.tif"

    class Labels(RasterDataset):
        filename_glob = "label_*.tif"
        is_image = False

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset: Any = Images(folder)
        if labelled:
            dataset = dataset & Labels(folder)
        if sampler == "RandomGeoSampler":
            order: Any = samplers.RandomGeoSampler(dataset, size=CHIP, length=512)
        else:
            order = samplers.RandomPatchSampler(dataset, size=CHIP, length=512)
    return DataLoader(dataset, batch_size=BATCH, sampler=order, collate_fn=stack_samples)


def write_world(folder: Path) -> None:
    """Scenes some way apart with labels, tiled and deflated as Sentinel-2 products often are."""
    folder.mkdir(parents=True, exist_ok=True)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": SIDE,
        "width": SIDE,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "predictor": 2,
        "crs": "EPSG:32632",
    }
    for number in range(SCENES):
        if (folder / f"label_{number}.tif").exists():
            continue
        image, classes = make_land(SIDE, BANDS, seed=number)
        place = {"transform": Affine(10, 0, 400_000 + 15 * SIDE * number, 0, -10, 5_400_000)}
        path = folder / f"image_{number}.tif"
        with rasterio.open(path, "w", count=BANDS, dtype="uint16", nodata=0, **place, **profile) as dataset:
            dataset.descriptions = band_names(BANDS)
            dataset.write(image)
        path = folder / f"label_{number}.tif"
        with rasterio.open(path, "w", count=1, dtype="uint8", **place, **profile) as dataset:
            dataset.write(classes, 1)


def _anonymous_mb() -> float:
    """Memory of this process alone, without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024
