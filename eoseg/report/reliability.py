"""How far the probabilities of a run can be believed: reliability diagrams and the figures beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eoseg.errors import DataError
from eoseg.evaluate.html import charts, figure, paragraph, table, text
from eoseg.figures.svg import Line, line_chart
from eoseg.report.run import Values

_KEYS = ("calibration", "reliability")
"""Under which figures.json holds reliability: bins of confidence, ECE, Brier score, log likelihood."""


@dataclass(frozen=True, slots=True)
class Diagram:
    """One reliability diagram and its figures."""

    name: str
    """Such as "before" or "after"; "" where there is one alone."""
    points: tuple[tuple[float, float, int], ...]
    """Of each bin that is not empty: mean confidence, accuracy and count."""
    ece: float | None
    class_ece: Mapping[str, float | None]
    brier: float | None
    nll: float | None


def read_diagrams(values: Values, *, path: str) -> list[Diagram]:
    """Read what figures.json says of reliability; nothing where it says nothing.

    Args:
        values: What the file holds.
        path: Its path, for messages.

    Raises:
        DataError: It is there, and not as eoseg writes it.
    """
    held: dict[str, Any] = {}
    for key in _KEYS:
        found = values.get(key)
        if isinstance(found, Mapping):
            if "bins" in found:
                held[""] = found
            held |= {
                str(name): one for name, one in found.items() if isinstance(one, Mapping) and "bins" in one
            }
    try:
        return [_diagram(name, entry) for name, entry in held.items()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"'{path}' does not say how reliable probabilities are as eoseg does ({error}). Run 'eoseg test' "
            "again."
        ) from error


def reliability_content(diagrams: Sequence[Diagram], *, part: str) -> str:
    """The diagrams and their figures as HTML; "" for none.

    Args:
        diagrams: What `read_diagrams` gave.
        part: What they were measured on, such as "test split".
    """
    if not diagrams:
        return ""
    drawn = []
    for diagram in diagrams:
        title = f"Reliability {diagram.name}".strip()
        points = [(confidence, accuracy) for confidence, accuracy, _ in diagram.points]
        lines = [Line("as it should be", [(0, 0), (1, 1)], "--soft", "4 4")]
        lines += [Line("as it is", points, "--c1", marks=True)] if points else []
        axes = {"x_title": "probability of the class given", "y_title": "share that is right"}
        label = f"{title} on the {part}: share that is right by probability"
        drawn.append((title, line_chart(lines, label=label, x_range=(0, 1), y_range=(0, 1), **axes)))
    columns = [diagram.name or part for diagram in diagrams]
    rows = [
        (title, [figure(getattr(diagram, name)) for diagram in diagrams])
        for name, title in (("ece", "ECE"), ("brier", "Brier score"), ("nll", "negative log likelihood"))
    ]
    rows += [
        (f"ECE of {text(name)}", [figure(diagram.class_ece.get(name)) for diagram in diagrams])
        for name in diagrams[0].class_ece
    ]
    return paragraph(
        f"Measured on the {part}. Of all answers that are given a probability of 0.8, 80 % should be "
        "right. ECE is the mean distance from that."
    ) + charts([*drawn, ("Lower is better", table(["Figure", *columns], rows))])


def told_reliability(diagrams: Sequence[Diagram]) -> str:
    """One sentence for the verdict; "" where nothing is known."""
    known = [diagram for diagram in diagrams if diagram.ece is not None]
    if not known:
        return ""
    last = known[-1]
    right = sum(accuracy * count for _, accuracy, count in last.points)
    given = sum(confidence * count for confidence, _, count in last.points)
    lean = "too high" if given > right else "too low"
    return f"Its probabilities are {last.ece:.3f} off on average (ECE), mostly {lean}."


def _diagram(name: str, values: Mapping[str, Any]) -> Diagram:
    bins = values["bins"]
    points = tuple(
        (float(confidence) / int(count), int(right) / int(count), int(count))
        for count, right, confidence in zip(bins["count"], bins["right"], bins["confidence"], strict=True)
        if int(count)
    )
    return Diagram(
        name,
        points,
        _number(values.get("ece")),
        {str(key): _number(value) for key, value in dict(values.get("class_ece") or {}).items()},
        _number(values.get("brier")),
        _number(values.get("nll")),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
