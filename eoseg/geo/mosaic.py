"""Several rasters side by side as one scene."""

import math
import shlex
from collections.abc import Sequence

import numpy as np
from rasterio.warp import transform_bounds

from eoseg.errors import BandError, DataError, GridError
from eoseg.geo.grid import Grid, crs_name, with_suffix
from eoseg.geo.remote import shown
from eoseg.geo.vrt import Part, Raster, RasterBand, VrtBand, describe_raster, vrt_text
from eoseg.geo.window import Window

_TOLERANCE_PX = 0.01  # as for whole grids


def mosaic_vrt(paths: Sequence[str], *, nodata: float | None = None) -> str:
    """Lay rasters side by side.

    Where they overlap, later files lie over earlier ones; where a later one has nodata, the earlier shows,
    each band on its own. What no file covers is invalid: it is nodata, or masked where the files declare no
    nodata value.

    Args:
        paths: The files. They have one CRS, one pixel size and pixels that lie on one lattice, and the same
            bands with the same type, nodata value, scale and offset. A file that names no band (rio warp
            drops the names) has them in the order of the first file.
        nodata: Nodata value instead of the files' own.

    Returns:
        The text of a VRT: see `eoseg.geo.vrt.write_vrt`.

    Raises:
        GridError: A file lies on another lattice; the message has the command that repairs it.
        BandError: The files have different bands.
        DataError: There is no file, one cannot be read, or they differ in type, nodata, scale or offset.
    """
    if not paths:
        raise DataError("A mosaic needs at least one file; found none.")
    rasters = [describe_raster(path, nodata=nodata) for path in paths]
    first = rasters[0]
    for other in rasters[1:]:
        _require_same_bands(first, other)
    windows = [_place(raster, first) for raster in rasters]
    whole = Window.from_stops(
        min(window.row for window in windows),
        min(window.col for window in windows),
        max(window.row_stop for window in windows),
        max(window.col_stop for window in windows),
    )
    placed = [
        (raster, window.shift(-whole.row, -whole.col))
        for raster, window in zip(rasters, windows, strict=True)
    ]
    is_masked = any(raster.has_mask for raster in rasters)
    bands = []
    for place, band in enumerate(first.bands):
        value = _nodata(band, is_masked)
        parts = [_part(raster, window, raster.bands[place].number, value) for raster, window in placed]
        masks = [_part(raster, window, "mask,1", 0.0) for raster, window in placed if value is None]
        bands.append(VrtBand(band, value, tuple(parts), tuple(masks)))
    return vrt_text(first.grid.crop(whole), bands)


def _part(raster: Raster, window: Window, band: int | str, nodata: float | None) -> Part:
    return Part(
        raster,
        band,
        window.col,
        window.row,
        window.width,
        window.height,
        nodata=nodata,
        uses_mask=nodata is None and raster.has_mask,
    )


def _nodata(band: RasterBand, is_masked: bool) -> float | None:
    """What gaps hold; None where a mask says where they are."""
    if band.nodata is None and np.dtype(band.dtype).kind == "f" and not is_masked:
        return math.nan  # never a value
    return band.nodata


def _require_same_bands(first: Raster, other: Raster) -> None:
    this, that = shown(first.path), shown(other.path)
    is_bare = all(name == f"band_{band.number}" for name, band in zip(other.names, other.bands, strict=True))
    if len(first.names) != len(other.names) or not (is_bare or first.names == other.names):
        raise BandError(
            f"All files of a mosaic must have the same bands: '{this}' has {', '.join(first.names)}, "
            f"'{that}' has {', '.join(other.names)}. Write the same bands into both."
        )
    for ours, theirs in zip(first.bands, other.bands, strict=True):
        for what, one, two in (
            ("type", ours.dtype, theirs.dtype),
            ("scale", ours.scale, theirs.scale),
            ("offset", ours.offset, theirs.offset),
            ("nodata value", str(ours.nodata), str(theirs.nodata)),
        ):
            if one != two:
                remedy = "Give one with --nodata." if what == "nodata value" else "Write both alike."
                raise DataError(
                    f"All files of a mosaic must be alike: band '{ours.name}' has the {what} {one} in "
                    f"'{this}' and {two} in '{that}'. {remedy}"
                )


def _place(raster: Raster, first: Raster) -> Window:
    """Where a raster lies on the lattice of the first one's pixels.

    Raises:
        GridError: Nowhere.
    """
    ours, theirs = first.grid, raster.grid
    found = None
    if ours.crs is None or theirs.crs is None:
        bare = first if ours.crs is None else raster
        raise GridError(
            f"'{shown(bare.path)}' has no CRS, so its place in a mosaic is not known. Give it "
            "one: rio edit-info --crs EPSG:... and --transform."
        )
    if ours.crs != theirs.crs:
        found = f"CRS {crs_name(theirs.crs)} instead of {crs_name(ours.crs)}"
        raise GridError(_misplaced(raster, first, found))
    inverse = ~ours.transform
    col, row = inverse @ (theirs.transform @ (0, 0))
    far = inverse @ (theirs.transform @ (theirs.width, theirs.height))
    if math.dist(far, (col + theirs.width, row + theirs.height)) > _TOLERANCE_PX:
        sizes = [f"{width:g} x {height:g}" for width, height in (theirs.pixel_size, ours.pixel_size)]
        found = f"pixels of {sizes[0]} instead of {sizes[1]}, or turned"
    elif math.dist((col, row), (round(col), round(row))) > _TOLERANCE_PX:
        found = f"pixels shifted by {abs(col - round(col)):.3g} columns and {abs(row - round(row)):.3g} rows"
    if found is not None:
        raise GridError(_misplaced(raster, first, found))
    return Window(round(row), round(col), theirs.height, theirs.width)


def _misplaced(raster: Raster, first: Raster, found: str) -> str:
    """The message of a raster on another lattice, with the command that warps it onto the first one's."""
    grid = first.grid
    target = with_suffix(raster.path, "_aligned")
    command = ["rio", "warp", raster.path, target, "--dst-crs", crs_name(grid.crs)]
    command += ["--dst-bounds", *map(repr, _snapped(raster.grid, grid))]
    width, height = grid.pixel_size
    command += ["--res", repr(width), "--res", repr(height)]
    return (
        f"'{shown(raster.path)}' does not lie on the pixels of '{shown(first.path)}': {found}. To repair: "
        f"{shlex.join(command)}"
    )


def _snapped(grid: Grid, target: Grid) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of a grid in the CRS of another one, moved outward to its pixels."""
    left, bottom, right, top = transform_bounds(grid.crs, target.crs, *grid.bounds)
    width, height = target.pixel_size
    west, _, _, north = target.bounds
    return (
        west + math.floor((left - west) / width) * width,
        north - math.ceil((north - bottom) / height) * height,
        west + math.ceil((right - west) / width) * width,
        north - math.floor((north - top) / height) * height,
    )
