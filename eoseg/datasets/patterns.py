"""Globs whose wildcards say which files belong together."""

import re
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from eoseg.errors import DataError

_SIDECARS = (".aux.xml", ".ovr", ".msk", ".tfw", ".jgw", ".pgw", ".wld", ".prj", ".md", ".txt")
"""Endings of files that lie beside rasters and are none."""

_WILDCARD = re.compile(r"\*\*/|\*|\?|\[[^\]]+\]")


@dataclass(frozen=True, slots=True)
class Match:
    """A file that a pattern found."""

    path: str
    key: tuple[str, ...]
    """What the wildcards matched; the file's stem where there are none."""
    id: str
    """The path under the root without suffix and without folders that hold no wildcard."""
    full_id: str
    """The path under the root without suffix."""
    pattern: int
    """Place of the pattern in its list."""


def find_files(patterns: list[str], root: str | None, *, option: str) -> list[Match]:
    """All files that the patterns match, each once, in a fixed order.

    Args:
        patterns: Globs or paths; "**" matches any number of folders.
        root: Folder that they are relative to.
        option: The option's name, for messages.

    Raises:
        DataError: A pattern matches nothing, or names a folder.
    """
    found: dict[str, Match] = {}
    for number, pattern in enumerate(patterns):
        matches = _find(pattern, root, number)
        if not matches:
            raise _nothing_found(pattern, root, option)
        for match in matches:
            found.setdefault(match.path, match)
    return list(found.values())


def _find(pattern: str, root: str | None, number: int) -> list[Match]:
    if "://" in pattern or pattern.startswith("/vsi"):
        stem = Path(pattern).stem
        return [Match(pattern, (stem,), stem, stem, number)]
    base = Path(root) if root is not None else Path()
    if not _WILDCARD.search(pattern):
        path = base / pattern
        stem = _without_suffix(path.name)
        return [Match(str(path), (stem,), stem, _without_suffix(pattern), number)] if path.is_file() else []
    matches = []
    for name in sorted(glob(pattern, root_dir=base, recursive=True)):  # noqa: PTH207 (takes absolute globs)
        path = base / name
        if path.is_file() and not name.lower().endswith(_SIDECARS):
            key, kept = _read_wildcards(pattern, Path(name).as_posix())
            matches.append(Match(str(path), key, kept, _without_suffix(name), number))
    return matches


def _read_wildcards(pattern: str, name: str) -> tuple[tuple[str, ...], str]:
    """What the wildcards matched in a name, and the name without the literal folders."""
    head, _, ending = pattern.rpartition(".")
    if not head or "/" in ending:
        head, ending = pattern, ""
    expression = _expression(head) + ("[.]" + _expression(ending, capture=False) if ending else "")
    match = re.fullmatch(expression, name)
    groups = [group or "" for group in match.groups()] if match else [name]
    if groups and not ending:
        groups[-1] = _without_suffix(groups[-1])
    return tuple(groups), _wild_parts(pattern, name)


def _wild_parts(pattern: str, name: str) -> str:
    if "**" in pattern:
        return _without_suffix(name)
    folders, parts = pattern.split("/")[:-1], name.split("/")
    kept = [part for folder, part in zip(folders, parts, strict=False) if _WILDCARD.search(folder)]
    return "/".join([*kept, _without_suffix(parts[-1])])


def _expression(pattern: str, *, capture: bool = True) -> str:
    """A glob as a regular expression with a group for each wildcard."""
    pieces, place = [], 0
    for wildcard in _WILDCARD.finditer(pattern):
        pieces.append(re.escape(pattern[place : wildcard.start()]))
        token = wildcard.group()
        body = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}.get(token, token.replace("[!", "[^"))
        pieces.append(f"({body})" if capture else body)
        place = wildcard.end()
    return "".join(pieces) + re.escape(pattern[place:])


def _without_suffix(name: str) -> str:
    return str(Path(name).with_suffix("")) if Path(name).suffix else name


def _nothing_found(pattern: str, root: str | None, option: str) -> DataError:
    path = Path(root or ".") / pattern
    if path.is_dir():
        endings = sorted({entry.suffix for entry in path.iterdir() if entry.suffix})
        if not endings:
            return DataError(
                f"'{option}': the folder '{path}' is empty. Put the files there, or correct the path."
            )
        return DataError(
            f"'{option}': '{path}' is a folder; say which files, such as "
            f"'{pattern.rstrip('/')}/*{endings[0]}'."
        )
    if not _WILDCARD.search(pattern):
        return DataError(f"'{option}': there is no file '{path}'. Check the path.")
    folder = next(parent for parent in (path, *path.parents) if not _WILDCARD.search(str(parent)))
    if not folder.is_dir():
        return DataError(f"'{option}': nothing matches '{path}', because there is no folder '{folder}'.")
    there = sorted(entry.name for entry in folder.iterdir())
    held = f"it holds {', '.join(there[:3])}{' ...' if len(there) > 3 else ''}" if there else "it is empty"
    return DataError(
        f"'{option}': nothing matches '{path}'; '{folder}' exists, but {held}. Correct the pattern."
    )
