"""Examines scenes, labels and splits before any training. Finds facts and problems; prints nothing."""

import dataclasses
import hashlib
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eoseg.datasets.config import SceneSource, SplitConfig, check_chip_size
from eoseg.datasets.index import SceneEntry, SceneIndex, load_index
from eoseg.datasets.plausibility import judge_band, judge_scales
from eoseg.datasets.ranges import ValueSurvey, survey_values
from eoseg.datasets.reader import SceneReader, windows_of
from eoseg.datasets.splits import SPLITS, Split, make_split
from eoseg.datasets.survey import LabelSurvey, survey_labels
from eoseg.errors import EosegError
from eoseg.geo.footprints import find_overlaps
from eoseg.recipe import IGNORE, BandStatistics, Statistics

_METRES_PER_DEGREE = 111_320.0

_FEW_PIXELS = 100
"""Labelled training pixels of a class below which it can hardly be learned."""


def diagnose(source: SceneSource, chip_size: int, split: SplitConfig, *, seed: int = 0) -> Diagnosis:
    """Examine the data of a configuration.

    Whatever can still be examined after a failure is examined; failures become problems.

    Args:
        source: Where scenes and labels are.
        chip_size: Height and width of a chip in pixels.
        split: How scenes are divided.
        seed: Draws the samples for percentiles.

    Raises:
        DataError: The scenes cannot be found, paired or opened, so there is nothing to examine.
        ConfigError: The configuration contradicts itself.
    """
    check_chip_size(chip_size)
    index = load_index(source)
    diagnosis = Diagnosis(
        dtype=index.dtype,
        nodata=index.nodata,
        band_names=list(index.schema.bands),
        classes=index.schema.class_names,
    )
    reader = SceneReader(index)
    try:
        _examine_values(diagnosis, reader, seed)
        survey = survey_labels(reader, chip_size=chip_size, block_size=split.block_size)
        _examine_labels(diagnosis, survey)
        made = make_split(index, survey, split, chip_size=chip_size)
        _examine_split(diagnosis, reader, made, chip_size)
        examine_leaks(diagnosis, index, made)
    except EosegError as error:
        diagnosis.fail(str(error))
    finally:
        reader.close()
    examine_grids(diagnosis, index, chip_size)
    diagnosis.problems.sort(key=lambda problem: problem.level)
    return diagnosis


def _examine_values(diagnosis: Diagnosis, reader: SceneReader, seed: int) -> None:
    index = reader.index
    values = survey_values(reader, seed=seed)
    for entry in index.entries.values():
        grid = entry.grid
        diagnosis.scenes.append(
            SceneFacts(
                entry.id,
                grid.width,
                grid.height,
                crs_of(entry),
                pixel_of(entry),
                1 - values.valid_share[entry.id],
            )
        )
    for band in values.bands:
        verdict, problem = judge_band(band, index.dtype)
        diagnosis.bands.append(BandFacts(band, verdict))
        if problem:
            diagnosis.warn(problem)
    scales = judge_scales(values.bands)
    if scales:
        diagnosis.warn(scales)
    _examine_nodata(diagnosis, values, index)


def _examine_nodata(diagnosis: Diagnosis, values: ValueSurvey, index: SceneIndex) -> None:
    empty = [name for name, share in values.valid_share.items() if share == 0]
    if empty:
        diagnosis.warn(f"{len(empty)} scenes hold no valid pixel (first: '{empty[0]}'). Leave them out.")
    for fill in values.fills:
        declared = "no nodata value is" if index.nodata is None else f"{index.nodata:g} is"
        remedy = "Add under scenes: " if index.nodata is None else "If it means no value, set under scenes: "
        diagnosis.warn(f"{fill.share:.1%} of the pixels of {fill.scenes} scenes are {fill.value:g} in every band, up to the "
                f"border, but {declared} declared as nodata: it looks like a fill. {remedy}nodata: {fill.value:g}")


def _examine_labels(diagnosis: Diagnosis, survey: LabelSurvey) -> None:
    diagnosis.class_pixels = survey.class_pixels
    absent = [name for name, count in zip(diagnosis.classes, survey.class_pixels, strict=True) if count == 0]
    if absent:
        diagnosis.warn(f"No label is {', '.join(absent)}: the class cannot be learned. Check its value, or take it out.")
    if survey.conflicts:
        diagnosis.warn(f"{survey.conflicts} pixels lie under polygons of different classes and count as unlabelled. "
                "Correct the polygons.")


def _examine_split(diagnosis: Diagnosis, reader: SceneReader, split: Split, chip_size: int) -> None:
    diagnosis.split_method = split.method
    diagnosis.split_sha256 = split.sha256
    diagnosis.split_parameters = dict(split.parameters)
    for name in SPLITS:
        if split.of(name):
            diagnosis.splits.append(_count_split(reader, split, name, chip_size))
    train = diagnosis.splits[0]
    diagnosis.class_weights = list(
        Statistics((), diagnosis.dtype, train.pixels, train.valid_pixels, train.class_pixels).balanced_weights
    )
    for facts in diagnosis.splits:
        _examine_class_counts(diagnosis, facts)
    counts = [count for count in train.class_pixels if count]
    if counts and max(counts) / min(counts) > 50:
        diagnosis.warn(f"The commonest class has {max(counts) / min(counts):.0f} times the pixels of the rarest. Set "
                "class_weights: balanced, or loss: dice or lovasz, under model.init_args.")


def _examine_class_counts(diagnosis: Diagnosis, facts: SplitFacts) -> None:
    known = [
        (name, count)
        for name, count, total in zip(
            diagnosis.classes, facts.class_pixels, diagnosis.class_pixels, strict=True
        )
        if total
    ]
    absent = [name for name, count in known if count == 0]
    effect = "is not learned" if facts.name == "train" else "has no figure there"
    if len(absent) == len(known):
        diagnosis.fail(f"The {facts.name} split has no labelled valid pixel. Change the split or the labels.")
    elif absent:
        diagnosis.warn(f"The {facts.name} split has no valid pixel of {', '.join(absent)}, which {effect}. Try another "
                "split.seed or a smaller split.block_size, or label more.")
    few = [f"{name} ({count})" for name, count in known if 0 < count < _FEW_PIXELS]
    if few and facts.name == "train":
        diagnosis.warn(f"Very few training pixels: {', '.join(few)}. Label more, or merge classes.")


def _count_split(reader: SceneReader, split: Split, name: str, chip_size: int) -> SplitFacts:
    regions = split.of(name)
    counts, valid_pixels, pixels, chips = np.zeros(IGNORE + 1, np.int64), 0, 0, 0
    for region in regions:
        area = region.window
        pixels += area.height * area.width
        chips += math.ceil(area.height / chip_size) * math.ceil(area.width / chip_size)
        for window in windows_of(area, 1024):
            _, valid, labels = reader.read_labelled(region.scene_id, window)
            valid_pixels += int(valid.sum())
            counts += np.bincount(labels.ravel(), minlength=IGNORE + 1)
    classes = tuple(int(count) for count in counts[: len(reader.index.schema.classes)])
    scenes = len({region.scene_id for region in regions})
    return SplitFacts(name, len(regions), scenes, pixels, valid_pixels, classes, chips)


