import csv
from pathlib import Path
from typing import Any

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

from eoseg.batch import Batch
from eoseg.errors import ConfigError
from eoseg.recipe import BandStatistics, Schema
from eoseg.tasks import ChangeTask, ClassificationTask, RegressionTask, SegmentationTask, SeriesTask
from eoseg.tasks.optim import OptimizerConfig
from eoseg.tracking.chip_table import ChipTable

TARGET = BandStatistics("height", 20.0, 5.0, 0.0, 10.0, 30.0, 40.0)
MASK = torch.arange(2)[:, None, None].expand(2, 8, 8)


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    seeded()


def named_batch(first: int, shares: list[float]) -> Batch:
    """Chips of class b by so large a share; the network below says a everywhere."""
    mask = torch.zeros(len(shares), 8, 8, dtype=torch.long)
    for number, share in enumerate(shares):
        mask[number, : round(8 * share)] = 1
    batch = batch_of(np.zeros((len(shares), 2, 8, 8)), mask=mask)
    return {**batch, "id": [f"chip{first + number}@0,0" for number in range(len(shares))]}


def segmentation(batches: list[Batch]) -> tuple[SegmentationTask, World]:
    schema = make_schema(("a", "b"))
    task = SegmentationTask(schema, 8, arch="local", optimizer=OptimizerConfig("SGD", lr=1e-9))
    statistics = make_statistics(schema)
    task.use_statistics(statistics)
    with torch.no_grad():
        task.network.body.layer.weight.zero_()
        task.network.body.layer.bias.copy_(torch.tensor([2.0, 0.0]))
    return task, World(statistics, batches[:1], batches)


BATCHES = [named_batch(0, [0.0, 0.75, 0.25]), named_batch(3, [1.0, 0.5])]
BY_LOSS = ["chip3@0,0", "chip1@0,0", "chip4@0,0", "chip2@0,0", "chip0@0,0"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_test_leaves_a_row_for_each_chip(tmp_path: Path) -> None:
    task, data = segmentation(BATCHES)
    evaluate(task, data, tmp_path, callbacks=[ChipTable(tmp_path)])
    rows = rows_of(tmp_path / "chips_test.csv")
    assert [row["chip"] for row in rows] == [f"chip{number}@0,0" for number in range(5)]
    assert [float(row["right"]) for row in rows] == [1.0, 0.25, 0.75, 0.0, 0.5]
    assert sorted(rows, key=lambda row: -float(row["loss"]))[0]["chip"] == "chip3@0,0"


@pytest.mark.parametrize(("stage", "name"), [("test", "worst_test"), ("validate", "worst_val")])
def test_the_worst_chips_are_shown_worst_first(tmp_path: Path, stage: str, name: str) -> None:
    task, data = segmentation(BATCHES)
    evaluate(task, data, tmp_path, stage, callbacks=[ChipTable(tmp_path, worst=3)])
    shown = sorted(path.name for path in (tmp_path / "panels" / name).iterdir())
    expected = [f"{n:02d}_{chip.replace('@', '_')}.png" for n, chip in enumerate(BY_LOSS[:3])]
    assert shown == [*expected, "legend.png"]


def test_a_training_shows_the_worst_chips_of_its_last_validation(tmp_path: Path) -> None:
    task, data = segmentation(BATCHES)
    table = ChipTable(tmp_path, every_n_epochs=5, worst=2)
    train(task, data, tmp_path, callbacks=[table], max_epochs=2)
    shown = {path.name for path in (tmp_path / "panels" / "worst_val").iterdir()}
    assert shown == {"00_chip3_0,0.png", "01_chip1_0,0.png", "legend.png"}
    assert not (tmp_path / "chips_val.csv").exists()


def test_pictured_chips_are_chosen_by_their_ids_not_by_their_order(tmp_path: Path) -> None:
    found = []
    for number, batches in enumerate((BATCHES, [BATCHES[1], BATCHES[0]])):
        table = ChipTable(tmp_path / str(number), pictures=2)
        (tmp_path / str(number)).mkdir()
        task, data = segmentation(batches)
        evaluate(task, data, tmp_path, callbacks=[table])
        found.append(sorted(panel.id for panel in table._chosen.kept.values()))
    assert found[0] == found[1]
    assert len(found[0]) == 2


@pytest.mark.parametrize(
    ("make", "schema", "batch", "columns"),
    [
        (ChangeTask, make_schema(time="pair", steps=2), {"image": (2, 2, 2, 8, 8), "mask": MASK}, "iou/b"),
        (
            SeriesTask,
            make_schema(time="series", steps=3),
            {"image": (2, 3, 2, 8, 8), "mask": MASK, "days": np.ones((2, 3), np.float32)},
            "iou/b",
        ),
        (ClassificationTask, make_schema(), {"image": (2, 2, 8, 8), "label": torch.tensor([0, 1])}, "answer"),
        (
            ClassificationTask,
            make_schema("ab", multilabel=True),
            {"image": (2, 2, 8, 8), "label": torch.eye(2).long()},
            "answer",
        ),
        (RegressionTask, HEIGHT, {"image": (2, 2, 8, 8), "value": 20.0 + MASK.float()}, "rmse"),
    ],
)
def test_each_task_has_its_table_and_its_worst_chips(
    tmp_path: Path, make: Any, schema: Schema, batch: dict[str, Any], columns: str
) -> None:
    task = make(schema, 8, arch="local")
    more = {"class_pixels": (), "target": TARGET} if schema.quantity else {}
    statistics = make_statistics(schema, **more)
    task.use_statistics(statistics)
    chips = batch_of(np.zeros(batch.pop("image")), **batch)
    evaluate(task, World(statistics, [], [chips]), tmp_path, callbacks=[ChipTable(tmp_path)])
    rows = rows_of(tmp_path / "chips_test.csv")
    assert len(rows) == 2
    assert columns in rows[0]
    assert list((tmp_path / "panels" / "worst_test").iterdir())


def test_single_pixels_have_no_table(tmp_path: Path) -> None:
    task, data = segmentation(BATCHES)
    data.chip_size = 1
    evaluate(task, data, tmp_path, callbacks=[ChipTable(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs of at least 1; got 0"),
        ({"pictures": -1}, "pictures of at least 0"),
        ({"worst": -1}, "worst of at least 0; got -1"),
    ],
)
def test_impossible_numbers_are_refused(tmp_path: Path, options: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ChipTable(tmp_path, **options)
