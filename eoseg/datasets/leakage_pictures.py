"""What the audits say of pictures and groups that two splits share, whatever the data are."""

from collections.abc import Sequence

import numpy as np

from eoseg.datasets.item_split import ItemSplit
from eoseg.datasets.leakage import Check, Level, count_of, some
from eoseg.datasets.leakage_ground import PARTS

_SAME = 0.99
"""Correlation from which two pictures are surely one; below it they may only be alike."""

type NamedPair = tuple[str, str, float, tuple[str, str]]
"""Two chips, their correlation, and their splits."""


def duplicate_check(
    pairs: Sequence[NamedPair], *, compared: int, is_benchmark: bool, is_cut: bool = False
) -> Check:
    """Judge chips of different splits that show one picture: an error where that is sure, else a warning.

    Args:
        pairs: What was found.
        compared: Chips that were looked at.
        is_benchmark: Whether the split is a benchmark's own, which its user cannot mend.
        is_cut: Whether the chips are cut from scenes, where simple shapes may look the same: then a warning.
    """
    if not pairs:
        text = f"No chip of one split is in another one too ({compared:,} compared)."
        return Check("duplicates", "clean", text, {"compared": compared})
    counts = {splits: sum(pair[3] == splits for pair in pairs) for splits in PARTS}
    said = ", ".join(f"{count:,} in {one} and {other}" for (one, other), count in counts.items() if count)
    first = pairs[0]
    is_sure = max(pair[2] for pair in pairs) >= _SAME
    remedy = "" if is_benchmark else " Take one of each pair out, or keep them together by 'groups' or files."
    text = (
        f"{count_of(len(pairs), 'pair')} of chips {'show' if is_sure else 'may show'} one picture, perhaps "
        f"brighter, compressed or turned: {said} "
        f"(first: '{first[0]}' and '{first[1]}', correlation {first[2]:.2f}).{remedy}"
    )
    numbers = {f"{one}-{other}": count for (one, other), count in counts.items()}
    level: Level = "error" if is_sure and not (is_benchmark or is_cut) else "warning"
    names = some([f"{one} and {other}" for one, other, _, _ in pairs])
    return Check("duplicates", level, text, {**numbers, "compared": compared}, names)


def check_groups(split: ItemSplit, groups: Sequence[str] | None) -> Check:
    """Judge groups (scenes, fields) of which two splits hold items."""
    if groups is None:
        text = "The data name no groups, such as the scene or the field of each item."
        return Check("source", "unknown", text)
    names = np.asarray(groups, np.str_)
    tested = "test" if len(split.of("test")) else "val"
    ours = set(names[split.of("train")].tolist())
    theirs = set(names[split.of(tested)].tolist())
    both = sorted(ours & theirs)
    numbers = {"groups on both sides": len(both), f"groups in {tested}": len(theirs)}
    if not both:
        return Check("source", "clean", f"train and {tested} share no group.", numbers)
    text = (
        f"{len(both)} of {len(theirs)} groups of the {tested} split are in train too: their items are "
        "alike, so "
        "figures are too good. Use split.method groups."
    )
    return Check("source", "warning", text, numbers, some(both))
