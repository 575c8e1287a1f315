"""Writing vector files that are either complete or not there."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eoseg.errors import OutputError

_BESIDE = ("", "-journal", "-wal", "-shm")
"""What SQLite leaves beside a GeoPackage when it is interrupted."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name to write a vector file under; the file gets its own once the block has ended.

    Whatever fails, even Ctrl-C, leaves nothing behind and an older file as it was.

    Args:
        path: The file: a GeoPackage or GeoParquet.

    Raises:
        OutputError: What GDAL, SQLite, Arrow or the disk say while it is written.
    """
    import pyarrow
    from pyogrio.errors import DataLayerError, DataSourceError

    part = path.with_name(f"{path.name}.part{path.suffix}")  # GDAL looks at the suffix
    try:
        part.unlink(missing_ok=True)  # of a run that was killed
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, sqlite3.Error, DataSourceError, DataLayerError, pyarrow.ArrowException) as error:
        raise OutputError(
            f"'{path}' cannot be written: {' '.join(str(error).split())}. Check the folder and the "
            "free space."
        ) from error
    finally:
        for ending in _BESIDE:
            part.with_name(part.name + ending).unlink(missing_ok=True)
