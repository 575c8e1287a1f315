"""Scenes as they come: a folder with a file per band, or several files side by side, as one raster."""

from collections.abc import Sequence
from pathlib import Path

from eoseg.errors import ConfigError
from eoseg.geo.bandfolder import band_vrt, find_bands
from eoseg.geo.mosaic import mosaic_vrt
from eoseg.geo.settings import gdal_settings
from eoseg.geo.vrt import write_vrt
from eoseg.recipe import Recipe


def scenes_as_rasters(
    scenes: Sequence[str],
    recipe: Recipe,
    work: Path,
    *,
    mosaic: bool = False,
    nodata: float | None = None,
) -> list[str]:
    """Give each scene that is not one file the file of a VRT.

    Args:
        scenes: The scenes of one map. A folder holds the bands of one date, except for a series, where it
            holds the rasters of all dates.
        recipe: The checkpoint's recipe: its bands are looked for.
        work: An existing folder for the VRTs, which must stay until the map is made.
        mosaic: Whether the scenes are parts of one.
        nodata: Nodata value instead of the files' own.

    Returns:
        Paths for `predict_scene`.

    Raises:
        ConfigError: Parts of one scene are given to a checkpoint that takes several dates.
        DataError: The files cannot be read, or do not belong together.
    """
    if mosaic and recipe.schema.time != "single":
        raise ConfigError(
            f"--mosaic lays files of one date side by side; the checkpoint takes a {recipe.schema.time} of "
            "dates. Make a mosaic of each date first (rio merge)."
        )
    found = list(scenes)
    with gdal_settings():
        if recipe.schema.time != "series":
            found = [_bands_as_raster(scene, recipe, work / str(n), nodata) for n, scene in enumerate(scenes)]
        if mosaic:
            work.joinpath("mosaic").mkdir()
            target = work / "mosaic" / f"{Path(found[0]).stem}_mosaic.vrt"
            found = [str(write_vrt(mosaic_vrt(found, nodata=nodata), target))]
    return found


def _bands_as_raster(scene: str, recipe: Recipe, work: Path, nodata: float | None) -> str:
    """The VRT of a folder of bands; other scenes as they are."""
    folder = Path(scene)
    if not folder.is_dir():
        return scene
    work.mkdir()
    text = band_vrt(find_bands(scene, recipe.schema.bands, nodata=nodata))
    return str(write_vrt(text, work / f"{folder.resolve().name}.vrt"))
