import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from lightning.pytorch import LightningModule
from PIL import Image
from task_worlds import HEIGHT, World, batch_of, evaluate, make_schema, make_statistics, use_local_models
from torch import Tensor
from tracking_fakes import SCHEMA, FakeData, FakeTask, make_trainer, quietly
from wandb_records import isolate_wandb, read_run

from eoseg.batch import Batch
from eoseg.errors import ConfigError, OutputError
from eoseg.recipe import BandStatistics, Schema
from eoseg.tasks import ChangeTask, ClassificationTask, RegressionTask, SegmentationTask, SeriesTask
from eoseg.tracking.callbacks import ChipPanels, ConfusionPanel
from eoseg.tracking.loggers import make_loggers

type Records = list[dict[str, Any]]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Records]]:
    """One offline run of four epochs with all callbacks, read back from disk."""
    folder = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        isolate_wandb(patch, folder)
        run = folder / "run"
        run.mkdir()
        callbacks = [
            ChipPanels(run, every_n_epochs=2, count=3),
            ConfusionPanel(run, every_n_epochs=2),
        ]
        loggers = make_loggers(run, project="p", name="n")
        trainer = make_trainer(run, loggers, callbacks)
        quietly(trainer.fit, FakeTask(), FakeData())
        wandb.finish()
        yield run, read_run(run)
        wandb.teardown()


def history(records: Records, key: str) -> list[dict[str, Any]]:
    """The steps that logged a key; W&B writes the parts of a medium as `key.part`."""
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [item for item in items if any(name.startswith(f"{key}.") for name in item)]


def media(run: Path, path: str) -> Path:
    (files,) = run.glob("wandb/offline-run-*/files")
    return files / path


def test_wandb_has_the_chips_of_each_second_epoch_once(logged: tuple[Path, Records]) -> None:
    run, records = logged
    steps = history(records, "val/chips")
    assert [item["trainer/global_step"] for item in steps] == [3, 7]
    for item in steps:
        assert item["val/chips.captions"] == [
            f"val/scene one@{16 * number},0: lon {7 + number}.00000, lat 46.50000" for number in range(3)
        ]
        assert item["val/chips.count"] == 3
        for name in item["val/chips.filenames"]:
            assert np.asarray(Image.open(media(run, name))).shape == (16, 16, 3)


def test_wandb_has_the_masks_with_class_names(logged: tuple[Path, Records]) -> None:
    run, records = logged
    masks = history(records, "val/chips")[-1]["val/chips.all_masks"][0]
    values = {key: np.asarray(Image.open(media(run, entry["path"]))) for key, entry in masks.items()}
    assert set(values) == {"prediction", "truth", "error"}
    assert values["truth"][4, [0, 12]].tolist() == [0, 1]
    assert values["prediction"][[4, 12], 3].tolist() == [0, 1]
    assert values["error"][[4, 12, 0], 3].tolist() == [0, 1, 255]
    last = [record["config"]["update"] for record in records if record["type"] == "config"][-1]
    written = json.dumps(last) + json.dumps([record for record in records if record["type"] == "config"])
    for names in ({"0": "dark", "1": "bright", "255": "no label"}, {"0": "right", "1": "wrong"}):
        assert json.dumps(names)[1:-1] in written


def test_wandb_has_the_confusion_matrix_from_counts(logged: tuple[Path, Records]) -> None:
    run, records = logged
    steps = history(records, "val/confusion_table")
    assert [item["trainer/global_step"] for item in steps] == [3, 7]
    table = json.loads(media(run, steps[-1]["val/confusion_table.path"]).read_text())
    assert table["columns"] == ["Actual", "Predicted", "nPredictions"]
    with (run / "confusion_val.csv").open() as file:
        rows = list(csv.reader(file))
    assert [str(row[2]) for row in table["data"]] == rows[1][1:] + rows[2][1:]
    shares = json.loads(media(run, steps[-1]["val/confusion_normalized_table.path"]).read_text())
    by_class = np.array([row[2] for row in shares["data"]]).reshape(2, 2)
    assert by_class.sum(axis=1) == pytest.approx([1, 1])
    assert history(records, "val/classes")
    charts = json.dumps([record for record in records if record["type"] == "config"])
    assert charts.count('"panelDefId": "wandb/confusion_matrix/v1"') >= 2


