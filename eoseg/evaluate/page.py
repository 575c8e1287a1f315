"""One HTML file that shows what a run has reached: no server, no network, nothing beside it."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eoseg import __version__
from eoseg.evaluate.accuracy import (
    OVERALL_TITLES,
    Evaluation,
    format_interval,
    notes,
    overall_figures,
)
from eoseg.evaluate.area_section import area_picture, area_section
from eoseg.evaluate.map_accuracy import MapAccuracy
from eoseg.evaluate.panel import MapPanel
from eoseg.evaluate.style import SCRIPT, STYLE
from eoseg.figures import (
    CHART_DPI,
    NO_LABEL,
    RIGHT,
    WRONG,
    class_bars,
    class_image,
    confusion_image,
    curve_images,
    enlarge,
    error_image,
    error_mask,
    png_bytes,
    read_curves,
)
from eoseg.files import write_atomically
from eoseg.recipe import MapClass, Plain, format_color

_SHARP = 512
"""Smaller pictures are enlarged, so that browsers show pixels and do not blur them."""

_CSS_DPI = 96


def write_page(
    path: Path,
    *,
    title: str,
    summary: str,
    maps: Sequence[MapPanel],
    evaluation: Evaluation,
    curves_csv: Path | None = None,
    config_text: str = "",
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
        curves_csv: metrics.csv of the run; None leaves the learning curves out.
        config_text: The resolved configuration.
        commands: Command lines that give the same result again.
        sampled: What a probability sample says of the map, if there is one.

    Returns:
        The path.

    Raises:
        DataError: The curves cannot be read.
        OutputError: The file cannot be written.
    """
    parts = [
        f"<header><h1>{_text(title)}</h1><p>{_text(summary)}</p></header>",
        _headline(evaluation),
        "" if sampled is None else _area_section(sampled),
        *(_map_section(panel, evaluation.classes) for panel in maps),
        _class_section(evaluation),
        _confusion_section(evaluation),
        "" if curves_csv is None else _curves_section(curves_csv),
        _record_section("How it was measured", evaluation.protocol),
        _pre_section("Commands that give the same result", "\n".join(commands)),
        _pre_section("Configuration", config_text),
        f"<footer>Made by eoseg {_text(__version__)}.</footer>",
    ]
    write_atomically(path, _document(title, parts))
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
        f"<header><h1>{_text(title)}</h1><p>{_text(summary)}</p></header>",
        _area_section(sampled),
        _record_section("How it was measured", sampled.protocol),
        _pre_section("Command that gives the same result", command),
        f"<footer>Made by eoseg {_text(__version__)}.</footer>",
    ]
    write_atomically(path, _document(title, parts))
    return path


def _document(title: str, parts: Sequence[str]) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _area_section(sampled: MapAccuracy) -> str:
    return area_section(sampled, _chart(area_picture(sampled), "areas and accuracy of each class"))


def _headline(evaluation: Evaluation) -> str:
    cards = []
    for name, value in overall_figures(evaluation).items():
        interval = format_interval(evaluation, name)
        below = f"95 %: {interval}" if interval else "no interval"
        cards.append(
            f"<div class=card><div class=what>{_text(OVERALL_TITLES[name])}</div>"
            f"<div class=figure>{_figure(value)}</div><div class=interval>{_text(below)}</div></div>"
        )
    lines = "".join(f"<li>{_text(line)}</li>" for line in notes(evaluation))
    return f"<section><div class=cards>{''.join(cards)}</div><ul class=notes>{lines}</ul></section>"


def _map_section(panel: MapPanel, classes: Sequence[MapClass]) -> str:
    errors = error_mask(panel.truth, panel.map)
    pictures = [
        ("image", panel.image),
        ("reference", class_image(panel.truth, classes)),
        ("map", class_image(panel.map, classes)),
        ("errors", error_image(errors)),
    ]
    figures = "".join(
        f"<figure>{_picture(rgb, f'{panel.name}: {what}')}<figcaption>{what}</figcaption></figure>"
        for what, rgb in pictures
        if rgb is not None
    )
    entries = [(entry.name, entry.color) for entry in classes]
    entries += [("no label or not mapped", NO_LABEL), ("right", RIGHT), ("wrong", WRONG)]
    legend = "".join(
        f'<li><span class=swatch style="background:{format_color(color)}"></span>{_text(name)}</li>'
        for name, color in entries
    )
    return (
        f"<section><h2>{_text(panel.name)}</h2><div class=shots>{figures}</div>"
        f"<ul class=legend>{legend}</ul></section>"
    )


