"""From the parts of a run to Cloud Optimized GeoTIFFs that are complete or not there at all.

The way of a file: the parts as one virtual raster -> a COG made from it by GDAL's driver, with overviews ->
compared, window by window, with the parts -> renamed. All this happens in the folder of the parts, and
whatever fails leaves the parts, and an older file of that name, as they were.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # raised by rasterio.shutil.copy and by nothing public
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from eoseg.errors import OutputError
from eoseg.geo.layer import Counts, Layer
from eoseg.geo.overviews import write_envi_header, write_mode_overviews
from eoseg.geo.parts import Parts, Piece, parts_folder, told
from eoseg.geo.scene import gdal_message
from eoseg.geo.share import Share
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

COG_BLOCK = 512
"""Height and width of the blocks of the finished file in pixels."""
COMPRESSION = {"COMPRESS": "DEFLATE"}

_STRIP_BYTES = 4 * 2**20  # that are compared at a time: memory must not show how wide a scene is
_ENVI_TYPES = {"uint8": 1, "float32": 4}


@dataclass(frozen=True, slots=True)
class Finished:
    """What was put in place."""

    counts: list[Counts]
    """Of each layer."""
    skipped: int
    """Tiles without a valid pixel."""


def finish_files(
    parts: Parts,
    paths: Sequence[Path],
    tags: Callable[[int], Mapping[str, str]],
    *,
    threads: int = 1,
    documents: Callable[[Sequence[Counts]], Mapping[Path, str]] | None = None,
) -> Finished | None:
    """Make the files of a run whose shares are complete, and remove its parts.

    Args:
        parts: The run.
        paths: Where each layer's file will be, the map first.
        tags: Gives the metadata for every file, beside the layer's own: where it comes from. Called with
            the number of tiles without a valid pixel, once the values are known to be whole.
        threads: Threads that compress.
        documents: Gives the texts that belong to the files, and their paths, from what each layer holds.

    Returns:
        What was made; None where another process makes it, or has made it.

    Raises:
        OutputError: The disk is full, a part was damaged, or a file does not hold what was computed.
    """
    with parts.only_here() as mine:
        if not mine:
            return None
        skipped = require_whole(parts)
        metadata = tags(skipped)
        counts = [_build(parts, number, path, metadata, threads) for number, path in enumerate(paths)]
        texts = documents(counts) if documents is not None else {}
        for path, text in texts.items():
            _write_text(parts, path, text)
        for number, path in enumerate(paths):
            _make_lasting(path, _cog_path(parts, number))
        for path in texts:
            _replace(path, parts.folder / path.name)
        for number, path in reversed(list(enumerate(paths))):  # the map last: where it is, all is
            _publish(parts, number, path)
        parts.remove()
        return Finished(counts, skipped)


def require_whole(parts: Parts) -> int:
    """Make sure that what was computed is still as it was written.

    Returns:
        Tiles without a valid pixel.

    Raises:
        OutputError: A part was damaged.
    """
    skipped = 0
    for number in range(parts.shares):
        with Share(parts, number, wait=True) as share:
            skipped += share.skipped
            if share.pending:
                raise OutputError(
                    f"{len(share.pending)} tile(s) of '{parts.target}' were damaged on disk after they "
                    "were computed. Run the same command again: it computes them anew."
                )
    return skipped


def _cog_path(parts: Parts, number: int) -> Path:
    return parts.folder / f"{number}.cog.tif"


def _sidecar_path(parts: Parts, number: int) -> Path:
    return parts.folder / f"{number}.aux.xml"


def _build(parts: Parts, number: int, path: Path, tags: Mapping[str, str], threads: int) -> Counts:
    """Make the file of one layer in the folder of the parts, and make sure of it."""
    layer, cog = parts.layers[number], _cog_path(parts, number)
    with _told(path, "finished"), quiet_georeference():
        virtual = _virtual_raster(parts, number, {**tags, **layer.tags})
        if layer.overviews == "MODE" and layer.dtype == "uint8":
            _add_overviews(virtual, write_mode_overviews(virtual, f"{number}.overview", least=COG_BLOCK))
        rasterio.shutil.copy(virtual, cog, driver="COG", **creation_options(layer, threads))
        sidecar = _sidecar_path(parts, number)
        sidecar.unlink(missing_ok=True)
        if layer.categories is not None:
            sidecar.write_text(_category_xml(layer.categories), encoding="utf-8")
        counts = _read_back(parts, number)
    # GDAL may learn that a disk is full when it closes a file, where nothing is raised any more.
    if counts is None:
        cog.unlink(missing_ok=True)
        raise OutputError(
            f"'{path}' does not hold what was computed for it. The disk may be full or failing: check it, "
            "then run the same command again."
        )
    stray = None if counts.values is None else counts.values[:, layer.highest + 1 : IGNORE].any()
    if stray:
        raise OutputError(
            f"'{path}' holds 0 to {layer.highest} and {IGNORE}; found others. Start anew with --overwrite."
        )
    return counts


def creation_options(layer: Layer, threads: int) -> dict[str, str]:
    """How GDAL's COG driver writes the file of a layer.

    See https://gdal.org/en/stable/drivers/raster/cog.html.
    """
    return {
        **COMPRESSION,
        "PREDICTOR": "YES" if layer.dtype == "float32" else "NO",  # classes gain nothing by one
        "BLOCKSIZE": str(COG_BLOCK),
        "OVERVIEW_RESAMPLING": layer.overviews,
        "NUM_THREADS": str(threads),
        "BIGTIFF": "IF_SAFER",  # GDAL cannot know how small compression makes it, and a TIFF ends at 4 GB
    }


def _virtual_raster(parts: Parts, number: int, tags: Mapping[str, str]) -> Path:
    """A raster that GDAL puts together from the files of the shares as it reads."""
    layer, path = parts.layers[number], parts.folder / f"{number}.vrt"
    for share in range(parts.shares):
        raw = parts.raw_path(share, number)
        first, end = parts.rows(share)
        write_envi_header(
            raw,
            height=end - first,
            width=parts.grid.width,
            bands=len(layer.bands),
            data_type=_ENVI_TYPES[layer.dtype],
        )
    path.unlink(missing_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="VRT",
        dtype=layer.dtype,
        nodata=layer.nodata,
        count=len(layer.bands),
        height=parts.grid.height,
        width=parts.grid.width,
        crs=parts.grid.crs,
        transform=parts.grid.transform,
    ) as dataset:
        _annotate(dataset, layer)
        dataset.update_tags(**tags)
        for band in dataset.indexes:
            sources = {
                f"source_{place}": _source_xml(piece, parts.raw_path(piece.share, number).name, band)
                for place, piece in enumerate(parts.pieces())
            }
            dataset.update_tags(band, ns="new_vrt_sources", **sources)
    return path


def _add_overviews(virtual: Path, overviews: Sequence[Path]) -> None:
    """Name the overviews of each band in the virtual raster: GDAL then takes them instead of making some."""
    head, *bands = virtual.read_text(encoding="utf-8").split("</VRTRasterBand>")
    for number in range(len(bands)):
        lines = "".join(
            f'<Overview><SourceFilename relativeToVRT="1">{path.name}</SourceFilename>'
            f"<SourceBand>{number + 1}</SourceBand></Overview>"
            for path in overviews
        )
        bands[number] = f"{lines}</VRTRasterBand>{bands[number]}"
    virtual.write_text("".join((head, *bands)), encoding="utf-8")


def _source_xml(piece: Piece, name: str, band: int) -> str:
    """GDAL's words for a rectangle of another raster: https://gdal.org/en/stable/drivers/raster/vrt.html."""
    window = piece.window
    size = f'xOff="{window.col}" xSize="{window.width}" ySize="{window.height}"'
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand>"
        f'<SrcRect {size} yOff="{window.row - piece.first_row}"/><DstRect {size} yOff="{window.row}"/>'
        "</SimpleSource>"
    )


