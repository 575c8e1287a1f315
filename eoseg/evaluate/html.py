"""What pages are made of: one file of HTML that needs no network, no server and nothing beside it.

Functions take plain text and give HTML, in which that text is escaped; a parameter that is HTML already is
called `content` or `cells`.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eoseg import __version__
from eoseg.evaluate.style import SCRIPT, STYLE
from eoseg.figures import enlarge, png_bytes
from eoseg.recipe import Color, Plain, format_color

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a browser may load: what stands in the page, and nothing from anywhere else."""

_SHARP = 512
"""Smaller pictures are enlarged, so that browsers show pixels and do not blur them."""


def document(title: str, content: Iterable[str], *, contents: Mapping[str, str] | None = None) -> str:
    """A whole page.

    Args:
        title: Heading of the window.
        content: HTML of its parts; empty ones are left out. The first stands above the table of contents.
        contents: Headings by the id of their section, for a table of contents; None for none.
    """
    first, *rest = [part for part in content if part]
    links = "".join(
        f'<li><a href="#{name}">{text(words)}</a></li>' for name, words in (contents or {}).items()
    )
    menu = f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if links else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in [first, menu, *rest] if part)
        + f"\n<footer>Made by eoseg {text(__version__)}.</footer>"
        + f"\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def section(heading: str, *content: str, name: str = "") -> str:
    """A part of the page with a heading.

    Args:
        heading: Its heading.
        content: HTML.
        name: Id that links lead to.
    """
    identity = f' id="{name}"' if name else ""
    return f"<section{identity}><h2>{text(heading)}</h2>{''.join(content)}</section>"


def missing(words: str, command: str = "") -> str:
    """A line in place of something that is not there, with the command that makes it."""
    made = f" <code>{text(command)}</code>" if command else ""
    return f'<p class="missing">{text(words)}{made}</p>'


def paragraph(words: str) -> str:
    """A paragraph of text."""
    return f"<p>{text(words)}</p>"


def bullets(lines: Sequence[str]) -> str:
    """Notes, a line each; nothing for none."""
    return f'<ul class="notes">{"".join(f"<li>{text(line)}</li>" for line in lines)}</ul>' if lines else ""


def cards(figures: Sequence[tuple[str, str, str]]) -> str:
    """Figures in large letters.

    Args:
        figures: What each is, the figure, and a line below it.
    """
    held = "".join(
        f'<div class="card"><div class="what">{text(what)}</div><div class="figure">{text(value)}</div>'
        f'<div class="interval">{text(below)}</div></div>'
        for what, value, below in figures
    )
    return f'<div class="cards">{held}</div>'


def table(
    head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], *, caption: str = "", css: str = ""
) -> str:
    """A table whose first column names the rows; it scrolls by itself where it is too wide.

    Args:
        head: Titles of the columns, that of the names first.
        rows: HTML of each row's name, and of its cells: texts, or whole `<td>` elements.
        caption: What the table holds.
        css: Class names.
    """
    titles = "".join(f'<th scope="col"><span>{text(title)}</span></th>' for title in head)
    body = "".join(
        f'<tr><th scope="row">{name}</th>' + "".join(map(_cell, cells)) + "</tr>" for name, cells in rows
    )
    said = f"<caption>{text(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption or head[0])}">'
        f'<table class="{css}">{said}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def shaded(words: str, share: float) -> str:
    """A cell of a table whose ground is darker the larger a share is, 0 to 1."""
    return f'<td class="shade" style="--share:{100 * share:.0f}%">{text(words)}</td>'


def record(values: Mapping[str, Plain]) -> str:
    """Names and values, in two columns; what is empty is left out."""
    rows = "".join(
        f'<tr><th scope="row">{text(key)}</th><td>{_value(value)}</td></tr>'
        for key, value in values.items()
        if value not in (None, [], {}, "")
    )
    return f'<table class="record"><tbody>{rows}</tbody></table>'


def code(words: str) -> str:
    """Text as it is, in letters of one width."""
    return f'<pre tabindex="0">{text(words)}</pre>'


def fold(summary: str, content: str) -> str:
    """Something long that opens when it is asked for."""
    return f"<details><summary>{text(summary)}</summary>{content}</details>"


def swatch(color: Color) -> str:
    """A small square of a colour."""
    return f'<span class="swatch" style="background:{format_color(color)}"></span>'


def legend(entries: Sequence[tuple[str, Color]]) -> str:
    """What colours mean."""
    held = "".join(f"<li>{swatch(color)}{text(name)}</li>" for name, color in entries)
    return f'<ul class="legend">{held}</ul>'


def shots(pictures: Sequence[tuple[str, str, NDArray[np.uint8]]]) -> str:
    """Pictures beside each other, which a click or Enter makes wide.

    Args:
        pictures: The caption of each, what it shows, and its pixels `(H, W, 3)`.
    """
    held = "".join(
        f'<figure tabindex="0">{picture(rgb, what)}<figcaption>{text(caption)}</figcaption></figure>'
        for caption, what, rgb in pictures
    )
    return f'<div class="shots">{held}</div>'


def columns(content: Sequence[str]) -> str:
    """Parts beside each other where there is room; empty ones are left out.

    Args:
        content: HTML.
    """
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in content if part)}</div>'


def charts(pictures: Sequence[tuple[str, str]]) -> str:
    """Charts beside each other.

    Args:
        pictures: The caption of each, and its SVG or HTML.
    """
    held = "".join(
        f"<figure><figcaption>{text(caption)}</figcaption>{content}</figure>" for caption, content in pictures
    )
    return f'<div class="charts">{held}</div>'


def picture(rgb: NDArray[np.uint8], what: str) -> str:
    """A picture inside the page.

    Args:
        rgb: uint8 `(H, W, 3)`.
        what: What it shows, for those who do not see it.
    """
    large = enlarge(rgb, at_least=_SHARP)
    height, width = large.shape[:2]
    data = base64.b64encode(png_bytes(large)).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{text(what)}" width="{width}" height="{height}">'


def figure(value: float | None, digits: int = 3) -> str:
    """A figure as text; "undefined" where it is not defined."""
    return "undefined" if value is None else f"{value:.{digits}f}"


def text(words: str) -> str:
    """Text that HTML does not take for its own."""
    return html.escape(words, quote=True)


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def _value(value: Plain) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"{text(str(key))}: {_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else text(str(value))
