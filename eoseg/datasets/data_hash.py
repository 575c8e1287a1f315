"""Whether two runs saw the same files: one hash over all of them, wherever they lie."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from eoseg.recipe import Plain

WHOLE_BYTES = 1_000_000_000
"""Up to this many bytes altogether, files are hashed whole."""

ENDS_FILES = 20_000
"""Up to this many files, their ends are read; beyond it only their names and sizes count."""

_END = 65_536
_PART = 2**20


def hash_data(
    paths: Sequence[str], *, whole_bytes: int = WHOLE_BYTES, ends_files: int = ENDS_FILES
) -> dict[str, Plain]:
    """Hash files by name and content, in the same way whatever folder they lie in.

    Args:
        paths: The files; what is no local file counts with its name alone.
        whole_bytes: Up to how many bytes altogether files are read whole.
        ends_files: Up to how many files the first and last 64 KiB of each are read.

    Returns:
        `sha256`, what it is `of`, and how many `files` and `bytes` there are.
    """
    names = sorted(set(paths))
    local = {name: Path(name).stat().st_size for name in names if Path(name).is_file()}
    total = sum(local.values())
    if total <= whole_bytes:
        of, part = "whole files", None
    elif len(local) <= ends_files:
        of, part = "sizes and the first and last 64 KiB of each file", _END
    else:
        of, part = "names and sizes", 0
    digest = hashlib.sha256(of.encode())
    for name, short in zip(names, _short(names), strict=True):
        digest.update(f"\n{short}\n{local.get(name)}\n".encode())
        if name in local and part != 0:
            _read(digest, Path(name), local[name], part)
    return {"sha256": digest.hexdigest(), "of": of, "files": len(names), "bytes": total}


def hash_names(names: Sequence[str]) -> str:
    """SHA-256 over names in any order, in hexadecimal: which chips, rows or images are in a split."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _read(digest: "hashlib._Hash", path: Path, size: int, part: int | None) -> None:
    with path.open("rb") as stream:
        if part is None or size <= 2 * part:
            while block := stream.read(_PART):
                digest.update(block)
            return
        digest.update(stream.read(part))
        stream.seek(-part, os.SEEK_END)
        digest.update(stream.read(part))


def _short(names: Sequence[str]) -> list[str]:
    """Names without the folders that all files share."""
    if not names:
        return []
    folders = [os.path.dirname(name) for name in names]  # noqa: PTH120  (remote names are no paths)
    try:
        shared = os.path.commonpath(folders)
    except ValueError:  # relative and absolute names, or files here and elsewhere
        return list(names)
    return [name.removeprefix(shared).lstrip("/") for name in names]