def _annotate(dataset: Any, layer: Layer) -> None:
    for number, name in enumerate(layer.bands, start=1):
        dataset.set_band_description(number, name)
    if layer.colors is not None:
        opaque = {value: (*color, 255) for value, color in enumerate(layer.colors)}
        dataset.write_colormap(1, {**opaque, IGNORE: (0, 0, 0, 0)})
    if layer.scale is not None:
        dataset.scales = (layer.scale,) * len(layer.bands)
    if layer.unit is not None:
        dataset.units = layer.units


def _read_back(parts: Parts, number: int) -> Counts | None:
    """Compare the file with the parts, value by value; None where they differ."""
    counts = Counts()
    with rasterio.open(_cog_path(parts, number)) as dataset:
        for piece in parts.pieces():
            with Share(parts, piece.share, wait=True, check=False) as share:
                for window in _windows(piece.window, parts.layers[number].pixel_bytes):
                    stored = share.read(number, window)
                    area = RasterioWindow(window.col, window.row, window.width, window.height)
                    if not _equal(stored, dataset.read(window=area)):
                        return None
                    counts.add(stored)
    return counts


def _windows(area: Window, pixel_bytes: int) -> Iterator[Window]:
    """Cut an area along the lattice of the file's blocks, into rows of them where memory allows.

    Rows of the whole width are one piece of the file of a share.
    """
    step = max(1, _STRIP_BYTES // (COG_BLOCK**2 * pixel_bytes)) * COG_BLOCK
    row = area.row
    while row < area.row_stop:
        row_stop = min(area.row_stop, (row // COG_BLOCK + 1) * COG_BLOCK)
        col = area.col
        while col < area.col_stop:
            col_stop = min(area.col_stop, (col // step + 1) * step)
            yield Window.from_stops(row, col, row_stop, col_stop)
            col = col_stop
        row = row_stop


def _equal(first: NDArray[Any], second: NDArray[Any]) -> bool:
    if first.dtype == np.uint8:
        return np.array_equal(first, second)
    # Bit by bit, but for NaN, which has many patterns of bits that software may exchange.
    same = first.view(np.uint32) == second.view(np.uint32)
    return bool((same | (np.isnan(first) & np.isnan(second))).all())


def _publish(parts: Parts, number: int, path: Path) -> None:
    """Give a file its name; its sidecar first: a file under its own name is complete."""
    sidecar, target = _sidecar_path(parts, number), path.with_name(f"{path.name}.aux.xml")
    with _told(path, "put in place"):
        if sidecar.exists():
            sidecar.replace(target)
        else:
            target.unlink(missing_ok=True)  # of a file that is replaced
    _replace(path, _cog_path(parts, number))


def _replace(path: Path, made: Path) -> None:
    with _told(path, "put in place"):
        made.replace(path)


def _write_text(parts: Parts, path: Path, text: str) -> None:
    written = parts.folder / path.name
    with _told(path, "written"):
        written.write_text(text, encoding="utf-8")
    _make_lasting(path, written)


def _make_lasting(path: Path, made: Path) -> None:
    """Have a file on disk before it gets its name, and all at once: the names then follow in no time."""
    with _told(path, "written"), made.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    """Turn what GDAL and the system raise into one line."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise told(path, done, OSError(None, gdal_message(error))) from error
    except OSError as error:
        raise told(path, done, error) from error


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Make sure, before any work, that a file can be written.

    Args:
        path: The file.
        overwrite: Whether it may exist.

    Raises:
        OutputError: The folder is missing or read-only, or the file exists.
    """
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder; name a file in it, such as '{path / 'map.tif'}'.")
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder '{path.parent}' to write '{path.name}' to. Make it first.")
    if path.exists() and not overwrite:
        raise OutputError(f"'{path}' exists already. Choose another name, or replace it with --overwrite.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"The folder '{path.parent}' is read-only for you. Choose another with --out.")


def require_writable_together(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Make sure, before any work, that a map and the files beside it can be written.

    Where the map's parts are, files beside it may be there: a run that was killed at the very end has put
    them in place, and the same command does so again.

    Args:
        paths: The map first.
        overwrite: Whether they may exist.

    Raises:
        OutputError: As `require_writable`.
    """
    is_begun = parts_folder(paths[0]).exists()
    for number, path in enumerate(paths):
        require_writable(path, overwrite=overwrite or (is_begun and number > 0))


def _category_xml(names: tuple[str, ...]) -> str:
    """GDAL's sidecar with a name for each value: a TIFF itself has no place for them.

    https://gdal.org/en/stable/user/raster_data_model.html (category names)
    """
    lines = "".join(f"      <Category>{escape(name)}</Category>\n" for name in names)
    return (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n'
        f"{lines}    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )


@contextmanager
def quiet_georeference() -> Iterator[None]:
    """A scene without georeference gets a map without: no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
