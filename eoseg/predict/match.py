"""Whether a checkpoint and a scene go together: bands by name, nodata, and ranges of values."""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eoseg.errors import BandError
from eoseg.geo.grid import Grid
from eoseg.geo.resample import open_scene
from eoseg.geo.sample import sample_scene
from eoseg.geo.scene import NodataPolicy, Scene
from eoseg.recipe import BandStatistics, Recipe, Schema, match_bands

_logger = logging.getLogger(__name__)

_FEW_WINDOWS = 4  # per axis of a large scene
_MOST_RATIO = 50.0
_MOST_RATIO_OTHER_TYPE = 4.0
_DERIVED_NAME = re.compile(r"red|green|blue|band_\d+")
_HINT = "Name the scene's bands in file order, for example --bands {names}."


@dataclass(frozen=True, slots=True)
class MatchedScene:
    """How to open a scene for a checkpoint."""

    path: str
    bands: tuple[str, ...]
    """The bands that the network takes, in its order."""
    band_names: tuple[str, ...] | None
    """Names for the bands of the file; None for its own."""
    nodata: float | None
    """Nodata value; None for the file's own."""
    notices: tuple[str, ...]
    """What was assumed, in whole sentences, for the user to read."""
    nodata_policy: NodataPolicy = "any"
    """Whether a pixel needs a value in all bands, or in any."""
    fill: tuple[float, ...] | None = None
    """For each band what stands for a missing value in a valid pixel: the training mean."""

    def open(self, onto: Grid | None = None) -> Scene:
        """Open the scene, as it is or at another pixel size. The caller closes it."""
        return open_scene(
            self.path,
            onto=onto,
            bands=self.bands,
            band_names=self.band_names,
            nodata=self.nodata,
            nodata_policy=self.nodata_policy,
            fill=self.fill,
        )


def match_scene(
    path: str,
    recipe: Recipe,
    *,
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    nodata_policy: NodataPolicy = "any",
    allow_range_mismatch: bool = False,
    check_ranges: bool = True,
) -> MatchedScene:
    """Find out how to read a scene for a checkpoint, or refuse it.

    Args:
        path: The scene.
        recipe: The checkpoint's recipe.
        bands: Names for all bands of the scene, in file order, instead of its own.
        nodata: Nodata value instead of the scene's own.
        nodata_policy: "any": a pixel without a value in any band is invalid. "all": only one without a
            value in all bands; elsewhere the training mean stands for what is missing.
        allow_range_mismatch: Go on where the values lie far from the training values.
        check_ranges: Whether to look at the values at all.

    Raises:
        BandError: A band is missing or cannot be told, or its values are implausible.
        DataError: The scene cannot be read.
    """
    schema, notices = recipe.schema, []
    with Scene(path, band_names=bands) as scene:
        names = tuple(bands) if bands is not None else _infer_names(scene, schema)
        if names is not None and bands is None:
            notices.append(
                f"'{path}' does not name its bands: taken in the order of the training files, "
                f"{', '.join(names)}."
            )
        if nodata is None and scene.nodata is None and schema.nodata is not None:
            nodata = schema.nodata
            notices.append(f"'{path}' declares no nodata value: {nodata:g} is taken, as in training.")
    means = {entry.name: entry.mean for entry in recipe.statistics.bands}
    fill = tuple(means[band] for band in schema.bands)
    matched = MatchedScene(path, schema.bands, names, nodata, (), nodata_policy, fill)
    misfit = None
    if check_ranges:
        with matched.open() as scene:
            misfit = range_misfit(scene, recipe)
    if misfit is not None:
        if not allow_range_mismatch:
            raise BandError(f"'{path}' {misfit} Rescale it, or map it as it is with --allow-range-mismatch.")
        notices.append(f"'{path}' {misfit} Mapped as it is, because a mismatch is allowed.")
    return replace(matched, notices=tuple(notices))


