"""Which files belong together: the dates of a scene, and a scene and its label. File names alone are read."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from eoseg.datasets.config import SceneSource, as_list
from eoseg.datasets.patterns import Match, find_files
from eoseg.errors import ConfigError, DataError
from eoseg.geo.dates import find_dates


@dataclass(frozen=True, slots=True)
class SceneFiles:
    """The image files of one scene, one per date."""

    match: Match
    """Of the first date: how the files were found."""
    paths: tuple[str, ...]
    """Earliest first."""
    dates: tuple[date, ...]
    """Empty where they are not known; for a series they always are."""


@dataclass(frozen=True, slots=True)
class _Words:
    """What two kinds of files are called in messages."""

    both: str
    options: tuple[str, str]
    one: tuple[str, str]
    many: tuple[str, str]


_LABELS = _Words("Images and labels", ("images", "labels"), ("image", "label"), ("images", "labels"))
_DATES = _Words(
    "Earlier and later images",
    ("images", "after"),
    ("earlier image", "later image"),
    ("earlier images", "later images"),
)


def find_scenes(source: SceneSource) -> list[SceneFiles]:
    """Find the images of a configuration, scene by scene.

    Raises:
        DataError: There are none, dates do not pair up or are in the wrong order, or a series has a date
            twice, or none, or fewer than others.
        ConfigError: A file is its own later date.
    """
    images = find_files(as_list(source.images), source.root, option="images")
    if source.time == "series":
        return _series(images)
    if source.after is None:
        return [SceneFiles(image, (image.path,), ()) for image in images]
    later = find_files(as_list(source.after), source.root, option="after")
    return [_dated_pair(*both) for both in _pair(images, later, _DATES)]


def pair_labels(scenes: Sequence[SceneFiles], labels: list[Match]) -> list[tuple[SceneFiles, Match]]:
    """Find the label of each scene by what the wildcards matched.

    Raises:
        DataError: A scene or a label is left over, or there are several; all in one message.
    """
    by_path = {scene.match.path: scene for scene in scenes}
    pairs = _pair([scene.match for scene in scenes], labels, _LABELS)
    return [(by_path[image.path], label) for image, label in pairs]


def name_scenes(scenes: Sequence[SceneFiles]) -> list[str]:
    """The shortest kind of id that tells all scenes apart."""
    matches = [scene.match for scene in scenes]
    folders = [Path(match.path).parent.name for match in matches]  # of dates beside the root
    for names in ([match.id for match in matches], [match.full_id for match in matches], folders):
        if len(set(names)) == len(names) and all(names):
            return names
    return [match.path for match in matches]


def some_of(paths: Sequence[str], most: int = 4) -> str:
    """A list of paths for a message, shortened."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(f"'{path}'" for path in paths[:most]) + more


def _series(images: list[Match]) -> list[SceneFiles]:
    """Files that differ in their date alone are one scene."""
    groups: dict[tuple[int, tuple[str, ...]], list[tuple[date, Match]]] = defaultdict(list)
    for image in images:
        if image.day is not None:
            groups[image.pattern, image.key].append((image.day, image))
    scenes = []
    for group in groups.values():
        held = sorted(group, key=lambda entry: (entry[0], entry[1].path))
        for (day, image), (next_day, other) in pairwise(held):
            if day == next_day:
                raise DataError(
                    f"'{image.path}' and '{other.path}' are of one series and both of {day}. Remove one or "
                    "merge them; if they are of two places, let a '*' in 'images' tell these apart."
                )
        paths = tuple(image.path for _, image in held)
        scenes.append(SceneFiles(held[0][1], paths, tuple(day for day, _ in held)))
    _require_equal_lengths(scenes)
    return scenes


