"""One HTML file that shows how good a map is: no server, no network, nothing beside it."""

from collections.abc import Sequence
from pathlib import Path

from eoseg.evaluate.accuracy import Evaluation, notes
from eoseg.evaluate.html import bullets, code, document, paragraph, record, section, text
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
) -> Path:
    """Write the page; an older file of that name is replaced.

    Args:
        path: The HTML file.
        title: Heading.
        summary: A few sentences in plain text, below the heading.
        maps: Scenes to show as image, reference, map and errors.
        evaluation: The figures; its classes colour the maps.
        commands: Command lines that give the same result again.

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
        *(section(panel.name, map_pictures(panel, classes)) for panel in maps),
        section("Classes", paragraph(CLASS_WORDS), class_table(evaluation.scores, classes, ends)),
        section("Confusion matrix", paragraph(MATRIX_WORDS), matrix_tables(evaluation.matrix, names)),
        section("How it was measured", record(evaluation.protocol)),
        section("Commands that give the same result", code("\n".join(commands))) if commands else "",
    ]
    write_atomically(path, document(title, parts))
    return path


def interval_ends(evaluation: Evaluation) -> Ends:
    """The intervals of an evaluation as pairs of numbers."""
    held = evaluation.intervals.values
    return {name: None if entry is None else (entry.low, entry.high) for name, entry in held.items()}
