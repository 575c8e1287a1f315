"""The rasters of a prediction: one scene, a pair of dates, or a series of them, matched to a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from eoseg.errors import ConfigError, DataError
from eoseg.geo.bandfolder import RASTER_SUFFIXES
from eoseg.geo.dates import find_dates, sort_by_date
from eoseg.geo.grid import Grid
from eoseg.geo.scene import Scene
from eoseg.geo.stack import SceneStack
from eoseg.predict.match import MatchedScene, match_scene
from eoseg.predict.options import PredictOptions
from eoseg.recipe import Recipe, Time

_CHECKED_DATES = 3  # of a long series: first, middle and last; to look at all would take longer than to map


@dataclass(frozen=True, slots=True)
class DatedRasters:
    """The files of one prediction, earliest first."""

    time: Time
    paths: tuple[str, ...]
    dates: tuple[date, ...] | None = None
    """Of a series; of a pair where both names have one."""
    notices: tuple[str, ...] = ()


def find_rasters(scene: str | Sequence[str], time: Time) -> DatedRasters:
    """Bring the files of a prediction into order.

    Args:
        scene: One path, or several: the earlier and the later one for a pair; all dates, in any order, or
            one folder for a series.
        time: What the checkpoint takes.

    Raises:
        ConfigError: The checkpoint takes another number of scenes.
        DataError: A name has no date, two have the same, or the later scene of a pair is the earlier one.
    """
    paths = (scene,) if isinstance(scene, str) else tuple(scene)
    if time == "series":
        return _series(paths)
    if time == "pair":
        return _pair(paths)
    if len(paths) != 1:
        raise ConfigError(f"The checkpoint maps one scene at a time; found {len(paths)}. Give one.")
    return DatedRasters(time, paths)


def _pair(paths: tuple[str, ...]) -> DatedRasters:
    if len(paths) != 2:
        raise ConfigError(
            f"The checkpoint finds change between two dates; found {len(paths)} scene(s). Give the earlier "
            "scene, then the later one."
        )
    found = [find_dates(Path(path).name) for path in paths]
    if any(len(dates) != 1 for dates in found):
        return DatedRasters("pair", paths)
    before, after = found[0][0], found[1][0]
    if after < before:
        raise DataError(
            f"'{paths[1]}' ({after}) is earlier than '{paths[0]}' ({before}); expected the earlier scene "
            "first. Exchange them."
        )
    return DatedRasters("pair", paths, (before, after) if before < after else None)


def _series(paths: tuple[str, ...]) -> DatedRasters:
    notices: tuple[str, ...] = ()
    if len(paths) == 1 and Path(paths[0]).is_dir():
        paths, notices = _in_folder(Path(paths[0]))
    folder = next((path for path in paths if Path(path).is_dir()), None)
    if folder is not None:
        raise ConfigError(
            f"A series is one folder, or the files of its dates; found the folder '{folder}' among "
            f"{len(paths)} paths. Map one series at a time."
        )
    dated = sort_by_date(paths)
    return DatedRasters("series", tuple(path for _, path in dated), tuple(day for day, _ in dated), notices)


def _in_folder(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rasters of a folder with a date in their name, and a notice of the others."""
    rasters = sorted(path for path in folder.iterdir() if path.suffix.lower() in RASTER_SUFFIXES)
    dated = [path for path in rasters if find_dates(path.name)]
    if not dated:
        raise DataError(
            f"The folder '{folder}' holds no raster ({', '.join(RASTER_SUFFIXES)}) with a date in its name, "
            f"but {len(rasters)} without. Name its files by date, such as S2_2021-05-27.tif."
        )
    others = [path.name for path in rasters if path not in dated]
    notices: tuple[str, ...] = ()
    if others:
        notices = (
            f"'{folder}' also holds {', '.join(others)}: no date in the name, so no part of the series.",
        )
    return tuple(map(str, dated)), notices


@dataclass(frozen=True, slots=True)
class MatchedRasters:
    """How to open the files of a prediction for a checkpoint."""

    rasters: DatedRasters
    first: MatchedScene
    """How to read the first file; the others are read in the same way."""
    notices: tuple[str, ...]
    """What was assumed, in whole sentences, for the user to read."""

    def open(self, onto: Grid | None = None) -> Scene | SceneStack:
        """Open the files. The caller closes them.

        Args:
            onto: What `eoseg.geo.resample.resampled_grid` gave for them, to read them at another pixel size.

        Raises:
            GridError: The files are on different grids; the message has the command that repairs it.
            BandError: The files have different bands.
        """
        if self.rasters.time == "single":
            return self.first.open(onto)
        return SceneStack(
            self.rasters.paths,
            dates=self.rasters.dates,
            bands=self.first.bands,
            band_names=self.first.band_names,
            nodata=self.first.nodata,
            nodata_policy=self.first.nodata_policy,
            fill=self.first.fill,
            onto=onto,
        )


def match_rasters(rasters: DatedRasters, recipe: Recipe, options: PredictOptions) -> MatchedRasters:
    """Find out how to read the files of a prediction for a checkpoint, or refuse them.

    Args:
        rasters: The files.
        recipe: The checkpoint's recipe.
        options: Bands, nodata, and whether other ranges of values are allowed.

    Raises:
        BandError: A band is missing or cannot be told, or its values are implausible.
        DataError: A file cannot be read, or not in the same way as the others.
    """
    paths = rasters.paths
    last = len(paths) - 1
    checked = {round(last * place / (_CHECKED_DATES - 1)) for place in range(_CHECKED_DATES)}
    matched = [
        match_scene(
            path,
            recipe,
            bands=options.bands,
            nodata=options.nodata,
            nodata_policy=options.nodata_policy,
            allow_range_mismatch=options.allow_range_mismatch,
            check_ranges=step in checked,
        )
        for step, path in enumerate(paths)
    ]
    first = matched[0]
    for other in matched[1:]:
        _require_same_reading(first, other)
    return MatchedRasters(rasters, first, (*rasters.notices, *_gather(matched)))


def _require_same_reading(first: MatchedScene, other: MatchedScene) -> None:
    """All dates are opened with one set of options."""
    for what, option, ours, theirs in (
        ("band names", "--bands", first.band_names, other.band_names),
        ("nodata value", "--nodata", first.nodata, other.nodata),
    ):
        if ours != theirs:
            raise DataError(
                f"'{first.path}' needs the {what} {_said(ours)}, '{other.path}' {_said(theirs)}. Give one "
                f"for all dates with {option}."
            )


def _said(value: Sequence[str] | float | None) -> str:
    if value is None:
        return "of the file itself"
    return f"{value:g}" if isinstance(value, float) else ",".join(map(str, value))


def _gather(matched: Sequence[MatchedScene]) -> list[str]:
    """The notices; of many dates those of the first that has any, and how many others have some."""
    noticed = [scene.notices for scene in matched if scene.notices]
    if not noticed:
        return []
    more = len(noticed) - 1
    return [*noticed[0], *([f"The same holds for {more} more of the dates."] if more else [])]
