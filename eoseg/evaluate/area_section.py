"""The accuracy of a map and the areas of its classes on an HTML page."""

import html

from eoseg.evaluate.accuracy_text import (
    Table,
    area_text,
    area_unit,
    class_table,
    matrix_table,
    strata_table,
)
from eoseg.evaluate.map_accuracy import MapAccuracy, accuracy_notes
from eoseg.figures import AreaRow, Rgb, area_chart


def area_picture(found: MapAccuracy) -> Rgb:
    """Mapped and estimated areas, user's and producer's accuracy of each class, with 95 % intervals."""
    scale = 1.0 if found.design.unit == "px" else 1e-4
    rows = []
    for number, entry in enumerate(found.classes):
        value, _, (low, high) = found.area(number)
        users, producers = found.estimates.users[number], found.estimates.producers[number]
        rows.append(
            AreaRow(
                entry.name,
                entry.color,
                mapped=found.mapped_areas[number] * scale,
                area=value * scale,
                area_interval=(low * scale, high * scale),
                users=None if users is None else (users.value, users.interval),
                producers=None if producers is None else (producers.value, producers.interval),
            )
        )
    return area_chart(rows, unit=area_unit(found))


def area_section(found: MapAccuracy, chart: str) -> str:
    """A section of a page.

    Args:
        found: The figures.
        chart: The picture, as an HTML element.
    """
    low, high = found.estimates.overall.interval
    lines = "".join(f"<li>{_text(line)}</li>" for line in accuracy_notes(found))
    return (
        "<section><h2>Accuracy and area, from a probability sample</h2>"
        "<p>What was found at points that chance drew, which speaks for the whole map. Mapped areas are "
        "counts of pixels and carry the map's errors; areas on the ground are corrected for them.</p>"
        f"<div class=cards><div class=card><div class=what>overall accuracy</div>"
        f"<div class=figure>{found.estimates.overall.value:.3f}</div>"
        f"<div class=interval>95 %: {low:.3f}-{high:.3f}</div></div>"
        f"<div class=card><div class=what>sampled area, {area_unit(found)}</div>"
        f"<div class=figure>{area_text(found.design.area, found)}</div>"
        f"<div class=interval>{sum(found.answered):,} points</div></div></div>"
        f"<ul class=notes>{lines}</ul>{_table(class_table(found))}"
        f"<div class=charts><figure>{chart}</figure></div>"
        "<h2>Error matrix</h2><p>Shares of the area; rows are the reference, columns the map.</p>"
        f"{_table(matrix_table(found))}<h2>Strata</h2>{_table(strata_table(found))}</section>"
    )


def _table(table: Table) -> str:
    head, *rows = table
    heads = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{_text(first)}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<div class=scroll><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
