"""One HTML file that shows how good a map is: no server, no network, nothing beside it."""

from collections.abc import Sequence
from pathlib import Path

from eoseg.evaluate.accuracy import Evaluation, notes
from eoseg.evaluate.area_section import area_picture, area_section
from eoseg.evaluate.html import bullets, code, document, paragraph, picture, record, section, text
from eoseg.evaluate.map_accuracy import MapAccuracy
from eoseg.evaluate.panel import MapPanel
from eoseg.evaluate.sections import (
    CLASS_WORDS,
    MATRIX_WORDS,
    Ends,
    class_table,
    figure_cards,
    map_pictures,
    matrix_tables,
)
from eoseg.files import write_atomically


def write_page(
    path: Path,
    *,
    title: str,
    summary: str,
    maps: Sequence[MapPanel],
    evaluation: Evaluation,
    commands: Sequence[str] = (),
    sampled: MapAccuracy | None = None,
) -> Path:
    """Write the page; an older file of that name is replaced.

    Args:
        path: The HTML file.
        title: Heading.
        summary: A few sentences in plain text, below the heading.
        maps: Scenes to show as image, reference, map and errors.
        evaluation: The figures; its classes colour the maps.
        commands: Command lines that give the same result again.
        sampled: What a probability sample says of the map, if there is one.

    Returns:
        The path.

    Raises:
        OutputError: The file cannot be written.
    """
    ends, classes = interval_ends(evaluation), evaluation.classes
    names = [entry.name for entry in classes]
    parts = [
        f"<header><h1>{text(title)}</h1><p>{text(summary)}</p></header>",
        section("Figures", figure_cards(evaluation.scores, ends), bullets(notes(evaluation))),
        "" if sampled is None else _area_section(sampled),
        *(section(panel.name, map_pictures(panel, classes)) for panel in maps),
        section("Classes", paragraph(CLASS_WORDS), class_table(evaluation.scores, classes, ends)),
        section("Confusion matrix", paragraph(MATRIX_WORDS), matrix_tables(evaluation.matrix, names)),
        section("How it was measured", record(evaluation.protocol)),
        section("Commands that give the same result", code("\n".join(commands))) if commands else "",
    ]
    write_atomically(path, document(title, parts))
    return path


def write_area_page(path: Path, *, title: str, summary: str, sampled: MapAccuracy, command: str) -> Path:
    """Write a page of what a probability sample says of a map, and nothing else.

    Args:
        path: The HTML file; an older one is replaced.
        title: Heading.
        summary: A sentence below the heading.
        sampled: The figures.
        command: The command line that gives the same result again.

    Raises:
        OutputError: The file cannot be written.
    """
    parts = [
        f"<header><h1>{text(title)}</h1><p>{text(summary)}</p></header>",
        _area_section(sampled),
        section("How it was measured", record(sampled.protocol)),
        section("Command that gives the same result", code(command)),
    ]
    write_atomically(path, document(title, parts))
    return path


def _area_section(sampled: MapAccuracy) -> str:
    return area_section(sampled, picture(area_picture(sampled), "areas and accuracy of each class"))


def interval_ends(evaluation: Evaluation) -> Ends:
    """The intervals of an evaluation as pairs of numbers."""
    held = evaluation.intervals.values
    return {name: None if entry is None else (entry.low, entry.high) for name, entry in held.items()}
