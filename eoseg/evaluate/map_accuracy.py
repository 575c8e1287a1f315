"""The accuracy of a map and the areas of its classes, from a sample that a person filled in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg import __version__
from eoseg.errors import ConfigError, DataError
from eoseg.evaluate.accuracy import file_sha256
from eoseg.evaluate.answers import UNANSWERED, class_indices, in_order, require_answered, require_inside
from eoseg.evaluate.area import Estimates, Figure, Points, estimate
from eoseg.evaluate.sampling import METHOD, Design, design_notes, map_classes
from eoseg.geo.labels import LabelEncoding, open_labels
from eoseg.geo.mapfile import map_kind, read_map_info
from eoseg.geo.sample_file import FilledSample, read_sample
from eoseg.geo.stratified import StratifiedMap, values_at
from eoseg.progress import Progress
from eoseg.recipe import IGNORE, ClassSpec, MapClass, Plain


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Labels of the whole map that stand for the answers of a person."""

    path: str | Path
    attribute: str | None = None
    encoding: LabelEncoding = "values"
    ignore: Sequence[int | str] = ()


@dataclass(frozen=True, eq=False)
class MapAccuracy:
    """What a sample says of a map of K classes."""

    classes: tuple[MapClass, ...]
    design: Design
    answered: tuple[int, ...]
    """Points of each stratum that have an answer."""
    estimates: Estimates
    mapped_areas: tuple[float, ...]
    """Of each class, counted in the map; in the unit of the design."""
    protocol: dict[str, Plain]

    def area(self, number: int) -> tuple[float, float, tuple[float, float]]:
        """Estimated area of a class, half the width of its interval, and the interval."""
        figure, whole = self.estimates.areas[number], self.design.area
        low, high = figure.interval
        return figure.value * whole, figure.margin * whole, (low * whole, high * whole)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON. Areas are in the unit that is named there."""
        names = [entry.name for entry in self.classes]
        found = self.estimates
        return {
            "overall_accuracy": _plain(found.overall),
            "classes": [
                {
                    "name": name,
                    "users_accuracy": _plain(found.users[number]),
                    "producers_accuracy": _plain(found.producers[number]),
                    "area_share": _plain(found.areas[number]),
                    "area": _plain(found.areas[number], self.design.area),
                    "mapped_area": self.mapped_areas[number],
                }
                for number, name in enumerate(names)
            ],
            "area_unit": self.design.unit,
            "error_matrix": {
                "rows": "reference",
                "columns": "map",
                "classes": names,
                "shares": found.matrix.tolist(),
                "points": found.counts.tolist(),
            },
            "strata": [
                {
                    "name": held.name,
                    "pixels": held.pixels,
                    "area": held.area,
                    "drawn": drawn,
                    "answered": known,
                }
                for held, drawn, known in zip(
                    self.design.strata, self.design.drawn, self.answered, strict=True
                )
            ],
            "notes": accuracy_notes(self),
            "protocol": self.protocol,
        }


def assess_map(
    map_path: str | Path,
    sample_path: str | Path,
    *,
    reference: LabelSource | None = None,
    skip_unanswered: bool = False,
    classes: ClassSpec | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> MapAccuracy:
    """Estimate the accuracy of a map and the areas of its classes.

    Args:
        map_path: The map from which the sample was drawn, or another one on its grid.
        sample_path: What `draw_sample` wrote, filled in.
        reference: Labels that stand for the answers.
        skip_unanswered: Leave points without an answer out, as if chance had decided which they are.
        classes: Names and values of the classes, for a map that eoseg did not write.
        progress: Is called after each strip of the map.

    Raises:
        DataError: The sample is no probability sample, or not as it was drawn; points lie outside the map,
            have no answer or one that is no class, or no class in the map; or a stratum has too few.
        GridError: The map is on another grid than the sample.
        ConfigError: There are answers, and labels that stand for them.
    """
    known = map_classes(map_path, classes)
    sample = read_sample(sample_path)
    design = Design.from_dict(sample.design, path=str(sample_path))
    with StratifiedMap(str(map_path), known) as opened:
        require_inside(sample, opened.grid, path=str(map_path))
        design.grid.require_same(opened.grid, this=design.map, that=str(map_path))
        answers = _answers(sample, design, map_path, known, reference)
        if not skip_unanswered:
            require_answered(
                answers, path=str(sample_path), source=None if reference is None else str(reference.path)
            )
        rows, cols, strata = np.array(design.points, np.int64).T
        mapped = opened.classes_at(rows, cols)
        _require_mapped(mapped, str(map_path))
        kept = answers != UNANSWERED
        points = Points(strata[kept], mapped[kept], answers[kept], opened.areas_at(rows[kept], cols[kept]))
        counts = opened.count(progress)
    areas = dict(zip(counts.values, counts.areas.tolist(), strict=True))
    protocol = _protocol(map_path, sample_path, design, reference)
    protocol |= {"unanswered_points": int((~kept).sum()), "mapped_pixels": int(counts.pixels.sum())}
    return MapAccuracy(
        known,
        design,
        tuple(np.bincount(points.strata, minlength=len(design.strata)).tolist()),
        estimate(points, design.strata, classes=len(known)),
        tuple(areas.get(number, 0.0) for number in range(len(known))),
        protocol,
    )


def accuracy_notes(found: MapAccuracy) -> list[str]:
    """What a reader must know beside the figures, a line each."""
    lines = design_notes(found.design)
    unanswered = sum(found.design.drawn) - sum(found.answered)
    if unanswered:
        lines.append(
            f"{unanswered} points without an answer are left out, as if chance alone had decided which they "
            "are."
        )
    if found.protocol["drawn_from_this_map"] is False:
        lines.append(
            f"The sample was drawn from {found.design.map}, so its strata are not the classes of this map; "
            "the estimators (Stehman 2014) take that into account."
        )
    pixels, drawn_from = found.protocol["mapped_pixels"], sum(entry.pixels for entry in found.design.strata)
    if pixels != drawn_from:
        lines.append(
            f"This map has a class at {pixels:,} pixels, the sampled one at {drawn_from:,}: estimated areas "
            "are those of the latter, mapped ones of the former."
        )
    sure = [
        f"{entry.name} ({kind})"
        for kind, figures in (
            ("user's", found.estimates.users),
            ("producer's", found.estimates.producers),
            ("area", found.estimates.areas),
        )
        for entry, figure in zip(found.classes, figures, strict=True)
        if figure is not None and figure.unseen is not None
    ]
    if sure:
        lines.append(
            f"No error was seen in {', '.join(sure)}, so the standard error is 0; intervals there say what "
            "may have escaped the sample (rule of three: 3.7 points' worth of area)."
        )
    lines.append(
        "Intervals: 95 %, normal approximation, from the design of the sample (Olofsson et al. 2014, Stehman "
        "2014)."
    )
    return lines


def _plain(figure: Figure | None, scale: float = 1.0) -> dict[str, Plain] | None:
    if figure is None:
        return None
    return {
        "value": figure.value * scale,
        "standard_error": figure.standard_error * scale,
        "margin_95": figure.margin * scale,
        "interval_95": [end * scale for end in figure.interval],
    }


def _answers(
    sample: FilledSample,
    design: Design,
    map_path: str | Path,
    classes: Sequence[MapClass],
    reference: LabelSource | None,
) -> NDArray[np.int64]:
    """Class indices of the points in the order of their numbers, `UNANSWERED` where there is none."""
    answers = in_order(sample, design)
    if reference is None:
        return class_indices(answers, classes, path=sample.path)
    given = sum(answer is not None for answer in answers)
    if given:
        raise ConfigError(
            f"{given} points of '{sample.path}' are answered, and '{reference.path}' would stand for the "
            "answers. Leave the labels out, or give the sample as it was drawn."
        )
    # Labels name the classes by the values of the training, which the map keeps.
    named = read_map_info(map_path).classes if map_kind(map_path) == "classes" else classes
    labels = open_labels(
        reference.path,
        grid=design.grid,
        image=design.map,
        classes=named,
        encoding=reference.encoding,
        ignore=reference.ignore,
        attribute=reference.attribute,
    )
    try:
        rows, cols, _ = np.array(design.points, np.int64).T
        found = values_at(labels.read, rows, cols)
    finally:
        labels.close()
    found[found == IGNORE] = UNANSWERED
    return found


def _require_mapped(mapped: NDArray[np.int64], path: str) -> None:
    empty = (np.flatnonzero(mapped == IGNORE) + 1).tolist()
    if empty:
        raise DataError(
            f"'{path}' has no class at {len(empty)} of {len(mapped)} points of the sample (first: number "
            f"{empty[0]}), so it cannot be judged there. Give a map of all that was sampled."
        )


def _protocol(
    map_path: str | Path, sample_path: str | Path, design: Design, reference: LabelSource | None
) -> dict[str, Plain]:
    digest = file_sha256(map_path)
    source: dict[str, Plain] | None = None
    if reference is not None:
        source = {
            "file": str(reference.path),
            "sha256": file_sha256(reference.path),
            "attribute": reference.attribute,
            "label_encoding": reference.encoding,
            "ignore": list(reference.ignore),
        }
    return {
        "eoseg": __version__,
        "map": str(map_path),
        "map_sha256": digest,
        "sample": str(sample_path),
        "sample_sha256": file_sha256(sample_path),
        "design": METHOD,
        "drawn_from": design.map,
        "drawn_from_sha256": design.map_sha256,
        "drawn_from_this_map": (digest or str(map_path)) == (design.map_sha256 or design.map),
        "strata": design.strata_from or "classes of the map",
        "drawn_with": design.record,
        "answers": source or "of the sample",
        "estimators": "Olofsson et al. 2014 and Stehman 2014, with finite population correction",
    }
