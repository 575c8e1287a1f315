"""Examines scenes, labels and splits before any training. Finds facts and problems; prints nothing."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from eoseg.datasets.config import SceneSource, SplitConfig, check_chip_size
from eoseg.datasets.diagnosis import BandFacts, Diagnosis, SceneFacts, SplitFacts
from eoseg.datasets.ground import crs_of, examine_grids, pixel_of
from eoseg.datasets.index import SceneIndex, load_index
from eoseg.datasets.leakage import LeakageAudit
from eoseg.datasets.leakage_scenes import audit_scenes
from eoseg.datasets.plausibility import judge_band, judge_scales
from eoseg.datasets.ranges import ValueSurvey, survey_values
from eoseg.datasets.reader import SceneReader, read_size, windows_of
from eoseg.datasets.splits import SPLITS, Split, make_split
from eoseg.datasets.survey import LabelSurvey, survey_labels
from eoseg.errors import EosegError
from eoseg.recipe import IGNORE, Statistics

_FEW_PIXELS = 100
"""Labelled training pixels of a class below which it can hardly be learned."""

_IMBALANCE = 50
"""Pixels of the commonest class over those of the rarest, above which weights are proposed."""

_SAID_ELSEWHERE = ("eoseg.datasets.splits",)
"""Loggers whose warnings the diagnosis words itself, with what to do."""


def diagnose(
    source: SceneSource,
    chip_size: int,
    split: SplitConfig,
    *,
    seed: int = 0,
    allow_leakage: bool = False,
) -> Diagnosis:
    """Examine the data of a configuration.

    Whatever can still be examined after a failure is examined; failures and warnings become problems.

    Args:
        source: Where scenes and labels are.
        chip_size: Height and width of a chip in pixels.
        split: How scenes are divided.
        seed: Draws the samples for percentiles and for the audit of the split.
        allow_leakage: Whether a split that leaks is a warning, as `eoseg fit --allow-leakage` takes it.

    Raises:
        DataError: The scenes cannot be found, paired or opened, so there is nothing to examine.
        ConfigError: The configuration contradicts itself.
    """
    check_chip_size(chip_size)
    diagnosis = Diagnosis()
    with _warnings_become_problems(diagnosis):
        index = load_index(source)
        diagnosis.dtype, diagnosis.nodata = index.dtype, index.nodata
        diagnosis.band_names = list(index.schema.bands)
        diagnosis.classes = index.label_names if index.is_labelled else []
        reader = SceneReader(index)
        try:
            _examine_values(diagnosis, reader, seed)
            survey = survey_labels(reader, chip_size=chip_size, block_size=split.block_size)
            _examine_labels(diagnosis, survey)
            made = make_split(index, survey, split, chip_size=chip_size)
            _examine_split(diagnosis, reader, made, chip_size)
            diagnosis.leakage = audit_scenes(reader, made, survey, chip_size=chip_size, seed=seed)
            report_leaks(diagnosis, diagnosis.leakage, allowed=allow_leakage)
        except EosegError as error:
            diagnosis.fail(str(error))
        finally:
            reader.close()
        examine_grids(diagnosis, index, chip_size)
    diagnosis.problems.sort(key=lambda problem: problem.level)
    return diagnosis


def report_leaks(diagnosis: Diagnosis, audit: LeakageAudit, *, allowed: bool) -> None:
    """Make problems of what an audit of the split found.

    Args:
        diagnosis: Where they go.
        audit: What was found.
        allowed: Whether errors are warnings.
    """
    for check in audit.checks:
        if check.level == "error" and not allowed:
            diagnosis.fail(check.text)
        elif check.level in ("error", "warning"):
            diagnosis.warn(check.text)


@contextmanager
def _warnings_become_problems(diagnosis: Diagnosis) -> Iterator[None]:
    """Collect what eoseg warns of meanwhile, instead of logging it."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING and record.name not in _SAID_ELSEWHERE:
                diagnosis.warn(record.getMessage())

    root, collector = logging.getLogger("eoseg"), Collector()
    propagates = root.propagate
    root.addHandler(collector)
    root.propagate = False
    try:
        yield
    finally:
        root.propagate = propagates
        root.removeHandler(collector)