def _infer_names(scene: Scene, schema: Schema) -> tuple[str, ...] | None:
    """Names for the bands of a scene, or None where its own names do.

    Raises:
        BandError: The bands cannot be told.
    """
    own = scene.all_bands
    if set(schema.bands) <= set(own) and not _are_placeholders(schema.bands):
        match_bands(schema.bands, own, where=f"'{scene.path}'")  # a name that is there twice
        return None
    trained_on = schema.file_bands or schema.bands
    hint = _HINT.format(names=",".join(trained_on))
    if not all(_DERIVED_NAME.fullmatch(name) for name in own):
        missing = [name for name in schema.bands if name not in own]
        raise BandError(
            f"'{scene.path}' has the bands {', '.join(own)}; the checkpoint needs {', '.join(schema.bands)} "
            f"and {', '.join(missing)} is missing. {hint}"
        )
    if not (schema.bands_named_by_config or _are_placeholders(trained_on)):
        raise BandError(
            f"'{scene.path}' has {len(own)} bands without names ({', '.join(own)}); the checkpoint needs "
            f"{', '.join(schema.bands)}. {hint}"
        )
    if len(own) != len(trained_on):
        raise BandError(
            f"'{scene.path}' has {len(own)} bands without names; the checkpoint was trained on files of "
            f"{len(trained_on)} bands ({', '.join(trained_on)}). {hint}"
        )
    return None if tuple(own) == trained_on else tuple(trained_on)


def _are_placeholders(names: Sequence[str]) -> bool:
    """Whether no one ever named these bands, so that only their number tells them apart."""
    return any(re.fullmatch(r"band_\d+", name) for name in names)


def range_misfit(scene: Scene, recipe: Recipe) -> str | None:
    """Say how the values of a scene differ in scale from the training values.

    A sample of windows is compared, band by band, with the checkpoint's statistics. The scales differ if

    - the largest values (98th percentile) are typically more than 50 times larger or smaller, or more
      than 4 times where the type of numbers differs too (8 bit, wider integers, floats); or
    - the middle 96 % of a band's values all lie further from the training range than its whole width.

    A dark scene (water, shadow) of the same type passes, and so does a constant one inside the range.

    Args:
        scene: Opened with the network's bands.
        recipe: The checkpoint's recipe.

    Returns:
        What is found and what was expected, or None where the values are plausible or the sample holds
        no valid pixel.
    """
    # A few windows tell scales apart; more are read only where these hold nothing.
    sample = sample_scene(scene, windows=_FEW_WINDOWS).values  # (C, N)
    if sample.shape[1] == 0:
        sample = sample_scene(scene).values
    if sample.shape[1] == 0:
        _logger.debug("value ranges of '%s' not checked: the sample holds no valid pixel", scene.path)
        return None
    trained = {entry.name: entry for entry in recipe.statistics.bands}
    ratios = []
    for name, values in zip(scene.bands, sample, strict=True):
        entry = trained[name]
        low, high = (float(value) for value in np.percentile(values, (2, 98)))
        inside = entry.minimum <= low and high <= entry.maximum
        if not (inside and math.isclose(low, high)):
            ratios.append(_ratio(low, high, entry))
        span = max(entry.maximum - entry.minimum, 1e-6)
        if high < entry.minimum - span or low > entry.maximum + span:
            return (
                f"has values from {low:g} to {high:g} in band '{name}', far outside the training values "
                f"({entry.minimum:g} to {entry.maximum:g})."
            )
    if not ratios:
        return None
    typical = float(np.median(ratios))
    other_type = _number_class(scene.dtype) != _number_class(recipe.statistics.dtype)
    most = _MOST_RATIO_OTHER_TYPE if other_type else _MOST_RATIO
    if 1 / most <= typical <= most:
        return None
    more_or_less = f"{typical:.3g} times larger" if typical > 1 else f"{_inverse(typical)} times smaller"
    return (
        f"({scene.dtype}) has values that are typically {more_or_less} than those of the training files "
        f"({recipe.statistics.dtype}): another scale, such as reflectance 0-1 against 0-10000."
    )


def _inverse(ratio: float) -> str:
    return f"{1 / ratio:.3g}" if ratio > 0 else "infinitely many"


def _ratio(low: float, high: float, entry: BandStatistics) -> float:
    """Scale of a band against its training scale; sizes, because decibels and indices may be negative."""
    trained = max(abs(entry.low), abs(entry.high))
    found = max(abs(low), abs(high))
    return found / trained if trained > 0 else 1.0


def _number_class(dtype: str) -> str:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return "float"
    return "8 bit" if kind.itemsize == 1 else "integer"
