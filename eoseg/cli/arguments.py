"""What the commands that run a checkpoint over scenes share: values of arguments, early checks, the bar."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from eoseg.errors import CheckpointError, DataError, OutputError
from eoseg.geo.remote import may_be_missing
from eoseg.progress import Progress


class Reading(TypedDict):
    """How scenes are read where they do not say so themselves."""

    bands: tuple[str, ...] | None
    nodata: float | None
    allow_range_mismatch: bool


def count(text: str) -> int:
    """A whole number of at least 1; for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found '{text}'")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them; for argparse."""
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"expected names with commas between them, found '{text}'")
    return found


def label_value(text: str) -> int | str:
    """A label value where it looks like one; polygons compare both as text."""
    return int(text) if text.removeprefix("-").isdecimal() else text


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse an output before any work.

    Raises:
        OutputError: Its folder is missing, or the file exists.
    """
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder '{path.parent}' for '{path.name}'. Make it first.")
    if path.exists() and not overwrite:
        raise OutputError(f"'{path}' exists already. Name another file, or add --overwrite.")


def add_reading_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options that say how a scene is read where it does not say so itself.

    Returns:
        Their group, for what one command has in addition.
    """
    scene = parser.add_argument_group("how to read the scenes")
    scene.add_argument(
        "--bands",
        type=names,
        metavar="B02,B03,...",
        help="names of all bands of the scene, in file order, where it does not name them itself",
    )
    scene.add_argument(
        "--nodata", type=float, metavar="VALUE", help="nodata value (default: the scene's own)"
    )
    scene.add_argument(
        "--allow-range-mismatch",
        action="store_true",
        help="take a scene even where its values are on another scale than the training values",
    )
    return scene


def reading_of(arguments: argparse.Namespace) -> Reading:
    """What `add_reading_options` has made of the command line, for the options of a command."""
    return {
        "bands": arguments.bands,
        "nodata": arguments.nodata,
        "allow_range_mismatch": arguments.allow_range_mismatch,
    }


def add_device_options(group: argparse._ArgumentGroup) -> None:
    """Add where the network runs, and whether there is a progress bar."""
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    group.add_argument("--no-progress", action="store_true", help="no progress bar")


def require_input(checkpoint: Path, scenes: list[str]) -> None:
    """What can be known to be wrong before torch is imported.

    Raises:
        CheckpointError: There is no checkpoint.
        DataError: There is no such scene.
    """
    if not checkpoint.is_file():
        raise CheckpointError(
            f"There is no checkpoint '{checkpoint}'. Give a .ckpt file that 'eoseg fit' wrote."
        )
    for scene in scenes:
        if not may_be_missing(scene) and not Path(scene).exists():
            raise DataError(f"There is no file '{scene}'. Check the path.")


def cores_of_each(processes: int) -> int:
    """Cores for each of several processes that share this machine."""
    known = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(1, cores // processes)


@contextmanager
def progress_bar(name: str, *, shown: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar with speed and time left on standard error; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    hidden = not (shown and console.is_terminal)  # rich ends a bar that nobody saw with an empty line
    with Bar(*columns, console=console, transient=True, disable=hidden) as bar:
        # Known to rich only by its share: pixels come with the first tile.
        task = bar.add_task(name, total=None, speed="")

        def report(progress: Progress) -> None:
            done = bar.tasks[0]
            seconds = done.elapsed or 0.0
            first = bar.tasks[0].fields.setdefault("first", progress.done)  # of an earlier run
            rate = (progress.done - first) / seconds if seconds else 0.0
            speed = f"{rate / 1e6:.2f} MP/s" if progress.unit == "pixels" else f"{rate:.2f} tiles/s"
            bar.update(task, completed=progress.done, total=progress.total, speed=speed)

        yield report