def _class_section(evaluation: Evaluation) -> str:
    head = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("Class", "IoU", "95 % of IoU", "F1", "User's", "Producer's", "Reference px", "Map px")
    )
    rows = []
    for scores, entry in zip(evaluation.scores.classes, evaluation.classes, strict=True):
        swatch = f'<span class=swatch style="background:{format_color(entry.color)}"></span>'
        figures = (scores.f1, scores.users_accuracy, scores.producers_accuracy)
        cells = [
            _figure(scores.iou),
            _text(format_interval(evaluation, f"iou/{scores.name}")),
            *map(_figure, figures),
            f"{scores.reference_pixels:,}",
            f"{scores.mapped_pixels:,}",
        ]
        rows.append(
            f'<tr><th scope="row">{swatch}{_text(scores.name)}</th>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    intervals = evaluation.intervals.values
    ends = {name.removeprefix("iou/"): entry for name, entry in intervals.items() if name.startswith("iou/")}
    bars = class_bars(
        {entry.name: entry.iou for entry in evaluation.scores.classes},
        title="IoU per class" + ("" if evaluation.intervals.reason else ", line: 95 % interval"),
        intervals={name: None if entry is None else (entry.low, entry.high) for name, entry in ends.items()},
    )
    return (
        "<section><h2>Classes</h2><p>User's accuracy: share of what the map shows that is right. Producer's "
        "accuracy: share of the reference that the map found.</p>"
        f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"<div class=charts><figure>{_chart(bars, 'bars: IoU per class')}</figure></div></section>"
    )


def _confusion_section(evaluation: Evaluation) -> str:
    names = [entry.name for entry in evaluation.classes]
    figures = "".join(
        f"<figure>{_chart(confusion_image(evaluation.matrix, names, normalize=share), label)}</figure>"
        for share, label in ((False, "confusion matrix in pixels"), (True, "confusion matrix in percent"))
    )
    return f"<section><h2>Confusion matrix</h2><div class=charts>{figures}</div></section>"


def _curves_section(path: Path) -> str:
    pictures = curve_images(read_curves(path))
    figures = "".join(
        f"<figure>{_chart(rgb, f'learning curves: {title}')}</figure>" for title, rgb in pictures.items()
    )
    return f"<section><h2>Learning curves</h2><div class=charts>{figures}</div></section>"


def _record_section(title: str, record: dict[str, Plain]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(key)}</th><td>{_record_value(value)}</td></tr>'
        for key, value in record.items()
        if value not in (None, [], {})
    )
    table = f"<div class=scroll><table class=record>{rows}</table></div>"
    return f"<section><h2>{_text(title)}</h2>{table}</section>"


def _record_value(value: Plain) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"{_text(key)}: {_record_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_record_value(item) for item in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _text(str(value))


def _pre_section(title: str, text: str) -> str:
    return f"<section><h2>{_text(title)}</h2><pre>{_text(text)}</pre></section>" if text else ""


def _picture(rgb: NDArray[np.uint8], label: str) -> str:
    large = enlarge(rgb, at_least=_SHARP)
    return _img(large, label, large.shape[1], large.shape[0])


def _chart(rgb: NDArray[np.uint8], label: str) -> str:
    """A chart in its size in inches; the surplus of pixels is for sharp screens and printers."""
    height, width = (round(size * _CSS_DPI / CHART_DPI) for size in rgb.shape[:2])
    return _img(rgb, label, width, height)


def _img(rgb: NDArray[np.uint8], label: str, width: int, height: int) -> str:
    data = base64.b64encode(png_bytes(rgb)).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{_text(label)}" width="{width}" height="{height}">'


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