def test_wandb_has_the_strips_in_the_classes_colours_with_their_legend(logged: tuple[Path, Records]) -> None:
    run, records = logged
    item = history(records, "val/strips")[-1]
    assert item["val/strips.captions"] == item["val/chips.captions"]
    shown = np.asarray(Image.open(media(run, item["val/strips.filenames"][0])))
    drawn = np.asarray(Image.open(run / "panels" / "epoch_0003" / "00_val_scene_one_0,0.png"))
    assert (shown == drawn).all()
    assert history(records, "val/legend")[-1]["val/legend.count"] == 1


def test_wandb_has_the_matrix_as_two_pictures(logged: tuple[Path, Records]) -> None:
    _, records = logged
    captions = ["counts", "share of each reference class"]
    assert [item["val/matrix.captions"] for item in history(records, "val/matrix")] == [captions] * 2


def test_the_same_pictures_are_in_the_run_folder(logged: tuple[Path, Records]) -> None:
    run, _ = logged
    assert sorted(path.name for path in (run / "panels").iterdir()) == ["epoch_0001", "epoch_0003"]
    assert len(list((run / "panels" / "epoch_0001").iterdir())) == 3 + 1  # with their legend


def fit(folder: Path, callbacks: list, **options: Any) -> tuple[FakeTask, FakeData]:
    torch.manual_seed(0)
    task, data = FakeTask(), FakeData()
    quietly(make_trainer(folder, [], callbacks, **options).fit, task, data)
    return task, data


@pytest.mark.parametrize(
    ("every", "epochs", "shown"), [(1, 3, [0, 1, 2]), (2, 5, [1, 3, 4]), (10, 3, [2]), (3, 3, [2])]
)
def test_chips_are_shown_every_n_epochs_and_at_the_end(
    tmp_path: Path, every: int, epochs: int, shown: list[int]
) -> None:
    _, data = fit(tmp_path, [ChipPanels(tmp_path, every_n_epochs=every, count=2)], max_epochs=epochs)
    assert sorted(path.name for path in (tmp_path / "panels").iterdir()) == [
        f"epoch_{epoch:04d}" for epoch in shown
    ]
    assert data.asked == [("val", 2)] * len(shown)


def test_pictures_do_not_change_the_training(tmp_path: Path) -> None:
    plain, _ = fit(tmp_path, [])
    pictured, _ = fit(tmp_path, [ChipPanels(tmp_path, every_n_epochs=1), ConfusionPanel(tmp_path)])
    assert plain.weight.item() == pictured.weight.item()


def test_the_sanity_check_shows_nothing(tmp_path: Path) -> None:
    _, data = fit(tmp_path, [ChipPanels(tmp_path, every_n_epochs=1)], max_epochs=1, num_sanity_val_steps=2)
    assert len(data.asked) == 1


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_validate_and_test_leave_pictures_and_matrix(tmp_path: Path, stage: str) -> None:
    trainer = make_trainer(tmp_path, [], [ChipPanels(tmp_path, every_n_epochs=99), ConfusionPanel(tmp_path)])
    task = FakeTask()
    quietly(getattr(trainer, stage), task, FakeData())
    name = {"validate": "val", "test": "test"}[stage]
    assert len(list((tmp_path / "panels" / name).iterdir())) == 8 + 1
    with (tmp_path / f"confusion_{name}.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == ["dark", "bright"]
    assert [list(map(int, row[1:])) for row in rows[1:]] == task.matrix(name).tolist()
    assert task.matrix(name).sum() > 0  # the matrix of this epoch, not of before it


def test_a_failing_panel_stops_the_run_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "panels").write_text("in the way")
    with pytest.raises(OutputError, match="Panels cannot be written"):
        fit(tmp_path, [ChipPanels(tmp_path, every_n_epochs=1)])


class LateChoice(FakeTask):
    """Chooses at the end of the validation, as a threshold is chosen, to call everything bright."""

    chosen = False

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.chosen = True

    def predict_classes(self, logits: Tensor) -> Tensor:
        classes = super().predict_classes(logits)
        return torch.ones_like(classes) if self.chosen else classes


def test_pictures_are_made_once_a_threshold_is_chosen(tmp_path: Path) -> None:
    panels = ChipPanels(tmp_path, every_n_epochs=1, count=1)
    quietly(make_trainer(tmp_path, [], [panels], max_epochs=1).fit, LateChoice(), FakeData())
    strip = np.asarray(Image.open(tmp_path / "panels" / "epoch_0000" / "00_val_scene_one_0,0.png"))
    bright = SCHEMA.classes[1].color
    assert tuple(strip[8, 2 * 260 + 8].tolist()) == bright  # the first row, which the network calls dark


