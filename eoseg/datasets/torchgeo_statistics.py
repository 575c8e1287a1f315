"""Statistics of torchgeo's training images, from a seeded sample of them."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eoseg.batch import IGNORE
from eoseg.datasets.chips import ChipItem
from eoseg.datasets.statistics import RunningMoments, band_statistics
from eoseg.datasets.torchgeo_loading import Draw, TrainingChips
from eoseg.datasets.torchgeo_sources import FootprintSource, ImageSource, Source
from eoseg.errors import DataError
from eoseg.recipe import Schema, Statistics

_PERCENTILES = 400_000
"""Pixels from which percentiles are estimated."""

_PIXELS = 1_000_000
"""Pixels of an image whose values count; of larger ones every second, third ... row and column."""

_TYPES = (("uint8", 0, 255), ("uint16", 0, 65_535), ("int16", -32_768, 32_767))


def survey_images(source: Source, schema: Schema, *, images: int, chip_size: int, seed: int) -> Statistics:
    """Read some training images once.

    Args:
        source: The training images, and no others.
        schema: Bands and classes.
        images: How many images are read, or chips where the images are scenes with a place on earth.
        chip_size: Height and width of a chip in pixels.
        seed: Draws the images, and the sample for the percentiles.

    Raises:
        DataError: There is no valid pixel, or nothing labelled.
    """
    rng = np.random.default_rng(seed)
    moments, parts = RunningMoments.of(len(schema.bands)), []
    totals, pixels, whole = np.zeros(len(schema.classes), np.int64), 0, True
    count = min(images, _available(source, chip_size))
    for item in _items(source, count, chip_size, rng, seed):
        totals += _counts(item, len(schema.classes))
        values, valid = _thinned(item)  # (C, [T,] h, w), ([T,] h, w)
        pixels += valid.size
        found = values[:, valid].astype(np.float64)  # (C, n)
        moments.update(found)
        whole = whole and bool((found == np.rint(found)).all())
        parts.append(found[:, rng.random(found.shape[1]) < _rate(count, valid.size)])
    if not moments.count:
        raise DataError("The training images hold no valid pixel. Check 'nodata'.")
    exact = _all_labels(source, len(schema.classes))
    totals = totals if exact is None else exact
    if not totals.any():
        raise DataError("The training images hold no label. Check 'classes' and 'ignore'.")
    return Statistics(
        bands=band_statistics(schema.bands, moments, np.concatenate(parts, axis=1)),
        dtype=_type(float(moments.minimum.min()), float(moments.maximum.max()), whole),
        pixels=pixels,
        valid_pixels=moments.count,
        class_pixels=tuple(int(total) for total in totals),
    )


def _items(
    source: Source, images: int, chip_size: int, rng: np.random.Generator, seed: int
) -> Iterator[ChipItem]:
    """Whole images, or chips of scenes that are too large to be read as a whole."""
    if isinstance(source, ImageSource):
        for number in sorted(rng.permutation(len(source))[:images].tolist()):
            yield source.whole(number)
        return
    areas = areas_of(source)
    assert areas is not None  # a source of footprints has them
    chips = TrainingChips(source, chip_size)
    for place, number in enumerate(rng.choice(len(source), size=images, p=areas / areas.sum()).tolist()):
        yield chips[Draw(number, (seed, place))]


def _available(source: Source, chip_size: int) -> int:
    """Images, or chips that cover scenes once."""
    areas = areas_of(source)
    return len(source) if areas is None else max(len(source), int(areas.sum() / chip_size**2))


def areas_of(source: Source) -> NDArray[np.float64] | None:
    """Pixels of each scene with a place on earth; None of images that would have to be read for it."""
    if not isinstance(source, FootprintSource):
        return None
    return np.array([float(np.prod(source.size(number))) for number in range(len(source))])


def _counts(item: ChipItem, classes: int) -> NDArray[np.int64]:
    """Labelled pixels, or chips, of each class."""
    if "mask" in item:
        values = item["mask"].numpy()
        return np.bincount(values[values != IGNORE], minlength=classes)
    label = item["label"].numpy()
    if label.ndim:
        return np.asarray(label, np.int64)
    return np.bincount([] if label == IGNORE else [int(label)], minlength=classes)


def _all_labels(source: Source, classes: int) -> NDArray[np.int64] | None:
    """Chips of each class over all images, where a data set lists its labels (torchvision's ImageFolder)."""
    targets: Sequence[int] | None = getattr(getattr(source, "dataset", None), "targets", None)
    if not isinstance(source, ImageSource) or source.reading is None or not isinstance(targets, list):
        return None
    held = [source.reading.class_of(targets[place]) for place in source.places]
    return np.bincount([value for value in held if value != IGNORE], minlength=classes)


def _thinned(item: ChipItem) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values with the bands first, and where they are valid, at most about `_PIXELS` of them."""
    height, width = item["valid"].shape[-2:]
    step = int(np.ceil(np.sqrt(height * width / _PIXELS)))
    image = item["image"][..., ::step, ::step].numpy()
    return np.moveaxis(image, -3, 0), item["valid"][..., ::step, ::step].numpy()


def _rate(images: int, pixels: int) -> float:
    return min(1.0, _PERCENTILES / (images * pixels))


def _type(lowest: float, highest: float, whole: bool) -> str:
    """The smallest type of a file that holds these values; torchgeo makes float32 of all of them."""
    fitting = [name for name, least, most in _TYPES if whole and least <= lowest and highest <= most]
    return fitting[0] if fitting else "float32"
