"""What the values of a band look like: reflectance, scaled reflectance, 8 bit, or nothing sensible."""

from collections.abc import Sequence

from eoseg.recipe import BandStatistics

_REFLECTANCE_MAX = 2.0
"""Reflectance of snow, cloud edges and sun glint exceeds 1 a little."""


def judge_band(band: BandStatistics, dtype: str) -> tuple[str, str | None]:
    """Say what kind of values a band holds.

    Args:
        band: Its statistics.
        dtype: Data type of the files.

    Returns:
        The verdict, and what is wrong and what to do where it is implausible.
    """
    if band.minimum == band.maximum:
        return "constant", (
            f"Band '{band.name}' is {band.minimum:g} everywhere, so it says nothing. Leave it out of "
            "'bands', or declare the value as nodata."
        )
    if band.low == band.high:
        return "almost constant", (
            f"Band '{band.name}' is {band.low:g} in nearly all pixels (up to {band.maximum:g}). Leave it out "
            "of 'bands' if it is a mask or a flag."
        )
    if band.minimum <= -9000 and band.low > -1000:
        return "nodata among values", (
            f"Band '{band.name}' goes down to {band.minimum:g}, which looks like a nodata value. Add under "
            f"scenes: nodata: {band.minimum:g}"
        )
    return _kind(band, dtype), _outliers(band)


def _kind(band: BandStatistics, dtype: str) -> str:
    if dtype == "uint8":
        return "8 bit, 0-255"
    if band.minimum >= -0.5 and band.high <= _REFLECTANCE_MAX:
        return "reflectance 0-1" if dtype.startswith("float") else "small integers"
    if dtype.startswith("float") and -60 <= band.low < 0 and band.high <= 40:
        return "decibels or an index"
    if band.low >= 0 and band.maximum <= 255:
        return "8 bit, 0-255"
    if band.low >= -2000 and band.high <= 2000 and band.maximum <= 2500:
        return "scaled, like 0-1000 (or a dark 0-10000)"
    if band.low >= -2000 and band.high <= 16000:
        return "scaled reflectance 0-10000"
    if band.low >= -2000 and band.high <= 65535:
        return "digital numbers, 16 bit"
    return "unknown scale"


def _outliers(band: BandStatistics) -> str | None:
    """A maximum or minimum far away from nearly all values: usually a nodata value or a broken pixel."""
    span = band.high - band.low
    if band.maximum > band.high + 1000 * span or band.minimum < band.low - 1000 * span:
        return (
            f"Band '{band.name}' has values from {band.minimum:g} to {band.maximum:g}, but 96 % lie between "
            f"{band.low:g} and {band.high:g}. Look for a nodata value or broken pixels."
        )
    return None


def judge_scales(bands: Sequence[BandStatistics]) -> str | None:
    """Say when bands of one file are on very different scales, which is well but worth knowing."""
    highs = {band.name: max(abs(band.high), abs(band.low)) for band in bands if band.high != band.low}
    if len(highs) < 2:
        return None
    largest, smallest = max(highs, key=lambda name: highs[name]), min(highs, key=lambda name: highs[name])
    if highs[smallest] > 0 and highs[largest] / highs[smallest] > 500:
        return (
            f"Bands are on different scales ('{largest}' up to {highs[largest]:g}, '{smallest}' up to "
            f"{highs[smallest]:g}). Each is normalised by itself, so this is well if it is meant."
        )
    return None