def _require_equal_lengths(scenes: Sequence[SceneFiles]) -> None:
    """Series of one length make batches; say which date is missing where."""
    longest = max(scenes, key=lambda scene: len(scene.dates))
    steps = len(longest.dates)
    if steps < 2:
        raise DataError(
            f"'{longest.paths[0]}' is the only date of its series; a series has at least two. For single "
            "dates leave {date} out of 'images'."
        )
    short = [scene for scene in scenes if len(scene.dates) < steps]
    if not short:
        return
    first = short[0]
    full = {scene.dates for scene in scenes if len(scene.dates) == steps}
    missing = sorted(set(longest.dates) - set(first.dates)) if len(full) == 1 else []
    said = ""
    if missing and set(first.dates) < set(longest.dates):
        said = f": missing {', '.join(map(str, missing[:4]))}{' ...' if len(missing) > 4 else ''}"
    others = f" {len(short) - 1} more series are short too." if len(short) > 1 else ""
    raise DataError(
        f"All series have one number of dates: that of '{first.paths[0]}' has {len(first.dates)}, that of "
        f"'{longest.paths[0]}' has {steps}{said}.{others} Add the dates (files of nodata where nothing was "
        "seen), or take out what others lack."
    )


def _dated_pair(before: Match, after: Match) -> SceneFiles:
    if before.path == after.path:
        raise ConfigError(
            f"'{before.path}' is found by 'images' and by 'after'. Name the later image in 'after'."
        )
    paths, days = (before.path, after.path), (_day_of(before), _day_of(after))
    if days[0] is None or days[1] is None:
        return SceneFiles(before, paths, ())
    if days[1] < days[0]:
        raise DataError(
            f"'after' is the later date, but '{after.path}' ({days[1]}) is earlier than '{before.path}' "
            f"({days[0]}). Exchange 'images' and 'after'."
        )
    return SceneFiles(before, paths, (days[0], days[1]))


def _day_of(match: Match) -> date | None:
    """The one date in a file's name, else in its path under the root, if there is one."""
    for text in (Path(match.path).name, match.full_id):
        found = find_dates(text)
        if len(found) == 1:
            return found[0]
    return None


def _pair(first: list[Match], second: list[Match], words: _Words) -> list[tuple[Match, Match]]:
    """Pair by what the wildcards matched; every misfit goes into one message."""
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    first_by, second_by = _by_key(first), _by_key(second)
    doubled = any(len(held) > 1 for held in (*first_by.values(), *second_by.values()))
    if doubled and _pattern_count(first) == _pattern_count(second) > 1:
        # "train/*.tif" and "test/*.tif" may hold the same names: then the first pattern of the
        # images goes with the first of the labels, and so on.
        first_by, second_by = _by_key(first, with_pattern=True), _by_key(second, with_pattern=True)
    one, many = words.one, words.many
    misfits = [
        *(_doubled(many[0], held, one[1]) for held in first_by.values() if len(held) > 1),
        *(_doubled(many[1], held, one[0]) for held in second_by.values() if len(held) > 1),
    ]
    for what, have, other in (
        (f"{many[0]} without {one[1]}", first_by, second_by),
        (f"{many[1]} without {one[0]}", second_by, first_by),
    ):
        alone = [held[0].path for key, held in have.items() if key not in other]
        if alone:
            misfits.append(f"{len(alone)} {what}: {some_of(alone)}")
    if misfits:
        raise DataError(
            f"{words.both} do not pair up: {'; '.join(misfits)}. What the wildcards of '{words.options[0]}' "
            f"and of '{words.options[1]}' match must be the same text for an {one[0]} and its {one[1]}; "
            "correct the patterns or files."
        )
    return [(held[0], second_by[key][0]) for key, held in first_by.items()]


def _by_key(matches: list[Match], *, with_pattern: bool = False) -> dict[tuple[str, ...], list[Match]]:
    held: dict[tuple[str, ...], list[Match]] = defaultdict(list)
    for match in matches:
        held[(str(match.pattern), *match.key) if with_pattern else match.key].append(match)
    return dict(held)


def _pattern_count(matches: list[Match]) -> int:
    return max(match.pattern for match in matches) + 1


def _doubled(what: str, held: list[Match], partner: str) -> str:
    return f"{len(held)} {what} for one {partner}: {some_of([match.path for match in held])}"
