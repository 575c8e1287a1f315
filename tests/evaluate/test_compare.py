"""Paired comparison: a small real difference is found, one of luck is not, and misfits are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, t

from eoseg.errors import ConfigError, DataError
from eoseg.evaluate.compare import FILE, TestRun, compare_runs, load_runs
from eoseg.evaluate.intervals import bootstrap
from eoseg.metrics import score
from eoseg.spatial_blocks import Blocks

NAMES = ("a", "b")
PIXELS = 2000


def run(
    folder: Path, *, gain: float = 0.0, seed: int = 0, split: str = "s", blocks: int = 60, **changed: Any
) -> Path:
    """A run of a test in which the places are hard or easy, and the network better by a gain."""
    places, own = np.random.default_rng(99), np.random.default_rng(seed)
    right = (places.uniform(0.5, 0.9, blocks) + gain + own.normal(0, 0.01, blocks)).clip(0, 1)
    counts = np.rint(right * PIXELS).astype(np.int64)
    matrices = np.zeros((blocks, 2, 2), np.int64)
    matrices[:, 0, 0], matrices[:, 0, 1] = counts, PIXELS - counts
    matrices[:, 1, 1], matrices[:, 1, 0] = counts, PIXELS - counts
    keys = tuple(("x", number, 0) for number in range(blocks))
    folder.mkdir(parents=True)
    record = {"data": {"sha256": "d"}, "measured_on": {"sha256": split}, "border": "isprs-full", **changed}
    Blocks(changed.pop("names", NAMES), keys, matrices, 64).write(folder / FILE, record)
    return folder


def loaded(*folders: Path) -> list[TestRun]:
    return [found for folder in folders for found in load_runs(folder)]


def test_a_difference_far_smaller_than_either_interval_is_found(tmp_path: Path) -> None:
    first, second = loaded(run(tmp_path / "a")), loaded(run(tmp_path / "b", gain=0.02, seed=1))
    found = compare_runs(first, second).figures["overall_accuracy"]
    assert found.difference == pytest.approx(0.02, abs=0.004)
    assert found.interval is not None
    assert found.interval.low <= 0.02 <= found.interval.high
    assert found.verdict == "second"
    assert compare_runs(second, first).figures["overall_accuracy"].verdict == "first"
    alone = bootstrap(first[0].blocks.matrices, NAMES, block_size=64).values["overall_accuracy"]
    assert alone is not None
    assert alone.high - alone.low > 4 * (found.interval.high - found.interval.low)


def test_no_difference_is_shown_between_networks_that_differ_by_luck(tmp_path: Path) -> None:
    verdicts = []
    for seed in range(20):
        pair = [loaded(run(tmp_path / f"{seed}-{side}", seed=2 * seed + side)) for side in (0, 1)]
        verdicts.append(compare_runs(*pair, draws=200).figures["mean_iou"].verdict)
    assert verdicts.count("not shown") >= 17


def test_the_interval_is_that_of_a_slow_loop(tmp_path: Path) -> None:
    first, second = loaded(run(tmp_path / "a", blocks=12)), loaded(run(tmp_path / "b", gain=0.1, blocks=12))
    found = compare_runs(first, second, draws=300, seed=5, block_size=64).figures["kappa"]
    times = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), size=300)
    values = []
    for draw in times:
        kappas = []
        for side in (first, second):
            total = sum(count * matrix for count, matrix in zip(draw, side[0].blocks.matrices, strict=True))
            kappas.append(score(total, NAMES).kappa)
        values.append(kappas[1] - kappas[0])
    assert found.interval is not None
    tail = norm.cdf(np.sqrt(12 / 11) * t.ppf(0.025, 11))
    expected = np.quantile(values, [tail, 1 - tail])
    assert [found.interval.low, found.interval.high] == pytest.approx(expected.tolist(), abs=1e-10)


def test_several_seeds_are_mean_and_spread_and_widen_the_interval(tmp_path: Path) -> None:
    gains = (0.0, 0.05, 0.1)
    for number, gain in enumerate(gains):
        run(tmp_path / "many" / str(number), gain=gain, seed=number)
    (tmp_path / "many" / "latest").symlink_to("2")
    many, one = load_runs(tmp_path / "many"), loaded(run(tmp_path / "one"))
    assert len(many) == 3  # the link is none of its own
    found = compare_runs(one, many).figures["overall_accuracy"]
    own = [float(np.trace(each.blocks.matrices.sum(axis=0)) / each.blocks.matrices.sum()) for each in many]
    assert found.second.mean == pytest.approx(np.mean(own))
    assert found.second.spread == pytest.approx(np.std(own, ddof=1))
    assert (found.first.spread, found.first.runs, found.second.runs) == (None, 1, 3)
    single = compare_runs(one, many[1:2]).figures["overall_accuracy"]
    assert found.interval is not None
    assert single.interval is not None
    assert found.interval.high - found.interval.low > 3 * (single.interval.high - single.interval.low)


def test_folds_are_paired_fold_by_fold(tmp_path: Path) -> None:
    sides = [
        loaded(
            *(run(tmp_path / f"{side}{fold}", gain=gain, split=f"fold{fold}", blocks=15) for fold in (0, 1))
        )
        for side, gain in (("a", 0.0), ("b", 0.03))
    ]
    found = compare_runs(*sides)
    assert (found.splits, found.blocks) == (2, 30)
    assert found.figures["overall_accuracy"].verdict == "second"
    with pytest.raises(ConfigError, match="were not tested on the same split"):
        compare_runs(sides[0], sides[1][:1])


def test_few_blocks_give_a_difference_and_no_verdict(tmp_path: Path) -> None:
    pair = [loaded(run(tmp_path / name, gain=gain, blocks=9)) for name, gain in (("a", 0.0), ("b", 0.2))]
    found = compare_runs(*pair).figures["overall_accuracy"]
    assert found.difference == pytest.approx(0.2, abs=0.02)
    assert (found.interval, found.verdict) == (None, "unknown")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split": "other"}, "not tested on the same split, so that they cannot be paired"),
        ({"blocks": 40}, "counted other labelled pixels"),
        ({"border": "isprs-eroded"}, "border isprs-full, .* with isprs-eroded. Test both alike"),
        ({"names": ("a", "c")}, "with classes a, b, .* with a, c"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    pair = loaded(run(tmp_path / "a")), loaded(run(tmp_path / "b", **changed))
    with pytest.raises((ConfigError, DataError), match=message):
        compare_runs(*pair)


def test_folders_that_are_no_test_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run of 'eoseg test'"):
        load_runs(tmp_path)
    (tmp_path / "model.ckpt").touch()
    with pytest.raises(DataError, match="is the folder of a training. Test it with 'eoseg test"):
        load_runs(tmp_path)


def test_too_few_draws_are_refused(tmp_path: Path) -> None:
    pair = loaded(run(tmp_path / "a"), run(tmp_path / "b"))
    with pytest.raises(ConfigError, match="at least 100 draws; got 50"):
        compare_runs(pair[:1], pair[1:], draws=50)
