"""Labels that come as text (folder names, cells of a table): from what is written to the class."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.recipe import IGNORE, MapClass


def class_codes(
    texts: Sequence[str], classes: Sequence[MapClass], *, ignore: Sequence[int | str] = (), where: str
) -> dict[str, int]:
    """Find the class that each text stands for.

    A class is meant by its label values or, where the configuration gives it none, by its name. Where
    that does not explain all texts, but the places of the classes in their list do, these are meant.

    Args:
        texts: All different labels that occur.
        classes: The classes, in the order of their indices.
        ignore: Labels that mean "no label".
        where: What holds the labels, for the message.

    Returns:
        For each text the index of its class, or `IGNORE`.

    Raises:
        DataError: A text is no class's.
        ConfigError: A text would stand for two classes, or for a class and for "no label".
    """
    ignored = {str(value) for value in ignore}
    by_name = _codes(classes, by_place=False)
    by_place = _codes(classes, by_place=True)
    for codes in (by_name, by_place):
        if all(text in codes or text in ignored for text in texts):
            both = sorted(ignored & codes.keys())
            if both:
                raise ConfigError(f"'{both[0]}' is a class and in 'ignore'. Take it out of one of them.")
            return {text: codes.get(text, IGNORE) for text in texts}
    unknown = sorted(text for text in texts if text not in by_name and text not in ignored)
    raise DataError(
        f"{where} has {len(unknown)} labels that are no class: {_some(unknown)}. "
        f"{unknown_name('class', unknown[0], by_name)} Correct the labels, or "
        "add it to 'classes'."
    )


def encode(
    texts: Sequence[str] | NDArray[np.str_],
    classes: Sequence[MapClass],
    *,
    ignore: Sequence[int | str] = (),
    where: str,
) -> NDArray[np.int64]:
    """Class of each text, `(n,)`, or `IGNORE`; see `class_codes`."""
    distinct, places = np.unique(np.asarray(texts, dtype=np.str_), return_inverse=True)
    codes = class_codes(distinct.tolist(), classes, ignore=ignore, where=where)
    return np.array([codes[text] for text in distinct.tolist()], np.int64)[places]


def encode_several(
    texts: Sequence[Sequence[str]], classes: Sequence[MapClass], *, where: str
) -> NDArray[np.int64]:
    """0 and 1 for each class, `(n, K)`, from the labels of each item."""
    distinct = sorted({text for labels in texts for text in labels})
    codes = class_codes(distinct, classes, where=where)
    result = np.zeros((len(texts), len(classes)), np.int64)
    for row, labels in zip(result, texts, strict=True):
        row[[codes[text] for text in labels]] = 1
    return result


def _codes(classes: Sequence[MapClass], *, by_place: bool) -> Mapping[str, int]:
    codes: dict[str, int] = {}
    for index, entry in enumerate(classes):
        # `parse_classes` gives a class without label value its place as the only value.
        texts = entry.values if by_place or entry.values != (index,) else (entry.name,)
        for text in map(str, texts):
            if codes.setdefault(text, index) != index:
                raise ConfigError(
                    f"The label '{text}' stands for two classes, '{classes[codes[text]].name}' and "
                    f"'{entry.name}'. Give each its own value."
                )
    return codes


def _some(texts: Sequence[str], most: int = 4) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(f"'{text}'" for text in texts[:most]) + more
