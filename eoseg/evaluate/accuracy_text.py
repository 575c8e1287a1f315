"""The accuracy of a map and the areas of its classes as tables of text, and as Markdown."""

from eoseg.evaluate.area import Figure
from eoseg.evaluate.map_accuracy import MapAccuracy, accuracy_notes

_SMALL_HA = 100.0
"""Areas of smaller maps have decimals."""

type Table = list[list[str]]
"""Rows of cells; the first row is the head."""


def class_table(found: MapAccuracy) -> Table:
    """One row per class: areas in the map and on the ground, user's and producer's accuracy, points."""
    unit = area_unit(found)
    rows: Table = [
        [
            "class",
            f"mapped, {unit}",
            f"on the ground, {unit}",
            "95 %",
            "user's",
            "producer's",
            "points mapped",
            "points on the ground",
        ]
    ]
    by_ground, by_map = found.estimates.counts.sum(axis=1), found.estimates.counts.sum(axis=0)
    for number, entry in enumerate(found.classes):
        value, margin, interval = found.area(number)
        area = area_text(value, found) + (f" ± {area_text(margin, found)}" if margin else "")
        ends = " - ".join(area_text(end, found) for end in interval)
        rows.append(
            [
                entry.name,
                area_text(found.mapped_areas[number], found),
                area,
                ends,
                figure_text(found.estimates.users[number]),
                figure_text(found.estimates.producers[number]),
                f"{by_map[number]:,}",
                f"{by_ground[number]:,}",
            ]
        )
    return rows


def matrix_table(found: MapAccuracy) -> Table:
    """The error matrix in shares of the area, with its sums: rows reference, columns map."""
    names = [entry.name for entry in found.classes]
    shares = found.estimates.matrix
    rows: Table = [["reference \\ map", *names, "sum"]]
    for name, row in zip([*names, "sum"], [*shares, shares.sum(axis=0)], strict=True):
        rows.append([name, *(f"{value:.4f}" if value else "0" for value in row), f"{row.sum():.4f}"])
    return rows


def strata_table(found: MapAccuracy) -> Table:
    """What was drawn from each stratum."""
    rows: Table = [["stratum", "pixels", f"area, {area_unit(found)}", "drawn", "answered"]]
    design = found.design
    for held, drawn, answered in zip(design.strata, design.drawn, found.answered, strict=True):
        rows.append(
            [held.name, f"{held.pixels:,}", area_text(held.area, found), f"{drawn:,}", f"{answered:,}"]
        )
    return rows


def figure_text(figure: Figure | None) -> str:
    """A share with half the width of its 95 % interval, such as "0.880 ± 0.074", or with its ends."""
    if figure is None:
        return "undefined"
    if figure.unseen is not None:
        low, high = figure.unseen
        return f"{figure.value:.3f} ({low:.3f}-{high:.3f})"
    return f"{figure.value:.3f} ± {figure.margin:.3f}"


def area_unit(found: MapAccuracy) -> str:
    """The unit in which areas are written."""
    return "px" if found.design.unit == "px" else "ha"


def area_text(area: float, found: MapAccuracy) -> str:
    """An area without its unit."""
    if found.design.unit == "px":
        return f"{area:,.0f}"
    return f"{area / 1e4:,.{2 if found.design.area / 1e4 < _SMALL_HA else 0}f}"


def to_markdown(found: MapAccuracy, *, title: str) -> str:
    """Everything a reader needs, as a Markdown page.

    Args:
        found: The figures.
        title: Its heading.
    """
    notes = "\n".join(f"- {line}" for line in accuracy_notes(found))
    return (
        f"# {title}\n\nOverall accuracy: **{figure_text(found.estimates.overall)}** (95 % interval).\n\n"
        f"{_markdown(class_table(found))}\n"
        "User's accuracy: share of what the map shows that is right. Producer's accuracy: share of what is "
        "on the ground that the map found.\n\n"
        "## Error matrix\n\nShares of the area; rows are the reference, columns the map.\n\n"
        f"{_markdown(matrix_table(found))}\n## Sample\n\n{_markdown(strata_table(found))}\n{notes}\n"
    )


def _markdown(table: Table) -> str:
    head, *rows = [[_cell(cell) for cell in row] for row in table]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
