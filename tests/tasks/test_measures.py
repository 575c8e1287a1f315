"""What a test adds up beside the figures: blocks that sum to the matrix, reliability, pixels left out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from task_worlds import (
    World,
    batch_of,
    evaluate,
    make_schema,
    make_statistics,
    seeded,
    train,
    use_local_models,
)

from eoseg.batch import Batch
from eoseg.calibration import measure_reliability
from eoseg.spatial_blocks import CELL, read_blocks
from eoseg.tasks import ChangeTask, ClassificationTask, SegmentationTask
from eoseg.tasks.class_task import ClassTask
from eoseg.tasks.measures import Measures
from eoseg.tasks.optim import OptimizerConfig
from eoseg.tasks.reliability import LogitSample

SCHEMA = make_schema()
SIZE = 48


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


def chip_batch(number: int, rng: np.random.Generator, dates: tuple[int, ...] = ()) -> Batch:
    image = rng.normal(0, 1, (2, *dates, 2, SIZE, SIZE))
    first = image[:, 0, 0] - image[:, 1, 0] if dates else image[:, 0]
    batch = batch_of(image, mask=(first + rng.normal(0, 0.5, (2, SIZE, SIZE)) > 0.8).astype(int))
    batch["mask"][:, :2] = 255
    batch["id"] = [f"scene@{number * SIZE},{col * SIZE}" for col in (0, 1)]
    batch["counted"] = torch.full((2,), SIZE * SIZE)
    batch["eroded"] = torch.tensor([3, 4])
    return batch


def evaluated(task: ClassTask, folder: Path, dates: tuple[int, ...] = ()) -> World:
    rng = seeded()
    data = World(
        make_statistics(task.schema),
        [chip_batch(0, rng, dates)] * 2,
        [chip_batch(n, rng, dates) for n in range(5)],
    )
    train(task, data, folder)
    evaluate(task, data, folder)
    return data


def segmentation() -> SegmentationTask:
    seeded()
    return SegmentationTask(SCHEMA, 8, arch="local", optimizer=OptimizerConfig(lr=0.05))


def test_the_blocks_of_a_test_sum_to_its_confusion_matrix(tmp_path: Path) -> None:
    task = segmentation()
    evaluated(task, tmp_path)
    blocks = task.measured("test").blocks
    assert blocks is not None
    assert (blocks.matrices.sum(axis=0) == task.matrix("test")).all()
    assert blocks.side == CELL
    rows, cols = -(-5 * SIZE // CELL), -(-2 * SIZE // CELL)
    assert set(blocks.keys) == {("scene", row, col) for row in range(rows) for col in range(cols)}


def test_blocks_and_matrix_agree_where_a_threshold_is_chosen(tmp_path: Path) -> None:
    seeded()
    task = ChangeTask(make_schema(time="pair", steps=2), 8, arch="local", optimizer=OptimizerConfig(lr=0.1))
    evaluated(task, tmp_path, (2,))
    blocks = task.measured("test").blocks
    assert task.threshold_in_force() not in (None, 0.5)
    assert blocks is not None
    assert (blocks.matrices.sum(axis=0) == task.matrix("test")).all()


def test_the_curve_ends_at_the_accuracy_of_the_map(tmp_path: Path) -> None:
    seeded()
    schema = make_schema(time="pair", steps=2)
    for number, threshold in enumerate(("validation", 0.3, "likeliest")):
        task = ChangeTask(schema, 8, arch="local", threshold=threshold, optimizer=OptimizerConfig(lr=0.1))
        evaluated(task, tmp_path / str(number), (2,))
        for stage in ("val", "test"):
            curve, matrix = task.measured(stage).curve, task.matrix(stage)
            assert (curve.total, curve.right.sum()) == (matrix.sum(), matrix.trace())
        likeliest = task.measured("test").likeliest
        assert (int(likeliest.right.sum()) == int(curve.right.sum())) is (threshold == "likeliest")


def test_reliability_is_that_of_the_logits(tmp_path: Path) -> None:
    task = segmentation()
    data = evaluated(task, tmp_path)
    found = task.measured("test").reliability
    with torch.no_grad():
        chances = torch.cat(
            [
                task(batch["image"], batch["valid"]).softmax(1).movedim(1, -1).flatten(0, 2)
                for batch in data.batches["val"]
            ]
        )
    truth = torch.cat([batch["mask"].flatten() for batch in data.batches["val"]])
    expected = measure_reliability(chances.numpy(), truth.numpy(), SCHEMA.class_names)
    assert found is not None
    assert found.ece == pytest.approx(expected.ece, abs=1e-6)
    assert found.brier == pytest.approx(expected.brier, abs=1e-6)
    assert found.class_ece == pytest.approx(expected.class_ece, abs=1e-6)
    assert task.figures("test")["nll"] == pytest.approx(expected.nll, abs=1e-6)


def test_pixels_that_were_left_out_are_counted_once_for_each_test(tmp_path: Path) -> None:
    task = segmentation()
    data = evaluated(task, tmp_path)
    measured = task.measured("test")
    assert (measured.counted, measured.eroded) == (10 * SIZE * SIZE, 35)
    evaluate(task, data, tmp_path)
    assert task.measured("test").counted == measured.counted  # counts start afresh


def test_a_training_does_without_blocks_and_reliability(tmp_path: Path) -> None:
    task, rng = segmentation(), seeded()
    data = World(make_statistics(SCHEMA), [chip_batch(0, rng)], [chip_batch(1, rng)])
    trainer = train(task, data, tmp_path)
    measured = task.measured("val")
    assert (measured.blocks, measured.reliability, measured.judged) == (None, None, False)
    assert measured.curve.total == task.matrix("val").sum()
    assert measured.counted == 2 * SIZE * SIZE
    assert "val/brier" not in trainer.callback_metrics
    assert "val/brier" in evaluate(task, data, tmp_path, "validate")


def test_chips_without_a_place_are_counted_by_their_group(tmp_path: Path) -> None:
    rng = seeded()
    task = ClassificationTask(SCHEMA, 8, arch="local")
    batches = []
    for number in range(6):
        batch = batch_of(rng.normal(0, 1, (2, 2, 8, 8)), label=rng.integers(0, 2, 2))
        batch["id"] = [f"farm{number % 3}/{number}-{side}.jpg" for side in "ab"]
        batches.append(batch)
    data = World(make_statistics(SCHEMA), batches[:2], batches)
    data.unit_of = lambda name: name.partition("/")[0]  # type: ignore[method-assign]
    train(task, data, tmp_path)
    evaluate(task, data, tmp_path)
    blocks = task.measured("test").blocks
    assert blocks is not None
    assert (blocks.side, len(blocks.keys)) == (None, 3)
    assert blocks.matrices.sum(axis=(1, 2)).tolist() == [4, 4, 4]


def test_labelled_chips_with_a_place_are_counted_there() -> None:
    measures = Measures(["a", "b"])
    measures.reset(judge=True)
    ids, classes = ["s@0,0", "s@0,8", "s@64,0"], torch.tensor([0, 1, 1])
    measures.update(torch.zeros(3, 2), classes, torch.tensor([0, 1, 255]), ids, str)
    blocks = measures.measured().blocks
    assert blocks is not None
    assert blocks.keys == (("s", 0, 0),)
    assert blocks.matrices.tolist() == [[[1, 0], [0, 1]]]


class Keep(Callback):
    """Write what the first process holds at the end of a test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTask)
        pl_module.measures("test").sample = LogitSample(2, size=500)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTask)
        sample = pl_module.measures("test").sample
        blocks = pl_module.measured("test").blocks
        if trainer.is_global_zero:
            assert sample is not None
            assert blocks is not None
            blocks.write(self.path, {"logits": sample.sample()[0].tolist(), "world": trainer.world_size})


@pytest.mark.slow
def test_two_processes_hold_the_blocks_and_the_sample_of_one(tmp_path: Path) -> None:
    task = segmentation()
    data = evaluated(task, tmp_path)
    held = []
    for name, options in (("one", {}), ("two", {"devices": 2, "strategy": "ddp_fork"})):
        evaluate(task, data, tmp_path, callbacks=[Keep(tmp_path / name)], **options)
        held.append(read_blocks(tmp_path / name))
    (one, alone), (two, together) = held
    assert (alone["world"], together["world"]) == (1, 2)
    assert one.keys == two.keys
    assert (one.matrices == two.matrices).all()
    np.testing.assert_allclose(alone["logits"], together["logits"], rtol=1e-5)
