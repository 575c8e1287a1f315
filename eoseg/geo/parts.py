"""What a run has computed of some rasters so far, on disk, so that it may be stopped at any moment.

Beside a map `NAME` lies the folder `NAME.parts`:

    plan.json        what is computed from what; another run is told apart by it
    share_K.journal  a line for each finished tile of share K: its index, and checksums of its values
    share_K_L.raw    the values of layer L, as plain rows of the whole scene's width, band after band

A share is a contiguous run of tiles, row by row, that one process computes: it alone writes these files
(`eoseg.geo.share`).
The values of a tile are written first, its line after them, so a process that is killed loses no more than
the tiles in flight. A line without its end is ignored, and values are compared with their checksums before
they are trusted again: after a crash of the whole machine, or on a disk that lost something, the tiles
concerned are computed anew. No file is ever rewritten in place by two processes.
"""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from eoseg.errors import OutputError
from eoseg.geo.grid import Grid
from eoseg.geo.layer import Layer
from eoseg.geo.tiles import TilePlan
from eoseg.geo.window import Window

_PLAN, _FORMAT = "plan.json", 1
END = "end\n"
"""Last line of the journal of a share whose tiles are all there."""


def parts_folder(target: Path) -> Path:
    """Where the parts of a map are."""
    return target.with_name(f"{target.name}.parts")


def read_progress(target: Path) -> tuple[int, int]:
    """How many tiles of a map all processes have finished, and how many there are; 0, 0 before."""
    folder = parts_folder(target)
    try:
        total = int(json.loads((folder / _PLAN).read_text(encoding="utf-8"))["tiles"])
        journals = [path.read_text(encoding="ascii") for path in folder.glob("share_*.journal")]
    except (OSError, ValueError, KeyError):
        return 0, 0
    return sum(text.count("\n") - text.endswith(END) for text in journals), total


