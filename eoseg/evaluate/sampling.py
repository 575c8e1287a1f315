"""Drawing a probability sample of the pixels of a map, and the record of how it was drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from eoseg import __version__
from eoseg.errors import ConfigError, DataError
from eoseg.evaluate.accuracy import file_sha256
from eoseg.evaluate.area import Stratum
from eoseg.evaluate.design import OVERALL, SamplePlan, SampleSize, plan_sample
from eoseg.geo.areal_scale import NOTABLE, require_true_areas
from eoseg.geo.cog import require_writable
from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import map_kind, read_map_info
from eoseg.geo.pixel_area import AreaUnit
from eoseg.geo.sample_file import SamplePixels, write_sample
from eoseg.geo.stratified import StratifiedMap, StratumCounts
from eoseg.progress import Progress
from eoseg.recipe import ClassSpec, MapClass, Plain, parse_classes

METHOD = "stratified random sample of pixels, without replacement"
"""The only design that is drawn, and the only one whose estimators are here."""


@dataclass(frozen=True, slots=True)
class Design:
    """How a sample was drawn: all that its estimators need beside the answers."""

    map: str
    map_sha256: str | None
    grid: Grid
    classes: tuple[str, ...]
    strata: tuple[Stratum, ...]
    drawn: tuple[int, ...]
    """Points of each stratum."""
    strata_from: str | None
    """Path of the raster of strata; None where the classes of the map are the strata."""
    unit: AreaUnit
    """Of the strata's areas."""
    unmapped: int
    """Pixels where the map has no class. They are in no stratum."""
    areal_error: float
    """The largest share by which areas differ from those on the ellipsoid."""
    record: dict[str, Plain]
    """What was asked for, for the protocol: allocation, target, expected accuracies, seed, versions."""
    points: tuple[tuple[int, int, int], ...]
    """Row, column and stratum of each point, in the order of their numbers 1, 2 and so on."""

    @property
    def area(self) -> float:
        """Of all strata."""
        return sum(entry.area for entry in self.strata)

    def to_dict(self) -> dict[str, Any]:
        """The design as plain values."""
        return {
            "method": METHOD,
            "map": self.map,
            "map_sha256": self.map_sha256,
            "grid": self.grid.to_dict(),
            "classes": list(self.classes),
            "strata": [
                {"name": entry.name, "pixels": entry.pixels, "area": entry.area, "points": count}
                for entry, count in zip(self.strata, self.drawn, strict=True)
            ],
            "strata_from": self.strata_from,
            "unit": self.unit,
            "unmapped_pixels": self.unmapped,
            "areal_error": self.areal_error,
            "record": self.record,
            "points": [list(entry) for entry in self.points],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, path: str) -> Self:
        """Rebuild a design from `to_dict`.

        Args:
            values: The plain values.
            path: The file that held them, for the message.

        Raises:
            DataError: They are of another design.
        """
        try:
            if values["method"] != METHOD:
                raise DataError(
                    f"'{path}' is a sample of another kind: {values['method']}; expected {METHOD}."
                )
            strata = values["strata"]
            return cls(
                map=values["map"],
                map_sha256=values["map_sha256"],
                grid=Grid.from_dict(values["grid"]),
                classes=tuple(values["classes"]),
                strata=tuple(Stratum(entry["name"], entry["pixels"], entry["area"]) for entry in strata),
                drawn=tuple(entry["points"] for entry in strata),
                strata_from=values["strata_from"],
                unit=values["unit"],
                unmapped=values["unmapped_pixels"],
                areal_error=values["areal_error"],
                record=values["record"],
                points=tuple((row, col, stratum) for row, col, stratum in values["points"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"The design in '{path}' is not one that this eoseg reads ({error}). Use the version that "
                "drew the sample."
            ) from error


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample that was written."""

    path: Path
    design: Design
    plan: SamplePlan


def draw_sample(
    map_path: str | Path,
    out: Path,
    *,
    size: SampleSize,
    strata: str | Path | None = None,
    classes: ClassSpec | None = None,
    seed: int = 0,
    shown: bool = False,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Drawn:
    """Draw a stratified random sample of the pixels of a map, and write it for a person to fill in.

    Args:
        map_path: A map of classes.
        out: The file, .gpkg.
        size: How many points, and which.
        strata: A raster on the map's grid whose values are the strata; None: the classes of the map.
        classes: Names and values of the classes, for a map that eoseg did not write.
        seed: Of the choice.
        shown: Let the interpreter see stratum and class of each point. By default neither is in the layer,
            since who knows what the map says finds it right more often.
        overwrite: Replace an existing file.
        progress: Is called after each strip of the first pass.

    Raises:
        DataError: The map is none of one class per pixel, has no class anywhere, or pixels without a stratum.
        GridError: The raster of strata is on another grid, or areas in the map's CRS mean little.
        ConfigError: The numbers of points do not fit the map.
        OutputError: The file exists or cannot be written.
    """
    require_writable(out, overwrite=overwrite)
    if strata is not None and size.target != OVERALL:
        raise ConfigError(
            f"The target '{size.target}' is for strata that are the classes of the map. Leave the raster of "
            "strata out, or the target."
        )
    known = map_classes(map_path, classes)
    with StratifiedMap(str(map_path), known, strata=None if strata is None else str(strata)) as opened:
        distortion = require_true_areas(opened.grid, path=str(map_path))
        counts = opened.count(progress)
        _require_covered(counts, str(map_path), str(strata))
        names = _stratum_names(counts, known, strata)
        held = tuple(
            Stratum(name, pixels, area)
            for name, pixels, area in zip(names, counts.pixels.tolist(), counts.areas.tolist(), strict=True)
        )
        plan = plan_sample(held, size)
        drawn = opened.draw(counts, plan.points, seed=seed)
        grid, unit = opened.grid, opened.area.unit
    design = Design(
        map=str(map_path),
        map_sha256=file_sha256(map_path),
        grid=grid,
        classes=tuple(entry.name for entry in known),
        strata=held,
        drawn=plan.points,
        strata_from=None if strata is None else str(strata),
        unit=unit,
        unmapped=counts.unmapped,
        areal_error=distortion,
        record=_record(size, plan, strata, seed, shown=shown),
        points=tuple(zip(drawn.rows.tolist(), drawn.cols.tolist(), drawn.strata.tolist(), strict=True)),
    )
    pixels = SamplePixels(drawn.rows, drawn.cols)
    if shown:
        strata_of = [names[stratum] for stratum in drawn.strata.tolist()]
        classes_of = [known[index].name for index in drawn.classes.tolist()]
        pixels = SamplePixels(drawn.rows, drawn.cols, strata_of, classes_of)
    table: dict[str, list[Any]] = {
        "stratum": names,
        "pixels": [entry.pixels for entry in held],
        f"area_{unit}": [entry.area for entry in held],
        "points": list(plan.points),
    }
    write_sample(out, pixels, grid, known, design=design.to_dict(), strata=table, overwrite=overwrite)
    return Drawn(out, design, plan)


def map_classes(path: str | Path, spec: ClassSpec | None) -> tuple[MapClass, ...]:
    """The classes of a map; `values` of each holds what stands for it in the map.

    Args:
        path: A map of classes.
        spec: Names and values, where the map does not name its classes.

    Raises:
        DataError: The map holds something else than one class per pixel, or does not name its classes.
        ConfigError: It does, and `spec` names them once more.
    """
    kind = map_kind(path)
    if kind is None and spec is None:
        raise DataError(
            f"'{path}' does not name its classes, so the answers could mean anything. Give a map that 'eoseg "
            "predict' wrote, or name them: --classes water=1,forest=2"
        )
    if kind is None and spec is not None:
        return parse_classes(spec)
    if spec is not None:
        raise ConfigError(f"'{path}' names its classes itself. Leave --classes out.")
    if kind != "classes":
        raise DataError(
            f"'{path}' holds {kind}; expected a map with one class per pixel. Give one, such as the map that "
            "'eoseg predict' writes without further options."
        )
    info = read_map_info(path)
    return tuple(MapClass(entry.name, (number,), entry.color) for number, entry in enumerate(info.classes))


def design_notes(design: Design) -> list[str]:
    """What a reader must know of a design beside its table, a line each."""
    record = design.record
    source = "the classes of the map" if design.strata_from is None else f"the values of {design.strata_from}"
    lines = [
        f"{sum(design.drawn)} points, {METHOD}, seed {record['seed']}; strata are {source}; allocation "
        f"{record['allocation']}, at least {record['minimum']} in each."
    ]
    if design.unmapped:
        lines.append(
            f"{design.unmapped:,} pixels without a class are in no stratum: no figure speaks of them."
        )
    if design.areal_error > NOTABLE:
        lines.append(
            f"In the CRS of the map, areas are up to {design.areal_error:.1%} away from those on the ground."
        )
    return lines


def _require_covered(counts: StratumCounts, map_path: str, strata: str) -> None:
    if not counts.values and not counts.uncovered:
        raise DataError(f"'{map_path}' has no pixel with a class, so there is nothing to draw from.")
    if counts.uncovered:
        raise DataError(
            f"'{strata}' has no value at {counts.uncovered:,} pixels where '{map_path}' has a class, so they "
            "could never be drawn and no figure would speak of them. Give them a stratum."
        )


def _stratum_names(
    counts: StratumCounts, classes: Sequence[MapClass], strata: str | Path | None
) -> list[str]:
    if strata is None:
        return [classes[value].name for value in counts.values]
    if map_kind(strata) == "classes":
        named = read_map_info(strata).classes
        return [named[value].name if 0 <= value < len(named) else str(value) for value in counts.values]
    return [str(value) for value in counts.values]


def _record(
    size: SampleSize, plan: SamplePlan, strata: str | Path | None, seed: int, *, shown: bool
) -> dict[str, Plain]:
    return {
        "eoseg": __version__,
        "allocation": size.allocation,
        "target": size.target,
        "wanted_standard_error": size.standard_error if size.points is None else None,
        "anticipated_standard_error": plan.anticipated,
        "expected_users_accuracy": {**size.expected, "else": size.expected_else},
        "minimum": plan.minimum,
        "seed": seed,
        "strata_sha256": None if strata is None else file_sha256(strata),
        "map_class_shown": shown,
    }
