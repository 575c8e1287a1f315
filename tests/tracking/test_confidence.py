import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from task_worlds import World, batch_of, evaluate, make_schema, make_statistics, seeded, use_local_models

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError
from eoseg.tasks import ClassificationTask, SegmentationTask
from eoseg.tracking.confidence import ReliabilityPanel, confidence_counts, reliability_csv


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    seeded()


def logits_of(*shares: float) -> torch.Tensor:
    """Logits `(n, 2)` with these probabilities of the first class."""
    share = torch.tensor(shares)
    return torch.stack([share.log(), (1 - share).log()], dim=1)


def task_of(*, multilabel: bool = False) -> ClassificationTask:
    schema = make_schema(("a", "b"), multilabel=multilabel)
    task = ClassificationTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    return task


def test_answers_count_by_confidence_wrong_and_right() -> None:
    batch = batch_of(np.zeros((4, 2, 8, 8)), label=torch.tensor([0, 1, 0, IGNORE]))
    counts = confidence_counts(task_of(), logits_of(0.9005, 0.9005, 0.2505, 0.9), batch).numpy()
    assert counts.sum() == 3  # one has no label
    assert counts[:, 900].tolist() == [1, 1]
    assert counts[:, 749].tolist() == [1, 0]  # sure of the second class, which is wrong


def test_several_labels_count_each_on_its_likelier_side() -> None:
    batch = batch_of(np.zeros((1, 2, 8, 8)), label=torch.tensor([[1, 0]]))
    logits = torch.logit(torch.tensor([[0.8005, 0.6995]]))
    counts = confidence_counts(task_of(multilabel=True), logits, batch).numpy()
    assert counts[:, 800].tolist() == [0, 1]
    assert counts[:, 699].tolist() == [1, 0]


def test_a_test_leaves_counts_and_the_calibration_error(tmp_path: Path) -> None:
    schema = make_schema(("a", "b"))
    task = SegmentationTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    with torch.no_grad():
        task.network.body.layer.weight.zero_()
        task.network.body.layer.bias.copy_(torch.tensor([0.0, 3.0]))  # 0.953 sure of b
    mask = torch.ones(2, 8, 8, dtype=torch.long)
    mask[:, :4] = 0  # half of it is a
    data = World(make_statistics(schema), [], [batch_of(np.zeros((2, 2, 8, 8)), mask=mask)] * 2)
    figures = evaluate(task, data, tmp_path, callbacks=[ReliabilityPanel(tmp_path)])
    assert figures["test/calibration_error"] == pytest.approx(0.4525, abs=1e-3)
    with (tmp_path / "reliability_test.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["confidence from"], row["wrong"], row["right"]) == ("0.952", "128", "128")


def test_only_steps_that_occur_are_written() -> None:
    counts = np.zeros((2, 1000), np.int64)
    counts[1, 500] = 3
    assert reliability_csv(counts).splitlines()[1:] == ["0.5,0.501,0,3"]


def test_an_impossible_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every_n_epochs of at least 1; got 0"):
        ReliabilityPanel(tmp_path, every_n_epochs=0)
