"""Reads a page of eoseg as a strict browser would: tags, text, pictures, links."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

_VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects pictures and text, and refuses tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: dict[str, np.ndarray] = {}
        self.charts: list[str] = []
        """What the charts say that they show."""
        self.links: list[str] = []
        self.ids: list[str] = []
        self.heads: list[str | None] = []
        """The scope of each head of a table."""
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [values[key] or "" for key in ("src", "href", "action") if key in values]
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag == "img":
            data = base64.b64decode((values["src"] or "").removeprefix("data:image/png;base64,"))
            self.images[values["alt"] or ""] = np.asarray(Image.open(io.BytesIO(data)))
        if tag == "svg":
            self.charts.append(values["aria-label"] or "")
        if tag == "th":
            self.heads.append(values.get("scope"))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data + " "


def check(path: Path) -> Checker:
    """Read a page, whose tags must be closed in order and whose pictures must be inside it."""
    return check_text(path.read_text(encoding="utf-8"))


def check_text(text: str) -> Checker:
    """The same of a page's text."""
    checker = Checker()
    assert text.startswith("<!DOCTYPE html>")
    checker.feed(text)
    checker.close()
    assert not checker.open
    assert not [link for link in checker.links if not link.startswith(("data:image/png;base64,", "#"))]
    return checker


def check_part(content: str) -> Checker:
    """The same of a part of a page."""
    return check_text(f"<!DOCTYPE html><body>{content}</body>")
