"""What a checkpoint must say, beside its weights, so that a scene alone is enough to make a map.

Plain values only: a recipe is stored as a dictionary of strings, numbers and lists, which
`torch.load(weights_only=True)` and JSON both read. This module imports neither torch nor rasterio.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from eoseg.errors import BandError, CheckpointError, ConfigError, unknown_name

IGNORE = 255
"""The label value for "no label", in tensors and on disk; also the nodata value of class maps."""

RECIPE_VERSION = 2

CALIBRATED_VERSION = 3
"""Of recipes with a calibration, so that an eoseg which knows none refuses them."""

type Plain = str | int | float | bool | list[Any] | dict[str, Any] | None
"""A value that JSON can hold. Not written recursively: jsonargparse follows type aliases to their end."""

type Color = tuple[int, int, int]
"""Red, green and blue, each 0 to 255."""

type ClassSpec = (
    Sequence[str]
    | Mapping[str, str | int | Sequence[str | int] | Mapping[str, str | int | Sequence[str | int]]]
)
"""How a configuration names classes: see `parse_classes`."""

# Colours for classes that name none: Okabe and Ito (2008), then Tol's "muted" scheme. Both were made
# to be told apart by colour-blind readers. https://jfly.uni-koeln.de/color/
_PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"),
    *("#332288", "#882255", "#44AA99", "#117733", "#AA4499", "#DDCC77", "#CC6677", "#88CCEE"),
)


@dataclass(frozen=True, slots=True)
class MapClass:
    """One class of a map. Its index is its place in the schema's list."""

    name: str
    values: tuple[int | str, ...]
    """What stands for the class in the labels: raster values, attribute values or layer names."""
    color: Color


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a regression estimates."""

    name: str
    unit: str = ""


type Time = Literal["single", "pair", "series"]
"""One date, two dates on which to find change, or any number of dates."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What the pixels of a scene and of its map mean."""

    bands: tuple[str, ...]
    """Names of the bands that the model takes, in its order."""
    classes: tuple[MapClass, ...]
    """The classes; none where a quantity is estimated."""
    file_bands: tuple[str, ...] = ()
    """Names of all bands of the training files, in file order."""
    bands_named_by_config: bool = False
    """True when the training files do not name their bands and the configuration does."""
    nodata: float | None = None
    """Nodata value that the configuration set where the training files declare none."""
    pixel_size: tuple[float, float] | None = None
    """Width and height of a training pixel in units of the CRS; None without georeference."""
    pixel_metres: float | None = None
    """Side of a training pixel in metres; None without georeference, and where it was not noted yet."""
    time: Time = "single"
    """How many dates a sample has."""
    steps: int = 1
    """T, the number of dates of a sample: 1, 2 for a pair, any for a series."""
    quantity: Quantity | None = None
    """What is estimated, instead of classes."""
    multilabel: bool = False
    """Whether a chip may have several of the classes."""

    def __post_init__(self) -> None:
        for kind, names in (("band", self.bands), ("class", [c.name for c in self.classes])):
            repeated = sorted({name for name in names if list(names).count(name) > 1})
            if repeated:
                raise ConfigError(f"Each {kind} may be named once; found twice: {', '.join(repeated)}.")
        if not self.bands:
            raise ConfigError("A schema needs at least one band; found none.")
        if len(self.classes) > IGNORE:
            raise ConfigError(f"At most {IGNORE} classes fit a uint8 map; found {len(self.classes)}.")
        if self.quantity is not None and self.classes:
            raise ConfigError(
                f"A model gives classes or a quantity; found {len(self.classes)} classes and the quantity "
                f"'{self.quantity.name}'. Leave one out."
            )
        least, most = {"single": (1, 1), "pair": (2, 2), "series": (1, None)}[self.time]
        if self.steps < least or (most is not None and self.steps > most):
            raise ConfigError(f"A sample of time '{self.time}' cannot have {self.steps} dates.")

    @property
    def outputs(self) -> int:
        """K, the numbers that a network gives per pixel or chip: one per class, or the quantity."""
        return len(self.classes) or 1

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, in the order of their indices."""
        return [entry.name for entry in self.classes]


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Values of one band over the valid training pixels, in file units times scale plus offset."""

    name: str
    mean: float
    std: float
    minimum: float
    low: float
    """2nd percentile, estimated from a seeded sample."""
    high: float
    """98th percentile, estimated from a seeded sample."""
    maximum: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts and values over the training pixels, and only those."""

    bands: tuple[BandStatistics, ...]
    dtype: str
    """Data type of the training files, such as "uint16"."""
    pixels: int
    """Training pixels inside the scenes, valid or not."""
    valid_pixels: int
    class_pixels: tuple[int, ...]
    """Labelled valid pixels per class; chips where chips are labelled; one count for a quantity."""
    target: BandStatistics | None = None
    """Labels of a quantity over the training pixels, in its unit."""

    @property
    def nodata_share(self) -> float:
        """Share of training pixels without a value, 0 to 1."""
        return 1 - self.valid_pixels / self.pixels if self.pixels else 0.0

    @property
    def balanced_weights(self) -> tuple[float, ...]:
        """Class weights n / (K * n_k): each class that occurs counts the same. Absent classes get 1.

        Here n_k is the count of labelled pixels of class k, n their sum over the K classes that
        occur (King and Zeng 2001; scikit-learn's "balanced").
        """
        occurring = [count for count in self.class_pixels if count]
        return tuple(
            sum(occurring) / (len(occurring) * count) if count else 1.0 for count in self.class_pixels
        )


type ScalingMethod = Literal["temperature", "vector"]
"""One number for all logits, or a scale and a shift for each class."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The calibration of a network: softmax of `scale * logits + bias` gives its probabilities."""

    method: ScalingMethod
    scale: tuple[float, ...]
    """For each class; one over the temperature."""
    bias: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything but the weights."""

    task: str
    """Name of the task class, such as "SegmentationTask"."""
    schema: Schema
    statistics: Statistics
    network: dict[str, Plain]
    """Arguments of `eoseg.models.build_network` (kind, arch, args), without weights to download."""
    chip_size: int
    """Height and width of a training chip in pixels."""
    output_stride: int
    """Heights and widths that the network takes are multiples of this."""
    provenance: dict[str, Plain] = field(default_factory=dict)
    """Versions, git revision, split hash, seed, which metric chose the checkpoint."""
    threshold: float | None = None
    """Probability of the second class from which it is mapped; None for the likeliest class."""
    scaling: Scaling | None = None
    """The calibration, which is the network's last layer; None without one."""

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values."""
        values = _plain(dataclasses.asdict(self))
        if self.scaling is None:
            del values["scaling"]
        version = RECIPE_VERSION if self.scaling is None else CALIBRATED_VERSION
        return {"recipe_version": version, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a recipe from `to_dict`.

        Raises:
            CheckpointError: The values are of another version of eoseg, or incomplete.
        """
        version = values.get("recipe_version")
        if version not in (RECIPE_VERSION, CALIBRATED_VERSION):
            raise CheckpointError(
                f"The checkpoint's recipe has version {version}; this eoseg reads version {RECIPE_VERSION} "
                f"and {CALIBRATED_VERSION}. Use the eoseg version that wrote the checkpoint."
            )
        try:
            return cls(
                task=values["task"],
                schema=_schema_from_dict(values["schema"]),
                statistics=_statistics_from_dict(values["statistics"]),
                network=dict(values["network"]),
                chip_size=values["chip_size"],
                output_stride=values["output_stride"],
                provenance=dict(values["provenance"]),
                threshold=values["threshold"],
                scaling=_scaling_from_dict(values["scaling"]) if version == CALIBRATED_VERSION else None,
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise CheckpointError(
                f"The checkpoint's recipe is incomplete ({error}). Train again, or use another file."
            ) from error


def parse_classes(spec: ClassSpec) -> tuple[MapClass, ...]:
    """Read classes as a configuration names them.

    Accepted are a list of names (label value = place in the list), or a mapping from each name to
    its colour ("#RRGGBB"; label value = place in the list), to the label value or values that stand
    for it (a raster value, an attribute value or a layer name), or to `{value: ..., color: ...}`.

    Raises:
        ConfigError: A colour is not "#RRGGBB", or two classes have one value or one colour.
    """
    entries: Mapping[str, Any] = spec if isinstance(spec, Mapping) else dict.fromkeys(spec)
    if len({str(name) for name in entries}) != len(spec):
        raise ConfigError(f"Each class may be named once; found {', '.join(map(str, spec))}.")
    read = {str(name): _value_and_color(str(name), entry) for name, entry in entries.items()}
    given = {name: parse_color(color) for name, (_, color) in read.items() if color is not None}
    _require_unique("colour", [format_color(color) for color in given.values()])
    taken = set(given.values())
    free = [color for color in map(parse_color, _PALETTE) if color not in taken] or [(128, 128, 128)]
    classes: list[MapClass] = []
    for index, (name, (value, _)) in enumerate(read.items()):
        # Beyond the palette colours repeat: more than 16 cannot be told apart in any case.
        color = given.get(name) or free[(index - sum(entry.name in given for entry in classes)) % len(free)]
        classes.append(MapClass(name, (index,) if value is None else value, color))
    _require_unique("label value", [str(value) for entry in classes for value in entry.values])
    return tuple(classes)


def parse_color(text: str) -> Color:
    """Read "#RRGGBB".

    Raises:
        ConfigError: The text is no such colour.
    """
    try:
        # YAML reads 112233 without quotation marks as a number.
        red, green, blue = bytes.fromhex(str(text).removeprefix("#"))
    except ValueError:
        raise ConfigError(f"A colour is written '#RRGGBB', such as '#1F78B4'; found '{text}'.") from None
    return red, green, blue


def format_color(color: Color) -> str:
    """Write a colour as "#RRGGBB"."""
    return "#" + bytes(color).hex().upper()


def match_bands(wanted: Sequence[str], available: Sequence[str], *, where: str) -> list[int]:
    """Find each wanted band among the available ones.

    Args:
        wanted: Names of the bands to find.
        available: Names of the bands that are there, in their order.
        where: What holds the available bands, for the message.

    Returns:
        For each wanted band its 0-based place among the available ones.

    Raises:
        BandError: A band is not there, or is there twice.
    """
    names = list(available)
    for band in wanted:
        if band not in names:
            raise BandError(
                f"{where} has the bands {', '.join(names)}, but '{band}' is needed. "
                + unknown_name("band", band, names)
            )
        if names.count(band) > 1:
            raise BandError(f"{where} has {names.count(band)} bands named '{band}'; names must be unique.")
    return [names.index(band) for band in wanted]


def _require_unique(kind: str, held: Sequence[str]) -> None:
    repeated = sorted({item for item in held if held.count(item) > 1})
    if repeated:
        raise ConfigError(f"Each {kind} may stand for one class; found twice: {', '.join(repeated)}.")


def _value_and_color(name: str, entry: Any) -> tuple[tuple[int | str, ...] | None, str | None]:
    """Split what a configuration says of a class into label values and colour."""
    if entry is None:
        return None, None
    if isinstance(entry, Mapping):
        unknown = set(entry) - {"value", "color"}
        if unknown:
            raise ConfigError(unknown_name(f"key of class '{name}'", sorted(unknown)[0], ["value", "color"]))
        value = entry.get("value")
        return (None if value is None else _label_values(name, value)), entry.get("color")
    if isinstance(entry, str) and entry.startswith("#"):
        return None, entry
    return _label_values(name, entry), None


def _label_values(name: str, value: Any) -> tuple[int | str, ...]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    wrong = [entry for entry in values if isinstance(entry, bool) or not isinstance(entry, (int, str))]
    if wrong or not values:
        found = repr(wrong[0]) if wrong else "an empty list"
        raise ConfigError(
            f"Class '{name}' has {found} as its label value; expected an integer, a name, or a list of them."
        )
    return values


def _plain(value: Any) -> Any:
    """Turn tuples into lists, all the way down."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _schema_from_dict(values: Mapping[str, Any]) -> Schema:
    size = values["pixel_size"]
    return Schema(
        bands=tuple(values["bands"]),
        classes=tuple(
            MapClass(
                entry["name"],
                tuple(entry["values"]),
                (entry["color"][0], entry["color"][1], entry["color"][2]),
            )
            for entry in values["classes"]
        ),
        file_bands=tuple(values["file_bands"]),
        bands_named_by_config=values["bands_named_by_config"],
        nodata=values["nodata"],
        pixel_size=None if size is None else (size[0], size[1]),
        pixel_metres=values.get("pixel_metres"),  # older checkpoints do not say it
        time=values["time"],
        steps=values["steps"],
        quantity=None if values["quantity"] is None else Quantity(**values["quantity"]),
        multilabel=values["multilabel"],
    )


def _scaling_from_dict(values: Mapping[str, Any]) -> Scaling:
    return Scaling(values["method"], tuple(values["scale"]), tuple(values["bias"]))


def _statistics_from_dict(values: Mapping[str, Any]) -> Statistics:
    return Statistics(
        bands=tuple(BandStatistics(**entry) for entry in values["bands"]),
        dtype=values["dtype"],
        pixels=values["pixels"],
        valid_pixels=values["valid_pixels"],
        class_pixels=tuple(values["class_pixels"]),
        target=None if values["target"] is None else BandStatistics(**values["target"]),
    )