SCENES = np.zeros((2, 2, 8, 8))
CLASSES = torch.arange(2)[:, None, None].expand(2, 8, 8)
HEIGHTS = make_statistics(
    HEIGHT, class_pixels=(1,), target=BandStatistics("height", 20.0, 5.0, 0.0, 10.0, 30.0, 40.0)
)
LABELS = make_schema("ab", multilabel=True)


@pytest.mark.parametrize(
    ("make", "schema", "batch", "files"),
    [
        (SegmentationTask, make_schema(), batch_of(SCENES, mask=CLASSES), 4),
        (
            ChangeTask,
            make_schema(time="pair", steps=2),
            batch_of(np.zeros((2, 2, 2, 8, 8)), mask=CLASSES),
            4,
        ),
        (
            SeriesTask,
            make_schema(time="series", steps=3),
            batch_of(np.zeros((2, 3, 2, 8, 8)), mask=CLASSES, days=np.ones((2, 3), np.float32)),
            4,
        ),
        (ClassificationTask, make_schema(), batch_of(SCENES, label=torch.tensor([0, 1])), 2),
        (ClassificationTask, LABELS, batch_of(SCENES, label=torch.eye(2).long()), 2),
        (RegressionTask, HEIGHT, batch_of(SCENES, value=20.0 + CLASSES.float()), 3),
    ],
)
def test_each_task_leaves_its_pictures_and_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, schema: Schema, batch: Batch, files: int
) -> None:
    use_local_models(monkeypatch)
    task = make(schema, 8, arch="local")
    statistics = HEIGHTS if schema.quantity else make_statistics(schema)
    task.use_statistics(statistics)
    callbacks = [ChipPanels(tmp_path), ConfusionPanel(tmp_path)]
    evaluate(task, World(statistics, [], [batch]), tmp_path, callbacks=callbacks)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert len(found) == files, found
    table = {"labels_test.csv"} if schema.multilabel else {"confusion_test.csv"}
    assert {name for name in found if name.endswith(".csv")} == (set() if schema.quantity else table)


@pytest.mark.parametrize(("size", "kind"), [(1, "segmentation"), (16, "pretraining")])
def test_single_pixels_and_pretraining_have_no_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int, kind: str
) -> None:
    task, data = FakeTask(), FakeData()
    data.chip_size, task.kind = size, kind
    trainer = make_trainer(tmp_path, [], [ChipPanels(tmp_path), ConfusionPanel(tmp_path)])
    with caplog.at_level("DEBUG", logger="eoseg.tracking.callbacks"):
        quietly(trainer.test, task, data)
    assert not data.asked
    assert not (tmp_path / "panels").exists()
    assert (tmp_path / "confusion_test.csv").is_file()
    assert "no pictures of chips" in caplog.text


class FakeLabels(FakeTask):
    """Several labels per chip, counted as told."""

    kind = "classification"
    tables = np.array([[[5, 1], [2, 4]], [[9, 0], [3, 0]]])

    def __init__(self) -> None:
        super().__init__()
        self.schema = Schema(SCHEMA.bands, SCHEMA.classes, multilabel=True)

    def label_tables(self, stage: str) -> np.ndarray:
        return self.tables


class FakeHeights(LightningModule):
    """What it learns is no class: there is no matrix."""

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("test/rmse", batch.float().mean())


def test_several_labels_leave_a_row_for_each(tmp_path: Path) -> None:
    quietly(make_trainer(tmp_path, [], [ConfusionPanel(tmp_path)]).test, FakeLabels(), FakeData())
    with (tmp_path / "labels_test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["dark", "bright"]
    assert (rows[0]["right"], rows[0]["missed"], rows[0]["false"]) == ("4", "2", "1")
    assert not (tmp_path / "confusion_test.csv").exists()


def test_a_task_without_classes_leaves_no_matrix(tmp_path: Path) -> None:
    quietly(make_trainer(tmp_path, [], [ConfusionPanel(tmp_path)]).test, FakeHeights(), FakeData())
    assert list(tmp_path.glob("*.csv")) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs of at least 1; got 0"),
        ({"count": 0}, "1 to 49 chips; got 0"),
        ({"count": 50}, "1 to 49 chips; got 50"),
    ],
)
def test_impossible_numbers_are_refused(tmp_path: Path, options: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ChipPanels(tmp_path, **options)


def test_an_impossible_number_of_matrices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every_n_epochs of at least 1; got 0"):
        ConfusionPanel(tmp_path, every_n_epochs=0)
