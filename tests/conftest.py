"""Rasters with known content, made where a test needs them; nothing here reaches the network."""

import os
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

# Read by torch when it is imported. Tiny tensors gain nothing from threads, and where other programs use
# the cores, threads that wait for each other made the same tests twenty times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Machines are noisy, and tests run side by side: how long one example takes says nothing.
hypothesis.settings.register_profile("eoseg", deadline=None)
hypothesis.settings.load_profile("eoseg")

REAL_DATA = Path(os.environ.get("EOSEG_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))

type MakeScene = Callable[..., Path]


@pytest.fixture(autouse=True, scope="module")
def fresh_wandb() -> None:
    """W&B keeps what it has read of the environment; each file of tests begins without."""
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        wandb.teardown()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection that leaves this machine fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in {"localhost", "127.0.0.1", "::1"}:
            raise OSError(f"tests may not reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    """A function that writes a raster: see `write_scene`."""

    def make(name: str | Path, values: np.ndarray, **options: Any) -> Path:
        return write_scene(tmp_path / name, values, **options)

    return make


def write_scene(
    path: Path,
    values: np.ndarray,
    *,
    crs: str | None = "EPSG:32632",
    origin: tuple[float, float] = (500_000.0, 5_400_000.0),
    pixel: tuple[float, float] = (10.0, 10.0),
    transform: Affine | None = None,
    nodata: float | None = None,
    names: Sequence[str] | None = None,
    driver: str = "GTiff",
    **profile: Any,
) -> Path:
    """Write `(bands, height, width)` or `(height, width)` values as a raster and return its path.

    Args:
        origin: x and y of the top left corner.
        pixel: Width and height of a pixel.
        names: Band descriptions.
        profile: Further creation options, such as `tiled=True`.
    """
    array = values if values.ndim == 3 else values[None]
    if transform is None:
        transform = Affine(pixel[0], 0, origin[0], 0, -pixel[1], origin[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    georeference = {"crs": crs, "transform": transform} if crs else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # some scenes have no CRS on purpose
        with rasterio.open(
            path,
            "w",
            driver=driver,
            count=array.shape[0],
            height=array.shape[1],
            width=array.shape[2],
            dtype=array.dtype,
            nodata=nodata,
            **georeference,
            **profile,
        ) as dataset:
            dataset.write(array)
            for number, name in enumerate(names or (), start=1):
                dataset.set_band_description(number, name)
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first, so that of two processes none waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_course_claims.py")
