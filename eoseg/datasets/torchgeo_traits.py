"""What torchgeo's data sets mean by their samples, where their attributes do not say it or say it wrongly.

Read from torchgeo 0.10.1; `tests/datasets/test_torchgeo_traits.py` holds each of these against its source.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from eoseg.errors import DataError
from eoseg.recipe import ClassSpec, MapClass, format_color, parse_classes

_LOVEDA = ("background", "building", "road", "water", "barren", "forest", "agriculture")

_NAMES = ("imgs", "files", "image_fns", "ids", "folders", "filenames", "images", "paths")
"""Attributes in which torchgeo's data sets list their samples."""


@dataclass(frozen=True)
class Traits:
    """What is particular about a data set."""

    bands: Callable[[Any], Sequence[str]] | None = None
    """Names of the bands, where the attribute `bands` is missing, wrong or no list."""
    classes: Callable[[Any], ClassSpec] | None = None
    """The classes, where the attribute `classes` is missing or is not in the order of the values."""
    ignore: tuple[int, ...] = ()
    """Values of the mask that mean "no label"."""
    nodata: float | None = None
    """Value of a pixel that was not seen."""
    unordered: bool = False
    """Whether its list of files has the order of the file system, so that a split by number has it too."""
    paired_by_place: bool = False
    """Whether files of one sample are those at the same place in sorted lists; their names must agree."""
    days: Callable[[Any], list[list[int]]] | None = None
    """Of a series, the days of the year of each sample."""
    folds: bool = False
    """Whether the data set comes with folds, which are its split."""


def traits_of(dataset: Any) -> Traits:
    """What is particular about a data set, by its class or one that it is derived from."""
    for entry in type(dataset).__mro__:
        if entry.__name__ in _TRAITS:
            return _TRAITS[entry.__name__]
    return Traits()


def default_bands(dataset: Any, count: int) -> list[str]:
    """Names of the bands as the images hold them.

    Args:
        dataset: A data set of torchgeo.
        count: How many bands its images have.
    """
    traits = traits_of(dataset)
    named = traits.bands(dataset) if traits.bands else attribute_of(dataset, "bands")
    if isinstance(named, (list, tuple)) and len(named) == count and all(isinstance(n, str) for n in named):
        return list(named)
    return ["red", "green", "blue"] if count == 3 else [f"band_{n}" for n in range(1, count + 1)]


def default_classes(dataset: Any) -> tuple[MapClass, ...] | None:
    """All classes of a data set with their values and, where it has them, colours; None if it names none."""
    traits = traits_of(dataset)
    found = traits.classes(dataset) if traits.classes else attribute_of(dataset, "classes")
    if isinstance(found, (list, tuple)) and all(isinstance(name, str) for name in found):
        colors = _colors(dataset, len(found))
        return parse_classes(dict(zip(found, colors, strict=True)) if colors else list(found))
    return parse_classes(found) if isinstance(found, Mapping) and found else None


def attribute_of(dataset: Any, name: str) -> Any:
    """An attribute of a data set, or of one of those that it is put together from."""
    for part in (dataset, *getattr(dataset, "datasets", ())):
        if getattr(part, name, None) is not None:
            return getattr(part, name)
    return None


def sample_names(dataset: Any) -> list[str]:
    """What identifies each sample, the same on every machine: its file below the root, else its number."""
    count = len(dataset)
    for attribute in _NAMES:
        held = getattr(dataset, attribute, None)
        if isinstance(held, (list, tuple)) and len(held) == count:
            root = str(getattr(dataset, "root", ""))
            return [_file_name(entry, root) or str(number) for number, entry in enumerate(held)]
    split = getattr(dataset, "split", type(dataset).__name__)
    return [f"{split}/{number}" for number in range(count)]


