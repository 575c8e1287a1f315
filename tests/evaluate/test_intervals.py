import numpy as np
import pytest

from eoseg.errors import ConfigError
from eoseg.evaluate.intervals import MIN_BLOCKS, bootstrap, figures_of
from eoseg.metrics import score


def blocks_with(shares: np.ndarray, pixels: int = 100) -> np.ndarray:
    """Blocks of two classes in which that share of the pixels is right."""
    right = np.rint(shares * pixels).astype(np.int64)
    blocks = np.zeros((len(shares), 2, 2), np.int64)
    blocks[:, 0, 0] = right // 2
    blocks[:, 1, 1] = right - right // 2
    blocks[:, 0, 1] = pixels - right
    return blocks


def test_an_interval_has_the_width_that_theory_gives_for_a_mean_of_blocks() -> None:
    shares = np.random.default_rng(1).normal(0.8, 0.05, 400).clip(0, 1)
    result = bootstrap(blocks_with(shares, 10_000), ["a", "b"], block_size=64, seed=3)
    interval = result.values["overall_accuracy"]
    half = 1.96 * shares.std() / np.sqrt(len(shares))
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.15)
    assert (interval.high + interval.low) / 2 == pytest.approx(shares.mean(), abs=half / 3)


def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    """Blocks are drawn from a known population; most intervals must hold its accuracy."""
    generator = np.random.default_rng(5)
    covered = 0
    for trial in range(100):
        shares = generator.beta(8, 2, 60)
        result = bootstrap(blocks_with(shares, 1000), ["a", "b"], block_size=64, draws=200, seed=trial)
        interval = result.values["overall_accuracy"]
        covered += interval.low <= 0.8 <= interval.high
    assert covered >= 88


def test_alike_neighbours_widen_the_interval() -> None:
    """The same pixels in fewer, larger blocks tell less."""
    shares = np.repeat(np.random.default_rng(2).uniform(0.5, 1, 20), 20)
    small = bootstrap(blocks_with(shares), ["a", "b"], block_size=16)
    large = bootstrap(blocks_with(shares).reshape(20, 20, 2, 2).sum(axis=1), ["a", "b"], block_size=64)

    def width(result) -> float:
        interval = result.values["overall_accuracy"]
        return interval.high - interval.low

    assert width(large) > 3 * width(small)


def test_the_figure_itself_lies_in_its_interval() -> None:
    blocks = np.random.default_rng(0).integers(0, 50, (40, 3, 3))
    names = ["a", "b", "c"]
    figures = figures_of(score(blocks.sum(axis=0), names))
    for name, interval in bootstrap(blocks, names, block_size=64).values.items():
        assert interval.low <= figures[name] <= interval.high


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    blocks = blocks_with(np.linspace(0.5, 1, 30))
    first, again, other = (bootstrap(blocks, ["a", "b"], block_size=64, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.values != other.values


def test_too_few_blocks_give_no_interval_but_a_reason() -> None:
    blocks = np.concatenate([blocks_with(np.full(MIN_BLOCKS - 1, 0.9)), np.zeros((50, 2, 2), np.int64)])
    result = bootstrap(blocks, ["a", "b"], block_size=64)
    assert set(result.values.values()) == {None}
    assert result.blocks == MIN_BLOCKS - 1
    assert "9 blocks of 64 x 64 px hold labels, 10 are needed" in result.reason


def test_a_class_in_few_blocks_gets_no_interval_though_the_others_do() -> None:
    blocks = np.zeros((40, 3, 3), np.int64)
    blocks[:, 0, 0] = blocks[:, 1, 1] = 50
    blocks[:, 0, 1] = np.arange(40)
    blocks[:3, 2, 2] = 10
    values = bootstrap(blocks, ["a", "b", "rare"], block_size=64).values
    assert values["iou/rare"] is None
    assert values["iou/a"] is not None
    assert values["overall_accuracy"] is not None


def test_an_absent_class_has_no_interval() -> None:
    blocks = np.zeros((40, 3, 3), np.int64)
    blocks[:, 0, 0] = blocks[:, 1, 1] = 50
    assert bootstrap(blocks, ["a", "b", "absent"], block_size=64).values["iou/absent"] is None


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 100 draws; got 99"):
        bootstrap(blocks_with(np.ones(20)), ["a", "b"], block_size=64, draws=99)
