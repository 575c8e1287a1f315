"""Globs whose wildcards say which files belong together.

Beside the usual wildcards a pattern may hold two words in braces: `{date}` stands for a date (see
`eoseg.geo.dates`), which makes dated files of one place a series, and `{any}` for text that differs from
file to file and says nothing, such as a processing time.
"""

import re
from dataclasses import dataclass
from datetime import date
from glob import glob
from pathlib import Path

from eoseg.datasets.config import ANY, DATE
from eoseg.errors import DataError
from eoseg.geo.dates import ACCEPTED, DATE_EXPRESSION, find_dates

_SIDECARS = (".aux.xml", ".ovr", ".msk", ".tfw", ".jgw", ".pgw", ".wld", ".prj", ".md", ".txt")
"""Endings of files that lie beside rasters and are none."""

_WILDCARD = re.compile(r"\*\*/|\*|\?|\[[^\]]+\]|\{date\}|\{any\}")

_BODIES = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]", ANY: "[^/]*?", DATE: DATE_EXPRESSION}
"""What wildcards match, as regular expressions; a set of letters is one already."""

_GAP = "\0"
"""Stands in a name where a date was."""


@dataclass(frozen=True, slots=True)
class Match:
    """A file that a pattern found."""

    path: str
    key: tuple[str, ...]
    """What the wildcards matched, but for `{date}` and `{any}`; the file's stem where there are none."""
    id: str
    """The path under the root without suffix, date, and folders that hold no wildcard."""
    full_id: str
    """The path under the root without suffix and date."""
    pattern: int
    """Place of the pattern in its list."""
    day: date | None = None
    """What `{date}` matched."""


def find_files(patterns: list[str], root: str | None, *, option: str) -> list[Match]:
    """All files that the patterns match, each once, in a fixed order.

    Args:
        patterns: Globs or paths; "**" matches any number of folders.
        root: Folder that they are relative to.
        option: The option's name, for messages.

    Raises:
        DataError: A pattern matches nothing, or names a folder, or a file has no date in its place.
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
        if DATE in pattern:
            raise DataError(
                f"'{pattern}' is remote, where files cannot be listed to find their dates. Copy the files, "
                "or write a local VRT for each date (gdalbuildvrt)."
            )
        stem = Path(pattern).stem
        return [Match(pattern, (stem,), stem, stem, number)]
    base = Path(root) if root is not None else Path()
    if not _WILDCARD.search(pattern):
        path = base / pattern
        stem = _without_suffix(path.name)
        return [Match(str(path), (stem,), stem, _without_suffix(pattern), number)] if path.is_file() else []
    matches = []
    # A file without a number in the date's place, such as a label beside dated images, is not meant.
    plain = pattern.replace(f"*{ANY}", "*").replace(f"{ANY}*", "*").replace(ANY, "*").replace(DATE, "[0-9]*")
    for name in sorted(glob(plain, root_dir=base, recursive=True)):  # noqa: PTH207 (takes absolute globs)
        path = base / name
        if path.is_file() and not name.lower().endswith(_SIDECARS):
            matches.append(_read_name(pattern, Path(name).as_posix(), str(path), number))
    return matches


def _read_name(pattern: str, name: str, path: str, number: int) -> Match:
    """What a pattern says of a file whose name it matches."""
    match, tokens = _match(pattern, name)
    key, day, plain = [], None, name
    for place, token in reversed(list(enumerate(tokens, start=1))):
        held = (match[place] or "") if match else ""
        if token not in (DATE, ANY):
            key.append(held)
        elif match is not None:
            start, stop = match.span(place)
            plain = plain[:start] + _GAP + plain[stop:]
            day = next(iter(find_dates(held)), None) if token == DATE else day
    if DATE in tokens and day is None:
        raise DataError(
            f"'{path}' has no date where '{pattern}' expects one, written {ACCEPTED}. Rename the file, or "
            "narrow the pattern."
        )
    full_id = _close_gaps(_without_suffix(plain))
    whole = (full_id,) if DATE in tokens else (name,)
    return Match(
        path,
        tuple(reversed(key)) if key and match else whole,
        _close_gaps(_wild_parts(pattern, plain)),
        full_id,
        number,
        day,
    )


def _match(pattern: str, name: str) -> tuple[re.Match[str] | None, list[str]]:
    """Match a name: a group for each wildcard of the pattern before its suffix, and these wildcards."""
    head, _, ending = pattern.rpartition(".")
    if not head or "/" in ending or DATE in ending:
        # The pattern names no suffix, so that of the file is not part of what a wildcard matched.
        head, suffix = pattern, re.escape(Path(name).suffix)
    else:
        suffix = "[.]" + _expression(ending, capture=False)
    return re.fullmatch(_expression(head) + suffix, name), _WILDCARD.findall(head)


def _wild_parts(pattern: str, name: str) -> str:
    if "**" in pattern:
        return _without_suffix(name)
    folders, parts = pattern.split("/")[:-1], name.split("/")
    kept = [part for folder, part in zip(folders, parts, strict=False) if _WILDCARD.search(folder)]
    return "/".join([*kept, _without_suffix(parts[-1])])


def _close_gaps(name: str) -> str:
    """A name without the gaps that dates left, and without what divided them from the rest."""
    parts = [re.sub(f"[-_. ]*{_GAP}[-_. {_GAP}]*", _GAP, part).strip(_GAP) for part in name.split("/")]
    return "/".join(part.replace(_GAP, "_") for part in parts if part)


def _expression(pattern: str, *, capture: bool = True) -> str:
    """A glob as a regular expression with a group for each wildcard."""
    pieces, place = [], 0
    for wildcard in _WILDCARD.finditer(pattern):
        pieces.append(re.escape(pattern[place : wildcard.start()]))
        token = wildcard.group()
        body = _BODIES.get(token, token.replace("[!", "[^"))
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
    dates = f" {DATE} stands for {ACCEPTED}." if DATE in pattern else ""
    return DataError(
        f"'{option}': nothing matches '{path}'; '{folder}' exists, but {held}. Correct the pattern.{dates}"
    )
