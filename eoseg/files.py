"""Writing text files that are either complete or not there, and which packages are installed."""

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from eoseg.errors import OutputError


def package_versions(packages: Sequence[str]) -> dict[str, str | None]:
    """The version of each package; None where it is not installed."""
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def write_atomically(path: Path, text: str) -> None:
    """Write a text file under another name and rename it.

    Processes, also of several nodes, may write the same file at once: it is then what one of them wrote.

    Raises:
        OutputError: The file cannot be written; an older one of that name is as it was.
    """
    part = path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"'{path}' cannot be written: {error.strerror or error}. Check the folder and the free space."
        ) from error