def put_in_order(dataset: Any) -> None:
    """Give a list of files that has the order of the file system the order of its names.

    Raises:
        DataError: Files that were put together by their place in a list do not belong together.
    """
    traits = traits_of(dataset)
    if traits.unordered:
        dataset.files.sort(key=lambda entry: json.dumps(entry, sort_keys=True, default=str))
    for entry in dataset.files if traits.paired_by_place else ():
        if len({PurePath(path).name for path in entry.values()}) > 1:
            raise DataError(
                f"{', '.join(map(str, entry.values()))} do not belong together: a file is missing or too "
                "much. Download the data set again."
            )


def _file_name(entry: Any, root: str) -> str:
    if isinstance(entry, Mapping):
        entry = next((value for value in entry.values() if isinstance(value, (str, PurePath))), "")
    elif isinstance(entry, (list, tuple)):
        entry = entry[0] if entry else ""
    path = PurePath(str(entry).strip())
    return (path.relative_to(root) if root and path.is_relative_to(root) else path).as_posix()


def _colors(dataset: Any, count: int) -> list[str] | None:
    """Colours of the classes in the order of their values, where a data set has one for each."""
    held = attribute_of(dataset, "colormap")
    if held is None:
        shares = getattr(attribute_of(dataset, "cmap"), "colors", ())
        held = [[round(255 * float(part)) for part in color] for color in shares]
    if not isinstance(held, (list, tuple)) or len({tuple(color[:3]) for color in held}) != count:
        return None
    red_green_blue = [(int(color[0]), int(color[1]), int(color[2])) for color in held]
    return [format_color(color) for color in red_green_blue]


def _bigearthnet_bands(dataset: Any) -> list[str]:
    # Sorted by file name, VH comes before VV; torchgeo's documentation has it the other way round.
    radar = ["VH", "VV"]
    optical = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
    return {"s1": radar, "s2": optical, "all": radar + optical}[dataset.bands]


def _pastis_days(dataset: Any) -> list[list[int]]:
    """Days of the year of each patch, from the file that names patches and folds."""
    path = Path(dataset.root) / dataset.directory / "metadata.geojson"
    key = f"dates-{dataset.image_key.upper()}"
    try:
        found = {
            entry["properties"]["ID_PATCH"]: _dates(entry["properties"][key])
            for entry in json.loads(path.read_text(encoding="utf-8"))["features"]
        }
        return [[day.timetuple().tm_yday for day in found[patch]] for patch in dataset.idxs]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"'{path}' does not give the dates of each patch under '{key}' ({error!r}). Download it again."
        ) from error


def _dates(entry: Any) -> list[datetime]:
    """Dates written as `{"0": 20180917, ...}`, in the order of their numbers."""
    held = json.loads(entry) if isinstance(entry, str) else entry
    return [datetime.strptime(str(held[number]), "%Y%m%d") for number in sorted(held, key=int)]


def _unchanged_changed(_: Any) -> ClassSpec:
    return ["unchanged", "changed"]


_TRAITS = {
    "BigEarthNet": Traits(
        bands=_bigearthnet_bands, classes=lambda dataset: list(dataset.class_sets[dataset.num_classes])
    ),
    # The attribute has "no-data" last, the masks have it as 0.
    "LoveDA": Traits(classes=lambda _: {name: n for n, name in enumerate(_LOVEDA, start=1)}, ignore=(0,)),
    "DeepGlobeLandCover": Traits(ignore=(6,)),  # "Unknown"
    "Potsdam2D": Traits(bands=lambda _: ("red", "green", "blue", "nir")),
    # torchgeo calls it RGB; the tiles are near infrared, red and green.
    "Vaihingen2D": Traits(bands=lambda _: ("nir", "red", "green")),
    "L8Biome": Traits(ignore=(0,), nodata=0),
    "OSCD": Traits(classes=_unchanged_changed, unordered=True),
    "LEVIRCDBase": Traits(classes=_unchanged_changed, paired_by_place=True),
    "PASTIS": Traits(ignore=(19,), days=_pastis_days, folds=True),  # parcels mostly outside their patch
}
