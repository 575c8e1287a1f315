"""What a configuration says of the data. Plain dataclasses: no torch, no rasterio."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from eoseg.errors import ConfigError
from eoseg.recipe import ClassSpec, MapClass, Plain, parse_classes


@dataclass(frozen=True)
class SceneSource:
    """Where scenes and labels are, and what they mean.

    Args:
        images: One or more globs. What the wildcards match pairs an image with its label:
            "Tile */images/*.jpg" goes with "Tile */masks/*.png", "*_sat.tif" with "*_mask.tif".
        labels: One or more globs of rasters, or vector files (which then apply to all scenes).
        classes: Names of the classes, with label values or colours: see `eoseg.recipe.parse_classes`.
        root: Folder that the paths are relative to; the working directory by default.
        bands: Names of the bands to use, in this order; all by default.
        band_names: Names for all bands of files that name none, in file order.
        nodata: Value that means "no value", where the files do not declare it.
        label_encoding: Whether label rasters hold class values or the classes' colours.
        ignore: Label values, colours, attribute values or layers that mean "no label".
        attribute: For vectors, the attribute that holds the class; without it each layer is a class.
    """

    images: str | list[str]
    labels: str | list[str]
    classes: ClassSpec
    root: str | None = None
    bands: list[str] | None = None
    band_names: list[str] | None = None
    nodata: float | None = None
    label_encoding: Literal["values", "colors"] = "values"
    ignore: list[int | str] = field(default_factory=list)
    attribute: str | None = None

    def __post_init__(self) -> None:
        for option, patterns in (("images", self.images), ("labels", self.labels)):
            if not patterns or not all(as_list(patterns)):
                raise ConfigError(f"'{option}' names no file. Give a path or a glob, such as {option}/*.tif.")
        for option, names in (("bands", self.bands), ("band_names", self.band_names)):
            repeated = sorted({name for name in names or () if (names or []).count(name) > 1})
            if repeated or names == []:
                raise ConfigError(
                    f"'{option}' must name bands once each; found {', '.join(names or ['none'])}."
                )
        if len(self.map_classes) < 2:
            raise ConfigError("A map needs at least two classes; found fewer. Name one for 'the rest'.")

    @property
    def map_classes(self) -> tuple[MapClass, ...]:
        """The classes, in the order of their indices."""
        return parse_classes(self.classes)


@dataclass(frozen=True)
class SplitConfig:
    """How scenes are divided into training, validation and test pixels.

    Args:
        method: "blocks": spatial blocks with a buffer between splits. "files": whole scenes, named by
            `val` and `test`. "random": random chips, whose neighbours leak: only to compare with others.
        val: Share of labelled pixels for validation (blocks, random), or globs on scene ids (files).
        test: The same for the test split.
        block_size: Height and width of a block in pixels (blocks); chosen from the data by default.
        buffer: Width in pixels of the gap between splits (blocks); a quarter of a chip by default.
        seed: Which of the possible splits is drawn (blocks, random).
        path: An existing split.json, which is used as it is; other options may only repeat what it says.
    """

    method: Literal["blocks", "files", "random"] = "blocks"
    val: float | list[str] = 0.2
    test: float | list[str] = 0.2
    block_size: int | None = None
    buffer: int | None = None
    seed: int = 0
    path: str | None = None

    def __post_init__(self) -> None:
        if self.method == "files" and self.path is None:
            self._require_defaults("split.method is 'files'", {"method", "val", "test"})
            if not isinstance(self.val, list) or not isinstance(self.test, list):
                raise ConfigError(
                    "split.method 'files' needs globs on scene ids in 'val' and in 'test' ([] for none); "
                    f"found val: {self.val}, test: {self.test}."
                )
        elif self.path is None:
            self._check_shares()
        if self.method == "random" and self.path is None:
            self._require_defaults("split.method is 'random'", {"method", "val", "test", "seed"})
        if self.block_size is not None and self.block_size < 1:
            raise ConfigError(f"split.block_size must be at least 1 pixel; found {self.block_size}.")
        if self.buffer is not None and self.buffer < 0:
            raise ConfigError(f"split.buffer must not be negative; found {self.buffer}.")

    def _check_shares(self) -> None:
        for name, share in (("val", self.val), ("test", self.test)):
            if isinstance(share, list):
                raise ConfigError(
                    f"split.{name} lists files, but split.method is '{self.method}'. Set method: files, "
                    "or give a share such as 0.2."
                )
            if not 0 <= share < 1:
                raise ConfigError(f"split.{name} is a share of at least 0 and below 1; found {share}.")
        if sum(self.shares) <= 0 or self.shares[0] <= 0:
            raise ConfigError(f"split.val and split.test leave no training pixels: {self.val} + {self.test}.")

    def _require_defaults(self, reason: str, allowed: set[str]) -> None:
        """An option that would have no effect is an error."""
        for name, entry in type(self).__dataclass_fields__.items():
            if name not in {"path", *allowed} and getattr(self, name) != entry.default:
                raise ConfigError(f"{reason}, so split.{name} has no effect. Leave it out.")

    @property
    def chosen(self) -> dict[str, Plain]:
        """The options that differ from their defaults, but for `path`."""
        return {
            name: getattr(self, name)
            for name, entry in type(self).__dataclass_fields__.items()
            if name != "path" and getattr(self, name) != entry.default
        }

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, val and test; only where they are given as shares."""
        val = 0.0 if isinstance(self.val, list) else self.val
        test = 0.0 if isinstance(self.test, list) else self.test
        return 1 - val - test, val, test


@dataclass(frozen=True)
class AugmentStep:
    """One further augmentation.

    Args:
        name: A class of `kornia.augmentation`, such as RandomAffine or RandomGaussianNoise.
        args: Its arguments.
    """

    name: str
    args: dict[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training chips.

    Args:
        flips_and_rotations: One of the eight flips and right-angle rotations, drawn for each chip.
        more: Further augmentations, in this order; see `eoseg.datasets.augment`.
    """

    flips_and_rotations: bool = True
    more: list[AugmentStep] = field(default_factory=list)


def as_list(patterns: str | Sequence[str]) -> list[str]:
    """One or more patterns as a list."""
    return [patterns] if isinstance(patterns, str) else list(patterns)


def check_chip_size(chip_size: int) -> None:
    """Refuse chip sizes that no network takes.

    Raises:
        ConfigError: It is below 8 pixels.
    """
    if chip_size < 8:
        raise ConfigError(f"chip_size must be at least 8 pixels; found {chip_size}. 128 to 512 are usual.")
