"""The answers of a filled sample, compared with its design: whatever does not fit is refused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError, unknown_name
from eoseg.evaluate.sampling import Design
from eoseg.geo.grid import Grid
from eoseg.geo.sample_file import FilledSample
from eoseg.recipe import MapClass

UNANSWERED = -1
"""Stands for a point without an answer."""


def require_inside(sample: FilledSample, grid: Grid, *, path: str) -> None:
    """Refuse a sample with points outside a map.

    Raises:
        DataError: Some are.
    """
    rows, cols = _pixels(sample, grid)
    inside = (rows >= 0) & (rows < grid.height) & (cols >= 0) & (cols < grid.width)
    if not inside.all():
        outside = [
            name for name, within in zip(sample.ids.tolist(), inside.tolist(), strict=True) if not within
        ]
        raise DataError(
            f"{len(outside)} of {len(sample.ids)} points of '{sample.path}' lie outside '{path}' "
            f"({_listed(outside)}). Give the map from which they were drawn, or another one on its grid; "
            "points may not be moved."
        )


def in_order(sample: FilledSample, design: Design) -> list[str | None]:
    """The answers in the order of the points' numbers, once all points are as they were drawn.

    Raises:
        DataError: Points are missing, doubled, added or moved.
    """
    numbers = sample.ids.tolist()
    wanted = set(range(1, len(design.points) + 1))
    again = [number for number, times in Counter(numbers).items() if times > 1]
    remedy = "Only drawn points, and all of them, are a probability sample: restore the file as it was drawn."
    for what, found in (
        ("more than once", again),
        ("that were not drawn", sorted(set(numbers) - wanted)),
    ):
        if found:
            raise DataError(f"'{sample.path}' holds points {what} ({_listed(found)}). {remedy}")
    missing = sorted(wanted - set(numbers))
    if missing:
        raise DataError(
            f"{len(missing)} drawn points are no longer in '{sample.path}' ({_listed(missing)}). {remedy}"
        )
    order = np.argsort(sample.ids)
    rows, cols = _pixels(sample, design.grid)
    drawn = np.array(design.points, np.int64)
    moved = (rows[order] != drawn[:, 0]) | (cols[order] != drawn[:, 1])
    if moved.any():
        raise DataError(
            f"{int(moved.sum())} points of '{sample.path}' are no longer where they were drawn "
            f"({_listed((np.flatnonzero(moved) + 1).tolist())}). {remedy}"
        )
    return [sample.answers[place] for place in order.tolist()]


def class_indices(
    answers: Sequence[str | None], classes: Sequence[MapClass], *, path: str
) -> NDArray[np.int64]:
    """Class indices of answers, `UNANSWERED` where there is none.

    Raises:
        DataError: An answer is no class of the map.
    """
    known = {entry.name: number for number, entry in enumerate(classes)}
    strange = [text for text in answers if text is not None and text not in known]
    if strange:
        first = strange[0]
        raise DataError(
            f"{answers.count(first)} points of '{path}' are answered '{first}'. "
            f"{unknown_name('class in the map', first, known)} Correct the answers, or map that class."
        )
    return np.array([UNANSWERED if text is None else known[text] for text in answers], np.int64)


def require_answered(indices: NDArray[np.int64], *, path: str, source: str | None) -> None:
    """Refuse a sample with points that have no answer.

    Args:
        indices: Class indices or `UNANSWERED`, in the order of the points' numbers.
        path: The file of the sample.
        source: The labels that stood for the answers, or None.

    Raises:
        DataError: Some have none.
    """
    empty = (np.flatnonzero(indices == UNANSWERED) + 1).tolist()
    if not empty:
        return
    what = f"have no label in '{source}'" if source else "are not answered"
    raise DataError(
        f"{len(empty)} of {len(indices)} points of '{path}' {what} ({_listed(empty)}). Answer them; or add "
        "--skip-unanswered, if what is there has nothing to do with why they are not."
    )


def _pixels(sample: FilledSample, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the pixel in which each point lies; a point without place is outside."""
    xs, ys = np.nan_to_num(sample.xs, nan=np.inf), np.nan_to_num(sample.ys, nan=np.inf)
    back = replace(grid, transform=~grid.transform)
    with np.errstate(invalid="ignore"):
        cols, rows = back.places(xs, ys)
    low, high = -1, max(grid.height, grid.width)

    def whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.floor(np.clip(np.nan_to_num(values, nan=low), low, high)).astype(
            np.int64
        )
        return found

    return whole(rows), whole(cols)


def _listed(numbers: Sequence[int]) -> str:
    """The first few numbers of points."""
    shown = ", ".join(map(str, numbers[:5])) + (" and so on" if len(numbers) > 5 else "")
    return f"{'number' if len(numbers) == 1 else 'numbers'} {shown}"
