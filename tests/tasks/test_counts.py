import numpy as np
import pytest
import torch
from torch import Tensor

from eoseg.batch import IGNORE
from eoseg.metrics import confusion_matrix
from eoseg.tasks.counts import BINS, ClassCounts, LabelCounts, LossMean, ProbabilityCounts, Sums, ValueSums


def probabilities(seed: int = 0, count: int = 4000) -> tuple[Tensor, Tensor]:
    """Probabilities that tell something of the second class, which is rare, and the reference."""
    generator = torch.Generator().manual_seed(seed)
    target = (torch.rand(count, generator=generator) < 0.1).long()
    logits = 2.0 * target - 2.5 + torch.randn(count, generator=generator)
    target[:50] = IGNORE
    return logits.sigmoid(), target


def f1_at(probability: Tensor, target: Tensor, threshold: float) -> float:
    known = target != IGNORE
    mapped, truth = probability[known].double() >= threshold, target[known] == 1
    hits = (mapped & truth).sum().item()
    return 2 * hits / (mapped.sum() + truth.sum()).item()


def test_class_counts_are_the_confusion_matrix_over_all_batches() -> None:
    counts = ClassCounts(3)
    generator = torch.Generator().manual_seed(1)
    pairs = []
    for _ in range(3):
        target = torch.randint(0, 3, (2, 5, 5), generator=generator)
        target[:, 0] = IGNORE
        pairs.append((torch.randint(0, 3, (2, 5, 5), generator=generator), target))
        counts.update(*pairs[-1])
    expected = sum(confusion_matrix(target.numpy(), output.numpy(), 3) for output, target in pairs)
    assert (counts.matrix.numpy() == expected).all()
    counts.reset()
    assert counts.matrix.sum() == 0


@pytest.mark.parametrize("threshold", [0.001, 0.25, 0.5, 0.731, 1.0])
def test_the_matrix_of_any_threshold_follows_from_the_histogram(threshold: float) -> None:
    probability, target = probabilities()
    counts = ProbabilityCounts()
    counts.update(probability[:1000], target[:1000])
    counts.update(probability[1000:], target[1000:])
    known = target != IGNORE
    mapped = (probability[known].double() >= threshold).long()
    expected = confusion_matrix(target[known].numpy(), mapped.numpy(), 2)
    assert (counts.matrix_at(threshold) == expected).all()


@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.731])
def test_the_surest_answers_of_any_threshold_follow_from_the_histogram(threshold: float) -> None:
    probability, target = probabilities()
    counts = ProbabilityCounts()
    counts.update(probability, target)
    curve, matrix = counts.curve_at(threshold), counts.matrix_at(threshold)
    assert (curve.total, curve.right.sum()) == (matrix.sum(), matrix.trace())
    known = target != IGNORE
    chance = probability[known].double()
    mapped = chance >= threshold
    confidence, right = torch.where(mapped, chance, 1 - chance), mapped == (target[known] == 1)
    order = confidence.argsort(descending=True)
    accuracy = right[order].cumsum(0) / torch.arange(1, len(order) + 1)
    for share in (0.3, 0.6, 0.9):
        assert curve.accuracy(share) == pytest.approx(
            float(accuracy[round(share * len(order)) - 1]), abs=0.01
        )


@pytest.mark.parametrize("seed", range(3))
def test_the_best_threshold_is_that_of_a_search_over_all(seed: int) -> None:
    probability, target = probabilities(seed)
    counts = ProbabilityCounts()
    counts.update(probability, target)
    best = counts.best_threshold()
    scores = [f1_at(probability, target, step / BINS) for step in range(1, BINS)]
    assert f1_at(probability, target, best) == pytest.approx(max(scores), abs=1e-12)
    assert best != 0.5


def test_of_equally_good_thresholds_the_middle_one_is_taken() -> None:
    counts = ProbabilityCounts()
    counts.update(torch.tensor([0.1, 0.2, 0.8, 0.9]), torch.tensor([0, 0, 1, 1]))
    assert counts.best_threshold() == pytest.approx(0.5, abs=0.002)


def test_without_the_second_class_the_threshold_stays_in_the_middle() -> None:
    counts = ProbabilityCounts()
    assert counts.best_threshold() == 0.5
    counts.update(torch.tensor([0.1, 0.9]), torch.tensor([0, 0]))
    assert counts.best_threshold() == 0.5


def test_the_threshold_never_maps_the_second_class_everywhere() -> None:
    counts = ProbabilityCounts()
    counts.update(torch.tensor([0.0, 0.9]), torch.tensor([1, 1]))
    assert counts.best_threshold() == 1 / BINS


def test_labels_are_counted_one_by_one_as_scikit_learn_does() -> None:
    from sklearn.metrics import multilabel_confusion_matrix

    generator = torch.Generator().manual_seed(2)
    output, target = (torch.randint(0, 2, (40, 5), generator=generator) for _ in range(2))
    counts = LabelCounts(5)
    counts.update(output[:7], target[:7])
    counts.update(output[7:], target[7:])
    assert (counts.tables.numpy() == multilabel_confusion_matrix(target, output)).all()


def test_values_far_from_zero_lose_no_digits() -> None:
    rng = np.random.default_rng(3)
    reference = 1e6 + rng.normal(0, 0.5, 5000).astype(np.float32)
    estimate = (reference + 0.25).astype(np.float32)
    reference[:10] = np.nan
    sums = ValueSums()
    sums.center = 1e6
    sums.update(torch.tensor(estimate), torch.tensor(reference))
    known = reference[10:].astype(np.float64)
    error = estimate[10:].astype(np.float64) - known
    expected = [
        4990,
        error.sum(),
        abs(error).sum(),
        (error**2).sum(),
        (known - 1e6).sum(),
        ((known - 1e6) ** 2).sum(),
    ]
    assert sums.sums.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "make", [lambda: ClassCounts(3), ProbabilityCounts, lambda: LabelCounts(3), ValueSums]
)
def test_no_count_is_part_of_a_checkpoint(make: "type[Sums]") -> None:
    counts = make()
    assert not counts.state_dict()
    assert list(counts.buffers())  # but they move to the task's device


def test_counts_are_summed_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = LabelCounts(2)
    counts.update(torch.ones(3, 2), torch.ones(3, 2))
    counts.sum_over_processes()  # alone: nothing to add
    assert counts.tables[:, 1, 1].tolist() == [3, 3]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda buffer: buffer.mul_(4))
    counts.sum_over_processes()
    assert counts.tables[:, 1, 1].tolist() == [12, 12]


def test_the_mean_loss_counts_samples_and_not_batches() -> None:
    mean = LossMean()
    assert mean.over_processes(torch.device("cpu")) is None
    mean.update(torch.tensor(1.0), 3)
    mean.update(torch.tensor(5.0), 1)
    assert mean.over_processes(torch.device("cpu")) == 2.0
    mean.reset()
    mean.update(torch.tensor(4.0), 2)
    assert mean.over_processes(torch.device("cpu")) == 4.0


def test_the_mean_loss_is_over_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    mean = LossMean()
    mean.update(torch.tensor(1.0), 3)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda total: total.add_(torch.tensor([5.0, 1.0])))
    assert mean.over_processes(torch.device("cpu")) == 2.0
