"""Scenes in another pixel size, and maps back on the scene's own grid.

Both are VRTs: see `eoseg.geo.vrt`. The outer borders of the pixels coincide in both grids, so that nothing is
shifted on the way there and back.
"""

from dataclasses import replace
from typing import Literal

from affine import Affine

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.geo.vrt import Part, Raster, VrtBand, describe_raster, vrt_text

SAME_SIZE = 0.1
"""Pixel sizes that differ by at most this share count as the same."""


def needed_pixel_size(grid: Grid, wanted: float | None) -> float | None:
    """The pixel size at which a scene is to be read, where that is not its own.

    Args:
        grid: The scene's grid.
        wanted: In metres, for example that of the training; None where it is not known.

    Returns:
        The size in metres; None where the scene is read as it is, because its pixels have about that size or
        nothing is known of one of the two.
    """
    own = grid.pixel_metres
    if wanted is None or own is None or abs(own / wanted - 1) <= SAME_SIZE:
        return None
    return wanted


def resampled_grid(grid: Grid, pixel_size: float) -> Grid:
    """The grid of the same area with pixels of about another size.

    The area is divided into whole pixels, so that their size differs from the one wanted, by up to half a
    pixel over the width of the scene.

    Args:
        grid: The scene's grid.
        pixel_size: Wanted, in metres.

    Raises:
        ConfigError: The scene has no CRS, or is smaller than one such pixel.
    """
    own = grid.pixel_metres
    if own is None:
        raise ConfigError(
            f"Without a CRS the pixel size of a scene is not known, so it cannot become {pixel_size:g} m. "
            "Give the scene a CRS, or map it with --pixel-size native."
        )
    factor = own / pixel_size
    height, width = round(grid.height * factor), round(grid.width * factor)
    if height < 1 or width < 1:
        raise ConfigError(
            f"The scene of {grid.width} x {grid.height} px of {own:g} m is smaller than one pixel of "
            f"{pixel_size:g} m. Choose another pixel size."
        )
    scaled = grid.transform @ Affine.scale(grid.width / width, grid.height / height)
    return Grid(grid.crs, scaled, height, width)


def resampled_vrt(
    path: str,
    grid: Grid,
    *,
    nodata: float | None = None,
    resampling: Literal["bilinear", "nearest"] = "bilinear",
) -> str:
    """A raster on another grid over the same area.

    Args:
        path: The raster: a scene, or the map of a resampled scene.
        grid: What `resampled_grid` gave for the scene; for a map the scene's own grid.
        nodata: Nodata value instead of the file's own.
        resampling: "bilinear" for values, where invalid pixels count for nothing; "nearest" for classes.

    Returns:
        The text of a VRT: see `eoseg.geo.vrt.write_vrt`.
    """
    raster = describe_raster(path, nodata=nodata)

    def part(band: int | str, how: str) -> Part:
        return Part(raster, band, col=0, row=0, width=grid.width, height=grid.height, resampling=how)

    mask = (part("mask,1", "nearest"),) if raster.has_mask else ()
    bands = [
        VrtBand(band, band.nodata, (_seen(part(band.number, resampling), raster, band.nodata),), mask)
        for band in raster.bands
    ]
    return vrt_text(grid, bands)


def _seen(part: Part, raster: Raster, nodata: float | None) -> Part:
    """A part that leaves out what is invalid."""
    return replace(part, nodata=nodata, uses_mask=nodata is None and raster.has_mask)
