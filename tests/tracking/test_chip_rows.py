import csv
import io

import numpy as np
import pytest
import torch
from task_worlds import HEIGHT, batch_of, make_schema, make_statistics, seeded, use_local_models

from eoseg.batch import IGNORE, Batch
from eoseg.recipe import BandStatistics
from eoseg.tasks import ClassificationTask, RegressionTask, SegmentationTask
from eoseg.tracking.chip_rows import chip_losses, chip_rows, entropy_of, named, part_of, rows_csv

TARGET = BandStatistics("height", 20.0, 5.0, 0.0, 10.0, 30.0, 40.0)


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    seeded()


def segmentation() -> tuple[SegmentationTask, Batch, torch.Tensor]:
    """Two chips of 4 x 4: one all right, one with a quarter wrong and a row without label."""
    schema = make_schema(("a", "b", "c"))
    task = SegmentationTask(schema, 4, arch="local", loss="cross_entropy")
    task.use_statistics(make_statistics(schema))
    mask = torch.zeros(2, 4, 4, dtype=torch.long)
    mask[:, 2:] = 1
    answer = mask.clone()
    answer[1, 2, :2] = 2  # two of the twelve labelled pixels of class 1 or 0
    mask[1, 3] = IGNORE
    logits = torch.nn.functional.one_hot(answer, 3).permute(0, 3, 1, 2) * 10.0
    return task, batch_of(np.zeros((2, 2, 4, 4)), mask=mask), logits


def test_a_row_has_share_of_right_pixels_and_iou_of_each_class() -> None:
    right, wrong = chip_rows(*reordered(segmentation()))
    assert right.figures["right"] == 1.0
    assert (right.figures["iou/a"], right.figures["iou/b"], right.figures["iou/c"]) == (1.0, 1.0, None)
    assert wrong.figures["right"] == 10 / 12
    assert (wrong.figures["iou/a"], wrong.figures["iou/b"], wrong.figures["iou/c"]) == (1.0, 2 / 4, 0.0)


def reordered(parts: tuple[SegmentationTask, Batch, torch.Tensor]) -> tuple:
    task, batch, logits = parts
    return task, logits, batch


def test_the_loss_of_a_chip_is_that_of_a_batch_with_it_alone() -> None:
    task, batch, logits = segmentation()
    losses = chip_losses(task, logits, batch)
    assert losses == [task.compute_loss(logits[[n]], part_of(batch, [n])).item() for n in (0, 1)]
    assert losses[1] > losses[0]


def test_entropy_is_one_where_all_classes_are_alike_and_near_zero_where_one_is_sure() -> None:
    logits = torch.zeros(2, 3, 1, 1)
    logits[1, 0] = 50.0
    assert entropy_of(logits, multilabel=False).flatten().tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    labels = torch.tensor([[0.0, 0.0], [60.0, -60.0]])
    assert entropy_of(labels, multilabel=True).tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert entropy_of(torch.ones(1, 1, 2, 2), multilabel=False).sum() == 0


def test_entropy_of_a_chip_leaves_invalid_pixels_out() -> None:
    task, batch, logits = segmentation()
    logits[0, :, 0] = 0.0  # four unsure pixels, which nobody sees
    batch["valid"][0, 0] = False
    row, _ = chip_rows(task, logits, batch)
    assert row.figures["entropy"] == pytest.approx(0.0, abs=1e-2)


def test_a_classified_chip_has_its_class_and_the_answer() -> None:
    schema = make_schema(("low", "high"))
    task = ClassificationTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    batch = batch_of(np.zeros((2, 2, 8, 8)), label=torch.tensor([0, 1]))
    rows = chip_rows(task, torch.tensor([[5.0, 0.0], [5.0, 0.0]]), batch)
    assert [row.figures["reference"] for row in rows] == ["low", "high"]
    assert [row.figures["answer"] for row in rows] == ["low", "low"]
    assert [row.figures["right"] for row in rows] == [1.0, 0.0]


def test_a_quantity_has_the_error_of_each_chip() -> None:
    task = RegressionTask(HEIGHT, 8, arch="local")
    task.use_statistics(make_statistics(HEIGHT, class_pixels=(), target=TARGET))
    value = torch.full((2, 8, 8), 20.0)
    value[1, 0, 0] = float("nan")
    logits = torch.full((2, 1, 8, 8), 23.0)
    logits[1] = 16.0
    rows = chip_rows(task, logits, batch_of(np.zeros((2, 2, 8, 8)), value=value))
    assert [row.figures for row in rows] == [{"rmse": 3.0}, {"rmse": 4.0}]


def test_rows_are_a_table_with_places() -> None:
    rows = chip_rows(*reordered(segmentation()))
    table = list(csv.DictReader(io.StringIO(rows_csv(rows, [(7.5, 46.25), None]))))
    assert list(table[0])[:5] == ["chip", "longitude", "latitude", "loss", "entropy"]
    assert (table[0]["longitude"], table[0]["latitude"]) == ("7.5", "46.25")
    assert (table[1]["longitude"], table[1]["iou/c"]) == ("", "0.0")


def test_answers_have_names() -> None:
    assert named(np.array(1), ["a", "b"]) == "b"
    assert named(np.array(IGNORE), ["a", "b"]) == ""
    assert named(np.array([1, 0]), ["a", "b"]) == "a"
    assert named(np.array([0, 0]), ["a", "b"]) == "none"
