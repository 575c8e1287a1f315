"""What maps and evaluations leave in W&B; tests/test_board_runs.py has the commands."""

from pathlib import Path

import numpy as np
import pytest
import wandb
from tracking_fakes import SCHEMA, STATISTICS
from wandb_records import isolate_wandb, read_run

from eoseg.recipe import Recipe
from eoseg.tracking.jobs import log_accuracy, log_evaluation, log_label_audit, log_map

RECIPE = Recipe("SegmentationTask", SCHEMA, STATISTICS, {"arch": "unet"}, 16, 1, {"seed": 0})
EVALUATION = {
    "protocol": {"map": "m.tif"},
    "scores": {
        "mean_iou": 0.5,
        "kappa": None,
        "classes": [{"name": "dark", "iou": 0.25}, {"name": "bright", "iou": None}],
    },
}


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    isolate_wandb(monkeypatch, tmp_path)
    for name in ("EOSEG_RUN_FOLDER", "EOSEG_RUN_FOLDER_OWNER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    trained = tmp_path / "runs" / "toy" / "1"
    trained.mkdir(parents=True)
    for name in ("config.yaml", "environment.json", "model.ckpt"):
        (trained / name).write_text(name)
    (trained / "wandb_run_id.txt").write_text("abc")
    (tmp_path / "m.tif").write_text("map")
    yield
    wandb.teardown()


def artifacts(folder: Path) -> dict[str, str]:
    records = read_run(folder.resolve())
    found = [record["artifact"] for record in records if record["type"] == "artifact"]
    return {one["type"]: "used" if one.get("use_after_commit") else "made" for one in found}


def test_a_map_is_made_of_its_checkpoint_in_the_group_of_the_training(tmp_path: Path) -> None:
    checkpoint = tmp_path / "runs" / "toy" / "1" / "model.ckpt"
    log_map(tmp_path / "m.tif", checkpoint, RECIPE, {"EOSEG_TASK": "x"}, project="p", mode="offline")
    folder = tmp_path / "runs" / "m-predict" / "latest"
    assert artifacts(folder) == {"model": "used", "map": "made"}
    run = next(record["run"] for record in read_run(folder.resolve()) if record["type"] == "run")
    assert (run["project"], run["run_group"], run["job_type"]) == ("p", "toy", "predict")


def test_an_evaluation_uses_map_and_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "acc.json").write_text("{}")
    model = (tmp_path / "runs" / "toy" / "1" / "model.ckpt", RECIPE)
    log_evaluation(
        tmp_path / "m.tif", EVALUATION, [tmp_path / "acc.json"], {}, model, project="p", mode="offline"
    )
    folder = tmp_path / "runs" / "m-evaluate" / "latest"
    found = artifacts(folder)
    assert {kind: found[kind] for kind in ("map", "model", "evaluation")} == {
        "map": "used",
        "model": "used",
        "evaluation": "made",
    }
    history = [
        record["history"]["item"] for record in read_run(folder.resolve()) if record["type"] == "history"
    ]
    assert history[0]["map/mean_iou"] == 0.5
    assert history[0]["map/iou/dark"] == 0.25
    assert not {"map/kappa", "map/iou/bright"} & set(history[0])  # undefined figures are left out


def test_disabled_nothing_is_left(tmp_path: Path) -> None:
    log_evaluation(tmp_path / "m.tif", EVALUATION, [], {}, None, project="p", mode="disabled")
    assert not (tmp_path / "runs" / "m-evaluate").exists()


def history(folder: Path) -> dict[str, object]:
    found = [
        record["history"]["item"] for record in read_run(folder.resolve()) if record["type"] == "history"
    ]
    return found[0]  # type: ignore[no-any-return]


def estimate(value: float) -> dict[str, object]:
    return {
        "value": value,
        "standard_error": 0.01,
        "margin_95": 0.02,
        "interval_95": [value - 0.02, value + 0.02],
    }


def test_accuracy_and_areas_use_map_and_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "areas.json").write_text("{}")
    classes = [
        {
            "name": name,
            "users_accuracy": users,
            "producers_accuracy": estimate(0.7),
            "area": estimate(12.5),
            "mapped_area": 13.0,
        }
        for name, users in (("dark", estimate(0.8)), ("bright", None))
    ]
    accuracy = {
        "overall_accuracy": estimate(0.9),
        "classes": classes,
        "area_unit": "m2",
        "protocol": {"map": "m.tif"},
    }
    log_accuracy(
        tmp_path / "m.tif",
        accuracy,
        np.zeros((8, 8, 3), np.uint8),
        [tmp_path / "areas.json"],
        {},
        (tmp_path / "runs" / "toy" / "1" / "model.ckpt", RECIPE),
        project="p",
        mode="offline",
    )
    folder = tmp_path / "runs" / "m-accuracy" / "latest"
    assert artifacts(folder) | {"evaluation": "made"} == artifacts(folder)
    assert (artifacts(folder)["map"], artifacts(folder)["model"]) == ("used", "used")
    logged = history(folder)
    assert (logged["sample/overall_accuracy"], logged["sample/overall_accuracy/low"]) == (0.9, 0.88)
    assert (logged["sample/area/dark"], logged["sample/users_accuracy/dark"]) == (12.5, 0.8)
    assert "sample/users_accuracy/bright" not in logged  # undefined figures are left out
    assert {"sample/classes.path", "sample/areas.path"} <= set(logged)


def test_an_audit_of_labels_uses_all_its_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "suspects.gpkg").write_text("list")
    pairs = [{"given": "dark", "proposed": "bright", "suspects": 3, "pixels": 40}]
    model = (tmp_path / "runs" / "toy" / "1" / "model.ckpt", RECIPE)
    figures = {"judged": 120, "estimated_wrong": 0.02, "suspects": 3}
    log_label_audit(tmp_path / "suspects.gpkg", figures, pairs, [model], project="p", mode="offline")
    folder = tmp_path / "runs" / "suspects-audit" / "latest"
    assert {kind: artifacts(folder)[kind] for kind in ("model", "label-audit")} == {
        "model": "used",
        "label-audit": "made",
    }
    logged = history(folder)
    assert (logged["labels/judged"], logged["labels/suspects"]) == (120, 3)
    assert "labels/suspects_by_class.path" in logged
