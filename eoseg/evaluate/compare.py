"""Whether one network is better than another, or only luckier: a paired comparison on the same blocks.

Both are tested on the same places, so that what makes a place hard is the same for both, and a difference has
a far narrower interval than either figure. Blocks are drawn with replacement, the same ones for both (paired
bootstrap, Efron and Tibshirani 1993, chapter 8); of several runs, such as seeds, runs are drawn too, because
another seed would have given another network. Several runs are their mean and spread, never their best.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError, DataError
from eoseg.evaluate.intervals import CONFIDENCE, MIN_BLOCKS, Interval, figures_of, percentile_interval
from eoseg.metrics import score
from eoseg.spatial_blocks import Blocks, read_blocks

FILE = "blocks_test.npz"

type Verdict = Literal["first", "second", "not shown", "unknown"]
"""Which is higher beyond chance; "unknown" where there is no interval."""

type Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True, eq=False)
class TestRun:
    """One run of `eoseg test`."""

    folder: Path
    blocks: Blocks
    test_set: str
    """Which split of which data was tested, by hash."""
    record: Mapping[str, Any]
    """The protocol."""

    __test__ = False  # it is no test of pytest's


@dataclass(frozen=True, slots=True)
class Side:
    """A figure of one side: over its runs."""

    mean: float | None
    spread: float | None
    """Standard deviation over the runs; None of a single one."""
    runs: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of both sides."""

    first: Side
    second: Side
    difference: float | None
    """Second minus first."""
    interval: Interval | None

    @property
    def verdict(self) -> Verdict:
        """Which side is higher, where the interval leaves out 0."""
        if self.interval is None:
            return "unknown"
        if self.interval.low > 0:
            return "second"
        return "first" if self.interval.high < 0 else "not shown"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures of both sides, and how they were compared."""

    figures: Mapping[str, Difference]
    blocks: int
    block_size: int | None
    draws: int
    seed: int
    splits: int
    """Test splits that both sides have: one, or a fold each."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "figures": {
                name: {
                    "first": {"mean": entry.first.mean, "sd": entry.first.spread, "runs": entry.first.runs},
                    "second": {
                        "mean": entry.second.mean,
                        "sd": entry.second.spread,
                        "runs": entry.second.runs,
                    },
                    "difference": entry.difference,
                    "interval": None if entry.interval is None else [entry.interval.low, entry.interval.high],
                    "higher": entry.verdict,
                }
                for name, entry in self.figures.items()
            },
            "method": f"{CONFIDENCE:.0%} percentile interval of second minus first, paired on blocks",
            "blocks": self.blocks,
            "block_size": self.block_size,
            "draws": self.draws,
            "seed": self.seed,
            "splits": self.splits,
        }


def load_runs(path: str | Path) -> list[TestRun]:
    """Read a run of `eoseg test`, or all that a folder of such runs holds.

    Args:
        path: `runs/NAME-test/TIME` or `runs/NAME-test`.

    Raises:
        DataError: There is no such run, or its blocks cannot be read.
    """
    folder = Path(path)
    if (folder / FILE).is_file():
        return [_load(folder)]
    if (folder / "model.ckpt").is_file():
        raise DataError(
            f"'{folder}' is the folder of a training. Test it with 'eoseg test {folder}', and compare the "
            "folder that this makes."
        )
    inner = sorted({entry.resolve() for entry in folder.glob("*/") if (entry / FILE).is_file()})
    if not inner:
        raise DataError(
            f"'{folder}' holds no run of 'eoseg test' on classes: there is no {FILE}. Name the folder that "
            "'eoseg test' made, such as runs/NAME-test/latest."
        )
    return [_load(entry) for entry in inner]


