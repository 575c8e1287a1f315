"""The sample is fair, bounded and does not depend on batches."""

import numpy as np
import pytest

from eoseg.models.reservoir import Reservoir


def stream(reservoir: Reservoir, total: int, batch: int) -> None:
    """Offer the numbers 0 to total - 1, each with its double as target."""
    for begin in range(0, total, batch):
        numbers = np.arange(begin, min(begin + batch, total))
        chosen = reservoir.draw(len(numbers))
        reservoir.add(numbers[chosen, None].astype(np.float32), numbers[chosen] * 2)


def sample(total: int, batch: int, *, capacity: int = 50, seed: int = 0) -> list[float]:
    reservoir = Reservoir(capacity, seed=seed)
    stream(reservoir, total, batch)
    assert reservoir.seen == total
    taken = reservoir.take()
    assert taken is not None
    rows, targets = taken
    assert np.array_equal(rows[:, 0] * 2, targets)
    return rows[:, 0].tolist()


def test_how_the_stream_is_cut_does_not_matter():
    assert sample(1000, 1000) == sample(1000, 7) == sample(1000, 333)


def test_a_short_stream_is_kept_whole():
    assert sorted(sample(30, 8)) == list(range(30))


def test_no_row_is_taken_twice_and_the_capacity_holds():
    taken = sample(5000, 64)
    assert len(taken) == len(set(taken)) == 50


def test_another_seed_gives_another_sample():
    assert sample(1000, 100) != sample(1000, 100, seed=1)


def test_early_and_late_rows_are_kept_alike():
    # 200 samples of 50 out of 400: each tenth of the stream expects 1000, with a deviation below 30
    counts = np.zeros(10)
    for seed in range(200):
        for number in sample(400, 60, seed=seed):
            counts[int(number) // 40] += 1
    assert counts.sum() == 10_000
    assert np.abs(counts - 1000).max() < 120


def test_memory_stays_within_twice_the_capacity():
    reservoir = Reservoir(50, seed=0)
    kept = 0
    for _ in range(100):
        chosen = reservoir.draw(40)
        reservoir.add(np.zeros((chosen.sum(), 1), np.float32), np.zeros(chosen.sum(), np.int64))
        kept = max(kept, sum(len(rows) for _, rows, _ in reservoir._parts))
    assert kept <= 100


def test_after_take_a_new_stream_starts_afresh():
    reservoir = Reservoir(50, seed=0)
    assert reservoir.take() is None
    stream(reservoir, 500, 50)
    first = reservoir.take()
    stream(reservoir, 500, 50)
    second = reservoir.take()
    assert first is not None
    assert second is not None
    assert np.array_equal(first[0], second[0])
    assert reservoir.take() is None


def test_rows_that_were_not_drawn_are_refused():
    reservoir = Reservoir(5, seed=0)
    reservoir.draw(3)
    with pytest.raises(ValueError, match="3 rows were drawn, 2 rows and 2 targets given"):
        reservoir.add(np.zeros((2, 1), np.float32), np.zeros(2))