def is_busy(target: Path) -> bool:
    """Whether another process is making a map at this moment, alone."""
    try:
        with (parts_folder(target) / "share_0.journal").open("rb") as journal:
            fcntl.flock(journal, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle of the scene that one share wrote, without gaps."""

    window: Window
    share: int
    first_row: int
    """Row of the scene at which the files of the share begin."""


class Parts:
    """The folder of a run. See the module's text for what it holds."""

    def __init__(
        self,
        target: Path,
        grid: Grid,
        layers: Sequence[Layer],
        cores: TilePlan,
        *,
        fingerprint: Mapping[str, str],
        shares: int = 1,
        overwrite: bool = False,
        folder: Path | None = None,
    ) -> None:
        """Begin a run, or find the one that was begun.

        Args:
            target: Path of the map, which the folder is named after.
            grid: The scene's grid.
            layers: What is written: one raster for each.
            cores: The tiles; only their cores matter here.
            fingerprint: Everything that the values depend on, by names that a user understands.
            shares: Into how many contiguous shares the tiles are cut; a run that was begun keeps its own.
            overwrite: Start anew where the folder holds another run.
            folder: Where to put the parts instead.

        Raises:
            OutputError: The folder holds another run, is damaged or cannot be made.
        """
        self.folder = folder or parts_folder(target)
        self.target, self.grid, self.layers, self.cores = target, grid, tuple(layers), cores
        kinds = ", ".join(f"{len(layer.bands)} x {layer.dtype}" for layer in layers)
        size = f"{cores.core} px of {cores.width} x {cores.height} px"
        wanted = {**fingerprint, "tiles": size, "values per pixel": kinds}
        self.was_begun = True
        """Whether the folder was there already."""
        self.shares = 0
        while not self.shares:
            try:
                self.shares = self._find(wanted)
            except FileNotFoundError:
                self.was_begun = not self._begin(wanted, max(1, min(shares, len(cores))))
            except _OtherRunError as error:
                if not overwrite:
                    raise OutputError(str(error)) from None
                self._discard()

    def _find(self, wanted: Mapping[str, str]) -> int:
        """How many shares the run in the folder has; it must be this run."""
        path = self.folder / _PLAN
        if self.folder.exists() and not path.exists() and self.folder.exists():  # it may go at any moment
            raise OutputError(f"'{self.folder}' is in the way: it holds no parts of a map. Move it away.")
        text = path.read_text(encoding="utf-8")
        try:
            plan = json.loads(text)
            found, shares = dict(plan["fingerprint"]), int(plan["shares"])
        except (ValueError, KeyError, TypeError):
            raise _OtherRunError(f"'{path}' is damaged. Start anew with --overwrite.") from None
        differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
        if differing:
            name = differing[0]
            more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
            raise _OtherRunError(
                f"'{self.folder}' holds parts of another run: {name}{more} was "
                f"'{found.get(name, 'not there')}' and is '{wanted.get(name, 'not there')}'. Repeat that "
                "command to complete it, or start anew with --overwrite."
            )
        return shares

    def _begin(self, wanted: Mapping[str, str], shares: int) -> bool:
        """Make the folder at once with its plan; False where another process was first."""
        new = self.folder.with_name(f"{self.folder.name}.{uuid.uuid4().hex}")
        try:
            new.mkdir()
            plan = {
                "format": _FORMAT,
                "shares": shares,
                "tiles": len(self.cores),
                "fingerprint": dict(wanted),
            }
            (new / _PLAN).write_text(json.dumps(plan, indent=1, ensure_ascii=False), encoding="utf-8")
            new.rename(self.folder)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            if (self.folder / _PLAN).exists():
                return False
            raise told(self.folder, "begun", error) from error
        return True

    def _discard(self) -> None:
        """Remove another run's folder, once, however many processes want to."""
        with suppress(FileNotFoundError), (self.folder / _PLAN).open("rb") as plan:
            fcntl.flock(plan, fcntl.LOCK_EX)
            if _is_same(plan, self.folder / _PLAN):
                self._remove()

    def _remove(self) -> None:
        old = self.folder.with_name(f"{self.folder.name}.{uuid.uuid4().hex}")
        self.folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)

    def bounds(self, share: int) -> tuple[int, int]:
        """First tile of a share, and the one after its last."""
        return share * len(self.cores) // self.shares, (share + 1) * len(self.cores) // self.shares

    def rows(self, share: int) -> tuple[int, int]:
        """First pixel row of a share's files, and the one after their last."""
        start, stop = self.bounds(share)
        first = start // self.cores.columns * self.cores.core
        last = ((stop - 1) // self.cores.columns + 1) * self.cores.core
        return first, min(last, self.cores.height)

    def raw_path(self, share: int, layer: int) -> Path:
        """The values of a layer that a share wrote."""
        return self.folder / f"share_{share}_{layer}.raw"

    def journal_path(self, share: int) -> Path:
        """The list of a share's finished tiles."""
        return self.folder / f"share_{share}.journal"

    def pieces(self) -> list[Piece]:
        """The scene as rectangles, each from one share, which cover each pixel once."""
        found, columns = [], self.cores.columns
        for share in range(self.shares):
            start, stop = self.bounds(share)
            first_row, _ = self.rows(share)
            while start < stop:  # up to three: the rest of a row of tiles, whole rows, a begun one
                column = start % columns
                whole_rows = (stop - start) // columns if column == 0 else 0
                count = whole_rows * columns or min(stop - start, columns - column)
                first, last = self.cores.tile(start).core, self.cores.tile(start + count - 1).core
                window = Window(first.row, first.col, last.row_stop - first.row, last.col_stop - first.col)
                found.append(Piece(window, share, first_row))
                start += count
        return found

    def finished_tiles(self) -> int:
        """How many tiles all processes have finished; what they hold is not looked at."""
        return read_progress(self.target)[0]

    def is_complete(self) -> bool:
        """Whether every share says that it has all of its tiles."""
        try:
            return all(
                self.journal_path(share).read_text(encoding="ascii").endswith(END)
                for share in range(self.shares)
            )
        except FileNotFoundError:
            return False

    @contextmanager
    def only_here(self) -> Any:
        """Whether this process may complete the files now: no other one does, and none has."""
        try:
            plan = (self.folder / _PLAN).open("rb")
        except FileNotFoundError:
            yield False
            return
        with plan:
            try:
                fcntl.flock(plan, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield _is_same(plan, self.folder / _PLAN)

    def remove(self) -> None:
        """Remove the folder and all in it."""
        with suppress(FileNotFoundError):
            self._remove()


class _OtherRunError(Exception):
    """The folder holds the parts of another run."""


def _is_same(open_file: IO[bytes], path: Path) -> bool:
    """Whether an open file still has its name: another process may have removed its folder."""
    try:
        return os.path.samestat(os.fstat(open_file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def told(target: Path, done: str, error: Exception) -> OutputError:
    """Say in one line that something could not be done with a file.

    Args:
        target: The file that the user asked for.
        done: What could not be done, such as "written".
        error: What the system or GDAL said.
    """
    free = shutil.disk_usage(target.parent).free / 2**20 if target.parent.is_dir() else 0.0
    said = getattr(error, "strerror", None) or str(error)
    return OutputError(
        f"'{target}' could not be {done}: {said.rstrip('.')}. Its disk has {free:,.0f} MB left; check space "
        "and permission, or choose another place with --out."
    )
