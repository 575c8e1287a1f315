"""Map accuracy and areas estimated from a sample, as `eoseg accuracy --out` wrote them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eoseg.errors import DataError
from eoseg.evaluate.html import bullets, cards, charts, missing, paragraph, swatch, table, text
from eoseg.figures.svg import Bar, bar_chart
from eoseg.recipe import MapClass
from eoseg.report.run import read_values


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated share or area."""

    value: float
    standard_error: float
    margin: float
    """Half the width of the 95 % interval."""
    interval: tuple[float, float] | None

    def words(self, digits: int = 3) -> str:
        """Such as "0.947 ± 0.018"; where no point differs there is no margin, and the interval is written."""
        if self.interval is None:
            return f"{self.value:,.{digits}f}"
        if not self.margin:
            low, high = self.interval
            return f"{self.value:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"
        return f"{self.value:,.{digits}f} ± {self.margin:,.{digits}f}"


@dataclass(frozen=True, slots=True)
class ClassArea:
    """One class of the map."""

    name: str
    users: Estimate | None
    producers: Estimate | None
    share: Estimate
    area: Estimate
    mapped: float
    """Counted in the map, without any correction."""


@dataclass(frozen=True, slots=True)
class AreaTable:
    """What a sample says of a map."""

    overall: Estimate
    classes: tuple[ClassArea, ...]
    unit: str
    """Of the areas: hectares, or pixels where the map has no georeference."""
    points: int
    notes: tuple[str, ...]
    protocol: Mapping[str, Any]

    @property
    def digits(self) -> int:
        """Decimals of areas: none of large ones."""
        largest = max((entry.area.value for entry in self.classes), default=0.0)
        return 0 if largest >= 1000 else 1 if largest >= 10 else 3


def read_area(path: Path) -> AreaTable:
    """Read the figures of a sample.

    Args:
        path: What `eoseg accuracy --out` wrote.

    Raises:
        DataError: The file is missing, or something else.
    """
    values = read_values(path)
    try:
        unit = str(values["area_unit"])
        scale, unit = (1e-4, "ha") if unit == "m2" else (1.0, unit)
        return AreaTable(
            _needed(values["overall_accuracy"]),
            tuple(
                ClassArea(
                    str(entry["name"]),
                    _estimate(entry["users_accuracy"]),
                    _estimate(entry["producers_accuracy"]),
                    _needed(entry["area_share"]),
                    _needed(entry["area"], scale),
                    float(entry["mapped_area"]) * scale,
                )
                for entry in values["classes"]
            ),
            unit,
            sum(int(entry["answered"]) for entry in values["strata"]),
            tuple(str(line) for line in values.get("notes", ())),
            dict(values["protocol"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"'{path}' holds no accuracy from a sample ({error}). Use what 'eoseg accuracy MAP SAMPLE --out "
            "FILE.json' wrote."
        ) from error


def area_content(held: AreaTable | None, classes: Sequence[MapClass], *, map_path: str, out: str) -> str:
    """The section about areas.

    Args:
        held: What the sample says; None where there is no sample.
        classes: Those of the checkpoint, whose colours are shown.
        map_path: The map to sample, for the commands.
        out: Where the figures belong, for the commands.
    """
    if held is None:
        drawn = shlex.join(["eoseg", "sample", map_path, "--out", "sample.gpkg"])
        estimated = shlex.join(["eoseg", "accuracy", map_path, "sample.gpkg", "--out", out])
        return missing(
            "Areas counted in a map carry its errors along. Draw a sample and answer it in QGIS:", drawn
        ) + (missing("Then estimate accuracy and areas:", estimated))
    colors = {entry.name: entry.color for entry in classes}
    rows = []
    for entry in held.classes:
        name = (swatch(colors[entry.name]) if entry.name in colors else "") + text(entry.name)
        figures = [entry.area.words(held.digits), f"{entry.mapped:,.{held.digits}f}", entry.share.words()]
        figures += ["undefined" if part is None else part.words() for part in (entry.users, entry.producers)]
        rows.append((name, figures))
    titles = [
        "Class",
        f"Area, {held.unit}",
        f"Counted in the map, {held.unit}",
        "Share",
        "User's",
        "Producer's",
    ]
    overall = held.overall
    ends = "no interval" if overall.interval is None else "95 %: {:.3f}-{:.3f}".format(*overall.interval)
    bars = [Bar(entry.name, entry.share.value, entry.share.interval) for entry in held.classes]
    highest = max(max(bar.value or 0.0, *(bar.interval or ())) for bar in bars) if bars else 1.0
    caption = "Share of the area, line: 95 % interval"
    return (
        cards(
            [
                ("overall accuracy of the map", f"{overall.value:.3f}", ends),
                ("points", f"{held.points:,}", "answered"),
            ]
        )
        + paragraph(
            "Estimated from a random sample of points, which corrects what the map gets wrong; ± is half the "
            "95 % interval."
        )
        + charts(
            [
                ("Areas and accuracy from the sample", table(titles, rows)),
                (caption, bar_chart(bars, label=f"bars: {caption}", highest=highest or 1.0)),
            ]
        )
        + bullets(held.notes)
    )


def _needed(values: Any, scale: float = 1.0) -> Estimate:
    found = _estimate(values, scale)
    if found is None:
        raise ValueError("an estimate is missing")
    return found


def _estimate(values: Any, scale: float = 1.0) -> Estimate | None:
    if values is None:
        return None
    ends = values["interval_95"]
    between = None if ends is None else (float(ends[0]) * scale, float(ends[1]) * scale)
    value, error, margin = (float(values[name]) * scale for name in ("value", "standard_error", "margin_95"))
    return Estimate(value, error, margin, between)
