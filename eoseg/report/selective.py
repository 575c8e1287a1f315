"""How accurate a run is where it is surest: the curve of accuracy against coverage, and where to mask."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eoseg.errors import DataError
from eoseg.evaluate.html import charts, figure, paragraph, table
from eoseg.figures.svg import Line, line_chart
from eoseg.report.run import Values


@dataclass(frozen=True, slots=True)
class Surest:
    """What figures.json says of the surest answers."""

    count: int
    aurc: float
    points: tuple[tuple[float, float], ...]
    """Coverage and accuracy, the surest first."""
    masks: Mapping[str, tuple[float, float] | None]
    """By an accuracy that is wanted: the probability from which on it is had, and the share that is left."""


def read_surest(values: Values, *, path: str) -> Surest | None:
    """Read what figures.json says of the surest answers; None where it says nothing.

    Args:
        values: What the file holds.
        path: Its path, for messages.

    Raises:
        DataError: It is there, and not as eoseg writes it.
    """
    held = values.get("selective")
    if held is None:
        return None
    try:
        curve, masks = held["curve"], held["mask_for_accuracy"]
        points = [(float(x), float(y)) for x, y in zip(curve["coverage"], curve["accuracy"], strict=True)]
        return Surest(int(held["count"]), float(held["aurc"]), tuple(points), _masks(masks))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"'{path}' does not say how accurate the surest answers are as eoseg does ({error}). Run 'eoseg "
            "test' again."
        ) from error


def surest_content(surest: Surest | None, *, part: str) -> str:
    """The curve and where to mask as HTML; "" for none.

    Args:
        surest: What `read_surest` gave.
        part: What it was measured on, such as "test split".
    """
    if surest is None:
        return ""
    low = min(accuracy for _, accuracy in surest.points)
    chart = line_chart(
        [
            Line("all of it", [(0, surest.points[-1][1]), surest.points[-1]], "--soft", "4 4"),
            Line("the surest share", surest.points, "--c1", marks=True),
        ],
        label=f"Accuracy of the surest answers on the {part}, by their share",
        x_title="share that is kept, the surest first",
        y_title="share of these that is right",
        x_range=(0, 1),
        y_range=(max(0.0, int(low * 10 - 0.5) / 10), 1),
    )
    rows = [
        (wanted, ["none", "none"] if mask is None else [figure(mask[0]), f"{100 * mask[1]:.0f} %"])
        for wanted, mask in surest.masks.items()
    ]
    return paragraph(
        "How accurate the map is where it is surest: what is less sure than the probability given can be "
        f"masked (AURC {surest.aurc:.4f}, the mean risk over all shares; lower is better)."
    ) + charts(
        [
            ("Accuracy of the surest", chart),
            (
                "Where to mask for an accuracy",
                table(["Accuracy wanted", "probability from", "share that is left"], rows),
            ),
        ]
    )


def _masks(held: Mapping[str, Any]) -> dict[str, tuple[float, float] | None]:
    return {
        str(wanted): None if mask is None else (float(mask["confidence"]), float(mask["coverage"]))
        for wanted, mask in held.items()
    }
