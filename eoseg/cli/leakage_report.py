"""What the command line prints and draws of an audit of a split."""

from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from eoseg.datasets.leakage import LeakageAudit

TITLES = {
    "ground": "ground in two splits",
    "distance": "distance to training ground",
    "source": "same scene, group or date",
    "duplicates": "same picture in two splits",
    "polygons": "same label polygon",
}

_COLORS = {"clean": "green", "note": "cyan", "unknown": "dim", "warning": "yellow", "error": "red"}
_WORDS = {"clean": "clean", "note": "note", "unknown": "not known", "warning": "warning", "error": "leak"}


def print_audit(console: "Console", audit: "LeakageAudit") -> None:
    """Print the verdict and a line for each check."""
    from rich.table import Table

    color = {"clean": "green", "doubtful": "yellow", "leaking": "red"}[audit.verdict]
    console.print(
        f"\n[bold]Leakage[/bold]  [{color}]{audit.verdict}[/{color}] (audited in {audit.seconds:.1f} s)"
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for check in audit.checks:
        word = f"[{_COLORS[check.level]}]{_WORDS[check.level]}[/{_COLORS[check.level]}]"
        table.add_row(TITLES[check.name], word, check.text)
        if check.level in ("warning", "error") and check.examples:
            table.add_row("", "", f"[dim]{'; '.join(check.examples)}[/dim]")
    console.print(table)


def require_picture(path: str | None) -> None:
    """Refuse a picture that cannot be written, before anything is read.

    Raises:
        ConfigError: It is no PNG.
    """
    if path is not None and not path.lower().endswith(".png"):
        raise ConfigError(f"The map of the split is written as .png; found '{path}'. Change the name.")


def write_picture(path: Path, audit: "LeakageAudit | None", *, title: str) -> None:
    """Draw the map of the split.

    Raises:
        ConfigError: Nobody knows where the data lie.
        OutputError: The file cannot be written.
    """
    from eoseg.figures.pictures import png_bytes
    from eoseg.figures.split_map import split_map_image

    if audit is None or audit.map is None or not audit.map.outlines:
        raise ConfigError(
            "Nobody knows where the data lie (no CRS), so there is no map of the split to draw."
        )
    drawn = split_map_image(
        [(outline.split, outline.ring) for outline in audit.map.outlines],
        unit=audit.map.unit,
        shared=audit.map.shared,
        cut=audit.map.cut,
        title=title,
    )
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(png_bytes(drawn))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"'{path}' cannot be written: {error.strerror or error}. Check the folder and the free space."
        ) from error
