"""Looks at a page in headless Chromium, by its command line alone.

The page stands in a frame of a given width, because a window of Chromium is never as narrow as a phone. A
script beside the frame measures it, and writes what it found into the document, which Chromium prints.
"""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")

_FRAME = """<!DOCTYPE html><title>frame</title>
<body style="margin:0"><iframe style="border:0;width:{width}px;height:{height}px" srcdoc="{page}"></iframe>
<pre id="found"></pre><script>
addEventListener("load", () => {{
  const frame = document.querySelector("iframe"), page = frame.contentDocument, view = frame.contentWindow;
  const root = page.documentElement;
  const scrolls = (element) => {{
    for (; element; element = element.parentElement)
      if (["auto", "hidden"].includes(view.getComputedStyle(element).overflowX)) return true;
    return false;
  }};
  const wide = [...page.body.querySelectorAll("*")].filter((element) =>
    element.getBoundingClientRect().right > root.clientWidth + 1 && !scrolls(element));
  document.getElementById("found").textContent = JSON.stringify({{
    width: root.clientWidth,
    scrollWidth: root.scrollWidth,
    height: root.scrollHeight,
    wide: wide.map((element) => element.outerHTML.slice(0, 80)),
    broken: [...page.images].filter((image) => !image.naturalWidth).map((image) => image.alt),
    empty: [...page.querySelectorAll("svg.chart")]
      .filter((chart) => chart.getBoundingClientRect().height < 20)
      .map((chart) => chart.getAttribute("aria-label")),
    ids: [...page.querySelectorAll("section[id], header[id]")].map((element) => element.id),
    requests: view.performance.getEntriesByType("resource").map((entry) => entry.name)
      .filter((name) => !name.startsWith("data:")),
    ground: view.getComputedStyle(page.body).backgroundColor,
  }});
}});
</script></body>"""


@dataclass(frozen=True)
class Seen:
    """What Chromium made of a page."""

    values: dict[str, Any]
    console: list[str]
    """Lines that the page, or the browser about it, wrote to the console."""


def find_chromium() -> str | None:
    """The program, or None where it is not installed."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def look_at(page: Path, folder: Path, *, width: int, dark: bool = False, height: int = 900) -> Seen:
    """Open a page at a width.

    Args:
        page: The HTML file.
        folder: For files of this.
        width: Of the page, in CSS pixels.
        dark: Whether the reader prefers dark pages.
        height: Of the page.
    """
    frame = folder / f"frame_{width}.html"
    frame.write_text(_FRAME.format(width=width, height=height, page=html.escape(page.read_text())))
    done = _run(frame, folder, "--dump-dom", f"--window-size={max(width, 500)},{height}", dark=dark)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, done.stderr[-2000:]
    assert found[1], done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(json.loads(html.unescape(found[1])), console)


def _run(frame: Path, folder: Path, *options: str, dark: bool) -> subprocess.CompletedProcess[str]:
    program = find_chromium()
    assert program is not None
    return subprocess.run(
        [
            program,
            "--headless=new",
            "--no-sandbox",  # tests run as root in containers
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            f"--user-data-dir={folder / 'profile'}",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []),
            *options,
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
