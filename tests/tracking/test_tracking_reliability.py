import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from task_worlds import (
    HEIGHT,
    World,
    batch_of,
    evaluate,
    make_schema,
    make_statistics,
    seeded,
    train,
    use_local_models,
)

from eoseg.calibration import BINS, Bins
from eoseg.errors import ConfigError
from eoseg.recipe import BandStatistics
from eoseg.selective import STEPS, SelectiveCurve
from eoseg.tasks import ClassificationTask, RegressionTask, SegmentationTask
from eoseg.tracking.reliability import ReliabilityPanel, reliability_csv, wandb_curves


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    seeded()


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def half_right() -> tuple[SegmentationTask, World]:
    """A network that is 0.953 sure of b everywhere, and a world of which half is a."""
    schema = make_schema(("a", "b"))
    task = SegmentationTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    with torch.no_grad():
        task.network.body.layer.weight.zero_()
        task.network.body.layer.bias.copy_(torch.tensor([0.0, 3.0]))
    mask = torch.ones(2, 8, 8, dtype=torch.long)
    mask[:, :4] = 0
    batches = [batch_of(np.zeros((2, 2, 8, 8)), mask=mask)] * 2
    return task, World(make_statistics(schema), batches, batches)


def test_a_test_leaves_counts_and_the_calibration_error(tmp_path: Path) -> None:
    task, data = half_right()
    figures = evaluate(task, data, tmp_path, callbacks=[ReliabilityPanel(tmp_path)])
    assert figures["test/ece"] == pytest.approx(0.4525, abs=1e-3)
    assert figures["test/aurc"] == pytest.approx(0.5)  # all are alike
    (row,) = read(tmp_path / "reliability_test.csv")
    assert (row["confidence from"], row["wrong"], row["right"]) == ("0.9333", "128", "128")


def test_each_epoch_of_a_training_has_its_calibration_error(tmp_path: Path) -> None:
    task, data = half_right()
    trainer = train(task, data, tmp_path, callbacks=[ReliabilityPanel(tmp_path)], max_epochs=2)
    assert {"val/ece", "val/aurc"} <= set(trainer.callback_metrics)
    assert sum(int(row["wrong"]) + int(row["right"]) for row in read(tmp_path / "reliability_val.csv")) == 256


def test_several_labels_count_each_on_its_likelier_side(tmp_path: Path) -> None:
    schema = make_schema(("a", "b"), multilabel=True)
    task = ClassificationTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    with torch.no_grad():
        task.network.body.layer.weight.zero_()
        task.network.body.layer.bias.copy_(torch.logit(torch.tensor([0.82, 0.36])))
    batches = [batch_of(np.zeros((1, 2, 8, 8)), label=torch.tensor([[1, 1]]))]
    data = World(make_statistics(schema), batches, batches)
    figures = evaluate(task, data, tmp_path, callbacks=[ReliabilityPanel(tmp_path)])
    rows = read(tmp_path / "reliability_test.csv")
    assert [(row["confidence from"], row["wrong"], row["right"]) for row in rows] == [
        ("0.6000", "1", "0"),
        ("0.8000", "0", "1"),
    ]
    assert figures["test/ece"] == pytest.approx((0.64 + 0.18) / 2, abs=1e-6)
    assert figures["test/aurc"] == pytest.approx((0 + 1 / 2) / 2)
    assert task.unit == "labels"


def test_a_quantity_has_no_confidence(tmp_path: Path) -> None:
    batches = [batch_of(np.zeros((1, 2, 8, 8)), value=torch.zeros(1, 8, 8))]
    target = BandStatistics("height", 0, 1, -3, -2, 2, 3)
    statistics = make_statistics(HEIGHT, class_pixels=(100,), target=target)
    task = RegressionTask(HEIGHT, 8, arch="local")
    task.use_statistics(statistics)
    data = World(statistics, batches, batches)
    evaluate(task, data, tmp_path, callbacks=[ReliabilityPanel(tmp_path)])
    assert not list(tmp_path.glob("reliability*"))


def test_only_bins_that_occur_are_written() -> None:
    counts = np.zeros((2, BINS), np.int64)
    counts[:, 9] = 3
    assert reliability_csv(Bins(counts[0], counts[1], counts[0] * 0.63)).splitlines()[1:] == [
        "0.6000,0.6667,0,3"
    ]


def test_wandb_gets_both_as_charts_that_can_be_read_off() -> None:
    count, right = np.zeros((2, STEPS), np.int64)
    count[[600, 900]], right[[600, 900]] = 50, (20, 50)
    bins = Bins(
        np.bincount([9, 13], [50, 50], BINS).astype(int), np.bincount([9, 13], [20, 50], BINS), np.ones(BINS)
    )
    charts = wandb_curves(bins, SelectiveCurve(count, right), "val")
    assert set(charts) == {"val/reliability_curve", "val/selective_curve"}
    rows = charts["val/selective_curve"].table.data
    assert rows[9] == [0.5, 1.0, 0.9]
    assert rows[19] == [1.0, pytest.approx(0.7), 0.6]
    assert charts["val/reliability_curve"].table.data[0] == [1 / 50, 0.4, 50]


def test_an_impossible_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every_n_epochs of at least 1; got 0"):
        ReliabilityPanel(tmp_path, every_n_epochs=0)