def compare_runs(
    first: Sequence[TestRun],
    second: Sequence[TestRun],
    *,
    block_size: int | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two sides of one or more runs each.

    Args:
        first: Runs of one method, such as several seeds, or a run for each fold.
        second: Those of the other.
        block_size: Side of the blocks in pixels; by default as large as leaves enough of them.
        draws: Samples of blocks.
        seed: Of these samples.

    Raises:
        ConfigError: The sides were tested on other splits, classes or protocols, or there are too few draws.
        DataError: They counted other pixels.
    """
    if draws < 100:
        raise ConfigError(f"A 95 % interval needs at least 100 draws; got {draws}. The default is 1000.")
    _require_same_protocol([*first, *second])
    sides = [_by_split(first), _by_split(second)]
    if set(sides[0]) != set(sides[1]):
        raise ConfigError(
            f"'{first[0].folder}' and '{second[0].folder}' were not tested on the same split, so that they "
            "cannot be paired. Train and test both with the same data, split and seed of the split."
        )
    generator = np.random.default_rng(seed)
    drawn = [
        _Split(sides[0][name], sides[1][name], block_size, draws, generator) for name in sorted(sides[0])
    ]
    count = sum(split.blocks for split in drawn)
    figures = {name: _difference(name, drawn, enough=count >= MIN_BLOCKS) for name in drawn[0].figures[0][0]}
    sizes = {split.block_size for split in drawn}
    return Comparison(figures, count, max(sizes, key=lambda size: size or 0), draws, seed, len(drawn))


class _Split:
    """All runs on one test split: their figures, and those of the draws."""

    def __init__(
        self,
        first: Sequence[TestRun],
        second: Sequence[TestRun],
        block_size: int | None,
        draws: int,
        generator: np.random.Generator,
    ) -> None:
        blocks = _on_same_blocks([*first, *second], block_size)
        self.block_size = blocks[0].side
        used = blocks[0].matrices.sum(axis=(1, 2)) > 0
        self.blocks = int(used.sum())
        times = generator.multinomial(
            self.blocks, np.full(self.blocks, 1 / self.blocks), size=draws
        )  # (D, B)
        own = [_figures(each.matrices.sum(axis=0), each.names) for each in blocks]
        samples = [_drawn_figures(each, used, times) for each in blocks]
        cut = len(first)
        self.figures = own[:cut], own[cut:]
        self.samples = tuple(
            _of_drawn_runs(part, draws, generator) for part in (samples[:cut], samples[cut:])
        )
        present = [each.matrices[used].sum(axis=2) + each.matrices[used].sum(axis=1) for each in blocks]
        occurs = (np.sum(present, axis=0) > 0).sum(axis=0)  # (K,) blocks with the class
        self.occurs = dict(zip(blocks[0].names, occurs.tolist(), strict=True))


def _difference(name: str, splits: Sequence[_Split], *, enough: bool) -> Difference:
    sides = []
    for place in (0, 1):
        values = [run[name] for split in splits for run in split.figures[place]]
        known = [value for value in values if value is not None]
        spread = statistics.stdev(known) if len(known) > 1 else None
        sides.append(Side(statistics.fmean(known) if known else None, spread, len(values)))
    means = [[_mean([run[name] for run in split.figures[place]]) for split in splits] for place in (0, 1)]
    one, other = (_mean(values) for values in means)
    difference = None if one is None or other is None else other - one
    kind, _, label = name.partition("/")
    occurs = sum(split.occurs[label] for split in splits) if label and kind in ("iou", "f1") else MIN_BLOCKS
    if difference is None or not enough or occurs < MIN_BLOCKS:
        return Difference(sides[0], sides[1], difference, None)
    samples = np.mean([split.samples[1][name] - split.samples[0][name] for split in splits], axis=0)  # (D,)
    interval = percentile_interval(samples.tolist(), units=sum(split.blocks for split in splits))
    return Difference(sides[0], sides[1], difference, interval)


def _of_drawn_runs(
    runs: Sequence[dict[str, NDArray[np.float64]]], draws: int, generator: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """For each draw of blocks the mean over runs, which are drawn too where there are several."""
    if len(runs) == 1:
        return dict(runs[0])
    chosen = generator.integers(len(runs), size=(len(runs), draws))
    return {
        name: np.stack([run[name] for run in runs])[chosen, np.arange(draws)].mean(axis=0) for name in runs[0]
    }


def _drawn_figures(
    blocks: Blocks, used: NDArray[np.bool_], times: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Figures of each draw, `(D,)`; NaN where one is not defined."""
    size = len(blocks.names)
    # Counts stay below 2^53, so the product in float64 is exact.
    flat = blocks.matrices[used].reshape(-1, size * size).astype(np.float64)
    matrices = np.rint(times.astype(np.float64) @ flat).astype(np.int64).reshape(-1, size, size)
    found = [_figures(matrix, blocks.names) for matrix in matrices]
    return {
        name: np.array([np.nan if one[name] is None else one[name] for one in found], np.float64)
        for name in found[0]
    }


def _figures(matrix: NDArray[np.int64], names: Sequence[str]) -> Figures:
    return figures_of(score(matrix, names))


def _on_same_blocks(runs: Sequence[TestRun], block_size: int | None) -> list[Blocks]:
    """The blocks of all runs, of one side and in one order.

    Raises:
        DataError: They counted other pixels.
    """
    largest = max(run.blocks.side or 0 for run in runs)
    blocks = [run.blocks.enlarged(largest) if largest else run.blocks for run in runs]
    side = blocks[0].enlarged(block_size).side
    blocks = [each.enlarged(side).sorted() if side else each.sorted() for each in blocks]
    for run, each in zip(runs, blocks, strict=True):
        same = each.keys == blocks[0].keys and np.array_equal(
            each.matrices.sum(axis=2), blocks[0].matrices.sum(axis=2)
        )
        if not same:
            raise DataError(
                f"'{runs[0].folder}' and '{run.folder}' counted other labelled pixels, so that they cannot "
                "be paired. Test both on the same files."
            )
    return blocks


def _require_same_protocol(runs: Sequence[TestRun]) -> None:
    for run in runs:
        for what, ours, theirs in (
            ("classes", runs[0].blocks.names, run.blocks.names),
            ("border", runs[0].record.get("border"), run.record.get("border")),
        ):
            if ours != theirs:
                raise ConfigError(
                    f"'{runs[0].folder}' was tested with {what} {_said(ours)}, '{run.folder}' with "
                    f"{_said(theirs)}. Test both alike."
                )


def _by_split(runs: Sequence[TestRun]) -> dict[str, list[TestRun]]:
    found: dict[str, list[TestRun]] = {}
    for run in runs:
        found.setdefault(run.test_set, []).append(run)
    return found


def _load(folder: Path) -> TestRun:
    blocks, record = read_blocks(folder / FILE)
    try:
        test_set = f"{record['data']['sha256']}/{record['measured_on']['sha256']}"
    except (KeyError, TypeError) as error:
        raise DataError(f"'{folder / FILE}' does not say what was tested. Test again.") from error
    return TestRun(folder, blocks, test_set, record)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) and known else None


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
