"""What a configuration says of the data. Plain dataclasses: no torch, no rasterio."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from eoseg.errors import ConfigError
from eoseg.recipe import ClassSpec, MapClass, Plain, Quantity, Time, parse_classes

DATE, ANY = "{date}", "{any}"
"""Words in the patterns of files: a date, and text that says nothing; see `eoseg.datasets.patterns`."""


@dataclass(frozen=True)
class SceneSource:
    """Where scenes and labels are, and what they mean.

    A scene has one date; or two, where `after` names the later images; or any number, where `images`
    holds the word {date}: files that differ in their date alone are then one series. Without `labels`
    every valid pixel takes part, for tasks that learn without labels.

    Args:
        images: One or more globs. What the wildcards match pairs an image with its label:
            "Tile */images/*.jpg" goes with "Tile */masks/*.png", "*_sat.tif" with "*_mask.tif". For a
            series {date} stands for the date: "site_*/S2_{date}.tif". In any glob {any} stands for text
            that differs from file to file and does not pair.
        labels: One or more globs of rasters, or vector files (which then apply to all scenes); left out
            where there are none.
        classes: Names of the classes, with label values or colours: see `eoseg.recipe.parse_classes`.
        after: For pairs, one or more globs of the later images; `images` are the earlier ones.
        quantity: What the labels measure, such as "canopy height", where they are numbers, not classes;
            pixels with nodata or NaN have no label.
        unit: The quantity's unit, such as "m".
        root: Folder that the paths are relative to; the working directory by default.
        bands: Names of the bands to use, in this order; all by default.
        band_names: Names for all bands of files that name none, in file order.
        nodata: Value that means "no value", where the files do not declare it.
        label_encoding: Whether label rasters hold class values or the classes' colours.
        ignore: Label values, colours, attribute values or layers that mean "no label".
        attribute: For vectors, the attribute that holds the class; without it each layer is a class.
    """

    images: str | list[str]
    labels: str | list[str] | None = None
    classes: ClassSpec | None = None
    after: str | list[str] | None = None
    quantity: str | None = None
    unit: str | None = None
    root: str | None = None
    bands: list[str] | None = None
    band_names: list[str] | None = None
    nodata: float | None = None
    label_encoding: Literal["values", "colors"] = "values"
    ignore: list[int | str] = field(default_factory=list)
    attribute: str | None = None

    def __post_init__(self) -> None:
        for option, patterns in (("images", self.images), ("labels", self.labels), ("after", self.after)):
            if patterns is not None and (not patterns or not all(as_list(patterns))):
                raise ConfigError(f"'{option}' names no file. Give a path or a glob, such as {option}/*.tif.")
        for option, names in (("bands", self.bands), ("band_names", self.band_names)):
            repeated = sorted({name for name in names or () if (names or []).count(name) > 1})
            if repeated or names == []:
                raise ConfigError(
                    f"'{option}' must name bands once each; found {', '.join(names or ['none'])}."
                )
        self._check_dates()
        self._check_meaning()

    def _check_dates(self) -> None:
        images = as_list(self.images)
        dated = [pattern for pattern in images if DATE in pattern]
        for option, patterns in (("labels", self.labels or []), ("after", self.after or [])):
            if any(DATE in pattern for pattern in as_list(patterns)):
                raise ConfigError(
                    f"'{option}' holds {DATE}, which makes series of 'images'; a series has one label, and "
                    f"no 'after'. Take it out; {ANY} stands for text that does not pair."
                )
        if dated and self.after is not None:
            raise ConfigError(
                f"'images' holds {DATE}, so scenes are series, but 'after' makes them pairs. Leave 'after' "
                f"out, or write {ANY} in place of {DATE}."
            )
        if dated and len(dated) != len(images):
            plain = next(pattern for pattern in images if DATE not in pattern)
            raise ConfigError(
                f"'images' mixes series ('{dated[0]}') and single dates ('{plain}'). Write {DATE} in all or "
                "in none."
            )
        twice = [pattern for pattern in dated if pattern.count(DATE) > 1]
        if twice:
            raise ConfigError(f"'{twice[0]}' holds {DATE} twice. Write {ANY} in place of one.")

    def _check_meaning(self) -> None:
        if self.labels is None:
            self._require_no_meaning()
            return
        if (self.classes is None) == (self.quantity is None):
            found = "neither" if self.classes is None else "both"
            raise ConfigError(
                f"Labels are classes or a quantity; found {found}. Give 'classes' (names) or 'quantity' "
                "(what the numbers are); without labels, leave 'labels' out."
            )
        if self.quantity is None:
            if self.unit is not None:
                raise ConfigError(
                    f"unit: {self.unit} is for a quantity, but the labels are classes. Leave it out."
                )
            if len(self.map_classes) < 2:
                raise ConfigError("A map needs at least two classes; found fewer. Name one for 'the rest'.")
            return
        if not self.quantity.strip():
            raise ConfigError("'quantity' is empty. Say what the labels measure, such as 'canopy height'.")
        for option, is_given in (
            ("label_encoding: colors", self.label_encoding != "values"),
            (f"attribute: {self.attribute}", self.attribute is not None),
        ):
            if is_given:
                raise ConfigError(f"{option} is for classes, but the labels are a quantity. Leave it out.")

    def _require_no_meaning(self) -> None:
        """Without labels, what would say something of them has no effect."""
        for option in ("classes", "quantity", "unit", "label_encoding", "ignore", "attribute"):
            value = getattr(self, option)
            if value not in (None, "values", []):
                raise ConfigError(
                    f"'{option}' says what labels mean, but there is no 'labels'. Name the label files, or "
                    f"leave '{option}' out to use the scenes without labels."
                )

    @property
    def map_classes(self) -> tuple[MapClass, ...]:
        """The classes, in the order of their indices; none where the labels are a quantity, or missing."""
        return parse_classes(self.classes) if self.classes is not None else ()

    @property
    def label_quantity(self) -> Quantity | None:
        """What the labels measure; None where they are classes, or missing."""
        return Quantity(self.quantity, self.unit or "") if self.quantity is not None else None

    @property
    def time(self) -> Time:
        """How many dates a scene has."""
        if self.after is not None:
            return "pair"
        return "series" if any(DATE in pattern for pattern in as_list(self.images)) else "single"


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
        folds: Divide into so many folds of like size and classes instead (cross-validation), whole scenes
            with method files; `val` and `test` are then left out.
        fold: Which of the folds is the test split, from 0; the next one (the first after the last) is the
            validation split, all others train.
        groups: Regular expression on scene ids; scenes whose first group (or whole match) is the same stay in
            one fold, such as the parts of one tile (files with folds).
    """

    method: Literal["blocks", "files", "random"] = "blocks"
    val: float | list[str] = 0.2
    test: float | list[str] = 0.2
    block_size: int | None = None
    buffer: int | None = None
    seed: int = 0
    path: str | None = None
    folds: int | None = None
    fold: int = 0
    groups: str | None = None

    def __post_init__(self) -> None:
        self._check_folds()
        self._check_groups()
        if self.folds is not None:
            pass  # `val` and `test` follow
        elif self.method == "files" and self.path is None:
            self._require_defaults("split.method is 'files'", {"method", "val", "test"})
            if not isinstance(self.val, list) or not isinstance(self.test, list):
                raise ConfigError(
                    "split.method 'files' needs globs on scene ids in 'val' and in 'test' ([] for none); "
                    f"found val: {self.val}, test: {self.test}."
                )
        elif self.path is None:
            self._check_shares()
        if self.method == "random" and self.path is None:
            self._require_defaults(
                "split.method is 'random'", {"method", "val", "test", "seed", "folds", "fold"}
            )
        if self.block_size is not None and self.block_size < 1:
            raise ConfigError(f"split.block_size must be at least 1 pixel; found {self.block_size}.")
        if self.buffer is not None and self.buffer < 0:
            raise ConfigError(f"split.buffer must not be negative; found {self.buffer}.")

    def _check_folds(self) -> None:
        if self.folds is None:
            if self.fold:
                raise ConfigError(f"split.fold is {self.fold}, but split.folds is not set. Set both.")
            return
        if self.folds < 3:
            raise ConfigError(
                f"split.folds is at least 3, one each to train, validate and test; found {self.folds}."
            )
        if not 0 <= self.fold < self.folds:
            raise ConfigError(f"split.fold is one of 0 to {self.folds - 1}; found {self.fold}.")
        used = {"method", "seed", "folds", "fold"} | (
            {"block_size", "buffer"} if self.method == "blocks" else set()
        )
        used |= {"groups"} if self.method == "files" else set()
        self._require_defaults(f"split.folds is {self.folds} with method '{self.method}'", used)

    def _check_groups(self) -> None:
        if self.groups is None:
            return
        if self.folds is None and self.path is None:
            raise ConfigError("split.groups keeps scenes in one fold, but split.folds is not set. Set both.")
        try:
            re.compile(self.groups)
        except re.error as error:
            raise ConfigError(
                f"split.groups '{self.groups}' is no regular expression ({error}). Correct it."
            ) from error

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
    def parts(self) -> tuple[float, ...]:
        """Shares of what the labelled blocks are divided into: train, val and test, or the folds."""
        return (1 / self.folds,) * self.folds if self.folds is not None else self.shares

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, val and test; only where they are given as shares."""
        if self.folds is not None:
            return 1 - 2 / self.folds, 1 / self.folds, 1 / self.folds
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
        more: Further augmentations, in this order; see `eoseg.datasets.augment`. All dates of a chip are
            changed alike.
        swap_dates: For pairs, exchange the two dates of every second chip, at random. Only where classes
            are the same both ways: "changed" is, "built" is not.
    """

    flips_and_rotations: bool = True
    more: list[AugmentStep] = field(default_factory=list)
    swap_dates: bool = False

    def check_time(self, time: Time) -> None:
        """Refuse what has no meaning for this number of dates.

        Raises:
            ConfigError: `swap_dates` is set for what is no pair.
        """
        if self.swap_dates and time != "pair":
            raise ConfigError(
                "augment.swap_dates exchanges the dates of pairs, but the data are "
                f"{'series' if time == 'series' else 'single dates'}. Leave it out."
            )


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