def _examine_values(diagnosis: Diagnosis, reader: SceneReader, seed: int) -> None:
    index = reader.index
    values = survey_values(reader, seed=seed)
    for entry in index.entries.values():
        share = 1 - values.valid_share[entry.id]
        grid = entry.grid
        diagnosis.scenes.append(
            SceneFacts(entry.id, grid.width, grid.height, crs_of(entry), pixel_of(entry), share)
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
    if len(empty) == len(values.valid_share):
        diagnosis.fail("No scene holds a valid pixel. Check 'nodata' and the files.")
    elif empty:
        diagnosis.warn(f"{len(empty)} scenes hold no valid pixel (first: '{empty[0]}'). Leave them out.")
    for fill in values.fills:
        found = (
            f"{fill.value:g} fills {fill.share:.1%} of {_plural(fill.scenes, 'scene')} in every band, up to "
            "the corners"
        )
        if index.nodata is None:
            diagnosis.warn(
                f"{found}, but no nodata value is declared. Add under scenes: nodata: {fill.value:g}"
            )
        else:
            diagnosis.warn(
                f"{found}, beside the nodata value {index.nodata:g}. If it means no value too, write the "
                "files with one nodata value."
            )


def _examine_labels(diagnosis: Diagnosis, survey: LabelSurvey) -> None:
    if not diagnosis.classes:
        return  # there are no labels
    diagnosis.class_pixels = survey.class_pixels
    pairs = zip(diagnosis.classes, survey.class_pixels, strict=True)
    absent = [name for name, count in pairs if count == 0]
    if absent:
        diagnosis.warn(
            f"No pixel is labelled {', '.join(absent)}, so it cannot be learned. Check its value, or take "
            "the class out."
        )


def _examine_split(diagnosis: Diagnosis, reader: SceneReader, split: Split, chip_size: int) -> None:
    diagnosis.split_method = split.method
    diagnosis.split_sha256 = split.sha256
    diagnosis.split_parameters = dict(split.parameters)
    if split.method == "random":
        diagnosis.warn(
            "Random chips have neighbours in other splits, so figures will be too good. Use split.method "
            "blocks."
        )
    for name in SPLITS:
        if split.of(name):
            diagnosis.splits.append(_count_split(reader, split, name, chip_size))
    for facts in diagnosis.splits:
        _examine_class_counts(diagnosis, facts)
    if not (split.of("train") and diagnosis.classes):
        return
    train = diagnosis.splits[0]
    weights = Statistics((), diagnosis.dtype, train.pixels, train.valid_pixels, train.class_pixels)
    diagnosis.class_weights = list(weights.balanced_weights)
    counts = [count for count in train.class_pixels if count]
    if counts and max(counts) > _IMBALANCE * min(counts):
        diagnosis.warn(
            f"The commonest class has {max(counts) / min(counts):.0f} times the pixels of the rarest. Set "
            "class_weights: balanced, or loss: dice or lovasz, under model.init_args."
        )


def _count_split(reader: SceneReader, split: Split, name: str, chip_size: int) -> SplitFacts:
    regions = split.of(name)
    counts, valid_pixels, pixels, chips = np.zeros(IGNORE + 1, np.int64), 0, 0, 0
    for region in regions:
        area = region.window
        pixels += area.height * area.width
        chips += math.ceil(area.height / chip_size) * math.ceil(area.width / chip_size)
        for window in windows_of(area, read_size(1024, reader.index.schema.steps)):
            _, valid, labels = reader.read_labelled(region.scene_id, window)
            valid_pixels += int(reader.usable(valid).sum())
            counts += np.bincount(labels.ravel(), minlength=IGNORE + 1)
    classes = tuple(int(count) for count in counts[: reader.index.schema.outputs])
    scenes = len({region.scene_id for region in regions})
    return SplitFacts(name, len(regions), scenes, pixels, valid_pixels, classes, chips)


def _examine_class_counts(diagnosis: Diagnosis, facts: SplitFacts) -> None:
    if not diagnosis.classes:  # there are no labels: all usable pixels count as one class
        if not any(facts.class_pixels):
            diagnosis.fail(f"The {facts.name} split has no valid pixel. Change the split.")
        return
    counts = dict(zip(diagnosis.classes, facts.class_pixels, strict=True))
    known = [name for name, total in zip(diagnosis.classes, diagnosis.class_pixels, strict=True) if total]
    absent = [name for name in known if counts[name] == 0]
    if len(absent) == len(known):
        diagnosis.fail(f"The {facts.name} split has no labelled valid pixel. Change the split or the labels.")
    elif absent:
        effect = "not learned" if facts.name == "train" else "without a figure there"
        diagnosis.warn(
            f"The {facts.name} split has no valid pixel of {', '.join(absent)}: {effect}. Try another "
            "split.seed or a smaller split.block_size, or label more."
        )
    few = [f"{name} ({counts[name]})" for name in known if 0 < counts[name] < _FEW_PIXELS]
    if few and facts.name == "train":
        diagnosis.warn(f"Very few training pixels: {', '.join(few)}. Label more, or merge classes.")


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
