"""Bands that lie in files of their own, some of them coarser than others, as one scene."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eoseg.errors import BandError, DataError, GridError
from eoseg.geo.grid import crs_name
from eoseg.geo.remote import shown
from eoseg.geo.vrt import Part, Raster, RasterBand, VrtBand, describe_raster, vrt_text

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".img")
"""Files of a folder that count as rasters."""

_LEFT_OUT = "QI_DATA"
"""Folder of a Sentinel-2 product whose masks are named like the bands that they are about."""

_TOLERANCE_PX = 0.01  # of the finest band, as for whole grids


@dataclass(frozen=True, slots=True)
class BandFile:
    """Where a band is."""

    name: str
    raster: Raster
    band: RasterBand

    @property
    def pixel_area(self) -> float:
        """In square units of the CRS."""
        width, height = self.raster.grid.pixel_size
        return width * height


def find_bands(
    source: str | Sequence[str], wanted: Sequence[str], *, nodata: float | None = None
) -> tuple[BandFile, ...]:
    """Find bands among the files of a folder, or among some files.

    A file with one band holds the band that its description says, or whose name stands in the file's name as
    a word, such as B02 in T32UQD_20210527_B02_10m.jp2. Files with several bands hold those of their
    descriptions. Of a band that is there in several resolutions the finest is taken. Other files, such as
    the classification SCL, are left alone unless they are wanted.

    Args:
        source: A folder, with all folders in it, or files.
        wanted: Names of the bands to find.
        nodata: Nodata value instead of the files' own.

    Returns:
        A file for each band, in the order wanted.

    Raises:
        BandError: A band is not there, or two files have it in one resolution.
        DataError: There is no raster, or one cannot be read.
    """
    folder = source if isinstance(source, str) else f"{len(source)} files"
    files = _rasters_in(Path(source)) if isinstance(source, str) else list(source)
    if not files:
        raise DataError(
            f"The folder '{folder}' holds no raster ({', '.join(RASTER_SUFFIXES)}). Give a folder of bands."
        )
    named = {file: [band for band in wanted if _is_word(band, Path(file).stem)] for file in files}
    # Only files that may matter are opened: a product has dozens, and on a server each takes a while.
    is_complete = {band for bands in named.values() for band in bands} >= set(wanted)
    found = [
        entry
        for file in files
        if named[file] or not is_complete
        for entry in _bands_of(describe_raster(file, nodata=nodata), named[file], wanted)
    ]
    return tuple(
        _finest(band, [entry for entry in found if entry.name == band], folder, files) for band in wanted
    )


def band_vrt(bands: Sequence[BandFile]) -> str:
    """Lay bands over each other, on the grid of the finest.

    Coarser bands are interpolated (bilinear), in the moment in which they are read.

    Args:
        bands: What `find_bands` found.

    Returns:
        The text of a VRT: see `eoseg.geo.vrt.write_vrt`.

    Raises:
        GridError: Two bands have different CRS or corners.
    """
    finest = min(bands, key=lambda entry: entry.pixel_area)
    for entry in bands:
        _require_same_place(entry, finest)
    return vrt_text(finest.raster.grid, [_layer(entry, finest) for entry in bands])


def _layer(entry: BandFile, finest: BandFile) -> VrtBand:
    """A band on the grid of the finest one."""
    raster = entry.raster
    width, height = _size_on(entry, finest)
    is_fine = math.isclose(width, raster.grid.width) and math.isclose(height, raster.grid.height)
    uses_mask = entry.band.nodata is None and raster.has_mask
    part = Part(
        raster,
        entry.band.number,
        col=0,
        row=0,
        width=width,
        height=height,
        nodata=entry.band.nodata,
        uses_mask=uses_mask,
        resampling="nearest" if is_fine else "bilinear",
    )
    mask = (Part(raster, "mask,1", col=0, row=0, width=width, height=height),) if uses_mask else ()
    return VrtBand(replace(entry.band, name=entry.name), entry.band.nodata, (part,), mask)


def _size_on(entry: BandFile, finest: BandFile) -> tuple[float, float]:
    """Width and height of a band in pixels of the finest."""
    own, grid = entry.raster.grid, finest.raster.grid
    (across, down), (width, height) = own.pixel_size, grid.pixel_size
    return own.width * across / width, own.height * down / height


def _require_same_place(entry: BandFile, finest: BandFile) -> None:
    """Refuse a band that does not lie where the finest one does.

    Raises:
        GridError: It has another CRS or upper left corner, or ends before the finest one does.
    """
    own, grid = entry.raster.grid, finest.raster.grid
    these = (
        f"The bands '{finest.name}' ('{shown(finest.raster.path)}') and '{entry.name}' "
        f"('{shown(entry.raster.path)}')"
    )
    if own.crs != grid.crs:
        raise GridError(
            f"{these} have the CRS {crs_name(grid.crs)} and {crs_name(own.crs)}; expected one. Give bands of "
            "one product, or warp one of them."
        )
    inverse = ~grid.transform
    corner = inverse @ (own.transform @ (0, 0))
    width, height = _size_on(entry, finest)
    far = inverse @ (own.transform @ (own.width, own.height))
    if math.dist(corner, (0, 0)) > _TOLERANCE_PX or math.dist(far, (width, height)) > _TOLERANCE_PX:
        raise GridError(
            f"{these} do not begin at one corner: they lie {corner[0]:.3g} columns and {corner[1]:.3g} rows "
            "apart. Give bands of one product, or warp one of them (rio warp --like)."
        )
    if width < grid.width - _TOLERANCE_PX or height < grid.height - _TOLERANCE_PX:
        raise GridError(
            f"{these} do not cover the same area: the second ends after {height:g} of {grid.height} rows and "
            f"{width:g} of {grid.width} columns. Give bands of one product."
        )


def _rasters_in(folder: Path) -> list[str]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in RASTER_SUFFIXES)
    return [str(path) for path in files if _LEFT_OUT not in path.relative_to(folder).parts]


def _is_word(band: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(band)}(?![A-Za-z0-9])", text, re.IGNORECASE) is not None


def _bands_of(raster: Raster, named: Sequence[str], wanted: Sequence[str]) -> list[BandFile]:
    """The wanted bands of one file."""
    described = [BandFile(band.name, raster, band) for band in raster.bands if band.name in wanted]
    if described or len(raster.bands) > 1 or len(named) != 1:
        return described
    return [BandFile(named[0], raster, raster.bands[0])]


def _finest(band: str, found: Sequence[BandFile], folder: str, files: Sequence[str]) -> BandFile:
    """The file of a band in its finest resolution.

    Raises:
        BandError: There is none, or there are two.
    """
    if not found:
        raise BandError(
            f"'{folder}' has no file of the band '{band}' among its {len(files)} rasters. Expected a name "
            f"such as ..._{band}.tif, or a band with that description."
        )
    ordered = sorted(found, key=lambda entry: entry.pixel_area)
    if len(ordered) > 1 and math.isclose(ordered[0].pixel_area, ordered[1].pixel_area, rel_tol=1e-6):
        one, two = (shown(entry.raster.path) for entry in ordered[:2])
        raise BandError(
            f"'{folder}' has two files of the band '{band}': '{one}' and '{two}'. Leave one of them out; a "
            "folder holds the bands of one date and tile."
        )
    return ordered[0]
