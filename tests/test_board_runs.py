"""What whole runs leave in W&B: a training and a test by two processes, a test by one, a map, its evaluation.

Everything is read back from the offline runs on disk.
"""

import csv
import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
import yaml
from PIL import Image
from toy_world import make_toy, write_config

from eoseg.cli import main
from eoseg.tracking.dashboard import logged_names, specification

pytestmark = pytest.mark.slow

TWO_PROCESSES = """
import os, sys
import torch
from eoseg.cli import main

config, fitted, tested = sys.argv[1:]
os.environ["EOSEG_RUN_FOLDER"] = fitted
main(["fit", f"--config={config}", "--trainer.devices=2", "--trainer.strategy=ddp"])
torch.distributed.barrier()
os.environ["EOSEG_RUN_FOLDER"] = tested
main(["test", fitted, "--verbose=false"])
"""


class Run:
    """An offline run, read back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (log,) = folder.glob("wandb/offline-run-*/run-*.wandb")  # one run, whatever the number of processes
        program = str(Path(sys.executable).with_name("wandb"))
        done = subprocess.run(
            [program, "leet", "inspect", "--json", str(log)], capture_output=True, check=True
        )
        self.records = [json.loads(line) for line in done.stdout.splitlines()]
        self.files = log.parent / "files"
        (self.begun,) = self.all("run")
        self.history = [entry["item"] for entry in self.all("history")]
        self.artifacts = self.all("artifact")

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [record[kind] for record in self.records if record["type"] == kind]

    def names(self) -> Counter[str]:
        """How often each panel or figure was logged."""
        parts = ("count", "path", "_type")
        found = [
            {name.rpartition(".")[0] if name.rpartition(".")[2] in parts else name for name in item}
            for item in self.history
        ]
        return Counter(name for names in found for name in names)

    def item(self, name: str) -> dict[str, Any]:
        (found,) = [item for item in self.history if any(key.startswith(f"{name}.") for key in item)]
        return {key.removeprefix(f"{name}."): value for key, value in found.items()}

    def lineage(self) -> set[tuple[str, str, bool]]:
        """Kind, name and whether it is used, of what is no table of W&B's own."""
        return {
            (one["type"], one["name"], bool(one.get("use_after_commit")))
            for one in self.artifacts
            if one["type"] != "run_table"
        }

    def table(self, name: str) -> dict[str, Any]:
        """A table with its pictures, which only its artifact has."""
        entries = [entry for one in self.artifacts for entry in one["manifest"]["contents"]]
        (path,) = {entry["local_path"] for entry in entries if entry["path"] == f"{name}.table.json"}
        return json.loads(Path(path).read_text())


def start(rank: int, port: int, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    here = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.Popen(
        [sys.executable, "-c", TWO_PROCESSES, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the runs below runs/; W&B is offline, and the user has no settings."""
    folder = tmp_path_factory.mktemp("board")
    config = yaml.safe_load(write_config(folder, max_epochs=1, check_val_every_n_epoch=1).read_text())
    config["run"] = {"panels_every": 1, "tags": ["mine"], "table_pictures": 5}
    config["data"]["init_args"]["scenes"]["root"] = "."
    (folder / "toy.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    config["model"] = {"class_path": "ClassificationTask", "init_args": {"arch": "lenet5"}}
    (folder / "chips.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    make_toy(folder / "unseen", 9, (60, 71))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB_", "EOSEG_RUN_"))]:
            patch.delenv(name)
        for name in ("RANK", "LOCAL_RANK", "EOSEG_RUN_FOLDER", "EOSEG_RUN_FOLDER_OWNER", "WANDB_DATA_DIR"):
            patch.setenv(name, "")
            patch.delenv(name)
        for name in ("CONFIG", "CACHE"):
            patch.setenv(f"WANDB_{name}_DIR", str(folder / name.lower()))
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        patch.chdir(folder)
        yield folder
        wandb.teardown()


@pytest.fixture(scope="module")
def together(place: Path) -> Path:
    """A training and a test by two processes, runs/two/fit and runs/two/test."""
    fitted, tested = place / "runs" / "two" / "fit", place / "runs" / "two" / "test"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(rank, port, place, "toy.yaml", str(fitted), str(tested)) for rank in (0, 1)]
    told = [process.communicate(timeout=1500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert f"To upload this run: wandb sync {fitted}/wandb/offline-run-*" in told[0]
    assert "wandb sync" not in told[1]
    return place / "runs" / "two"


@pytest.fixture(scope="module")
def fitted(together: Path) -> Run:
    return Run(together / "fit")


@pytest.fixture(scope="module")
def tested(together: Path) -> Run:
    return Run(together / "test")


def test_the_dashboard_asks_for_nothing_that_is_not_logged(fitted: Run, tested: Run) -> None:
    elsewhere = {"train/data_wait", "train/gpu_memory_gib"}  # of other callbacks, and where there is a GPU
    wanted = set(logged_names(specification("segmentation"))) - elsewhere
    assert wanted - set(fitted.names()) - set(tested.names()) == set()


def test_each_panel_is_there_once(fitted: Run, tested: Run) -> None:
    panels = (
        "chips",
        "strips",
        "legend",
        "worst",
        "matrix",
        "confusion_table",
        "reliability",
        "selective",
        "classes",
    )
    for run, stage in ((fitted, "val"), (tested, "test")):
        counts = run.names()
        assert {f"{stage}/{name}": counts[f"{stage}/{name}"] for name in panels} == {
            f"{stage}/{name}": 1 for name in panels
        }
    assert tested.names()["test/table"] == 1


def test_overlays_have_masks_names_and_places(fitted: Run) -> None:
    chips = fitted.item("val/chips")
    assert chips["count"] == 8
    assert re.fullmatch(r"scene_\d@\d+,\d+: lon 9\.\d+, lat 48\.\d+", chips["captions"][0])
    masks = chips["all_masks"][0]
    assert set(masks) == {"prediction", "truth", "error"}
    assert set(np.unique(np.asarray(Image.open(fitted.files / masks["truth"]["path"])))) <= {0, 1, 2, 255}
    written = json.dumps(fitted.all("config"))
    assert json.dumps({"0": "soil", "1": "grass", "2": "roof", "255": "no label"})[1:-1] in written


def test_the_run_says_what_it_is(fitted: Run, tested: Run) -> None:
    assert (fitted.begun["run_group"], fitted.begun["job_type"]) == ("two", "train")
    assert (tested.begun["run_group"], tested.begun["job_type"]) == ("two", "test")
    split = json.loads((fitted.folder / "split.json").read_text())["sha256"][:12]
    assert fitted.begun["tags"][:2] == ["mine", "SegmentationTask"]
    assert f"split:{split}" in fitted.begun["tags"]
    config = {key: value for record in fitted.all("config") for key, value in record["update"].items()}
    assert config["model"]["init_args"]["network_args"] == {"depth": 3, "channels": 8}
    assert config["leakage"]["verdict"] == json.loads((fitted.folder / "leakage.json").read_text())["verdict"]


def test_the_pulse_and_the_figures_are_in_it(fitted: Run) -> None:
    logged = set(fitted.names())
    assert {"train/lr", "train/grad_norm", "train/samples_per_second", "val/miou", "val/iou/grass"} <= logged
    assert {"val/f1/grass", "val/ece", "val/aurc", "train/loss_epoch", "val/loss"} <= logged


def test_the_training_is_one_run_with_its_data_and_its_models(fitted: Run, tested: Run) -> None:
    name = (fitted.folder / "wandb_run_id.txt").read_text().strip()
    split = json.loads((fitted.folder / "split.json").read_text())["sha256"][:12]
    data, model = ("dataset", f"dataset-{split}"), ("model", f"model-{name}")
    assert fitted.lineage() == {(*data, True), (*model, False)}
    aliases = [one["aliases"] for one in fitted.artifacts if one["type"] == "model"]
    assert aliases == [["last"], ["best"]]
    evaluation = ("evaluation", f"evaluation-{(tested.folder / 'wandb_run_id.txt').read_text().strip()}")
    assert tested.lineage() == {(*data, True), (*model, True), (*evaluation, False)}
    best = next(one for one in fitted.artifacts if one.get("aliases") == ["best"])
    used = next(one for one in tested.artifacts if one["type"] == "model")
    assert best["digest"] == used["digest"]
    last = torch.load(fitted.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["wandb_run_id"] == name


def test_the_table_has_a_row_for_each_test_chip(tested: Run) -> None:
    with (tested.folder / "chips_test.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = tested.table("test/table")
    assert [row[0] for row in table["data"]] == [row["chip"] for row in rows]
    assert len({row["chip"] for row in rows}) == len(rows) > 8
    columns = ["chip", "image", "longitude", "latitude", "loss", "entropy", "right"]
    assert table["columns"] == [*columns, "iou/soil", "iou/grass", "iou/roof"]
    pictures = [row[1] for row in table["data"] if row[1] is not None]
    assert len(pictures) == 5
    assert set(pictures[0]["masks"]) == {"prediction", "truth", "error"}


def test_one_process_shows_and_counts_the_same_as_two(place: Path, together: Path, tested: Run) -> None:
    alone_here = ["--trainer.devices=1", "--trainer.strategy=auto"]
    main(["test", str(together / "fit"), "--verbose=false", "--run.name=alone", *alone_here])
    alone = Run((place / "runs" / "alone-test" / "latest").resolve())
    for name in ("confusion_test.csv", "reliability_test.csv"):
        assert (alone.folder / name).read_text() == (tested.folder / name).read_text()
    assert alone.item("test/chips")["captions"] == tested.item("test/chips")["captions"]
    assert alone.item("test/worst")["captions"] == tested.item("test/worst")["captions"]
    rows = [
        [
            [row["chip"], row["right"], row["iou/soil"]]
            for row in csv.DictReader(file.read_text().splitlines())
        ]
        for file in (alone.folder / "chips_test.csv", tested.folder / "chips_test.csv")
    ]
    assert rows[0] == rows[1]
    pictured = [
        [row[0] for row in run.table("test/table")["data"] if row[1] is not None] for run in (alone, tested)
    ]
    assert pictured[0] == pictured[1]
    shown = [
        [
            run.folder / "panels" / "worst_test" / path.name
            for path in sorted((run.folder / "panels" / "worst_test").iterdir())
        ]
        for run in (alone, tested)
    ]
    for mine, theirs in zip(*shown, strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


def test_map_and_evaluation_use_the_model(place: Path, together: Path, fitted: Run) -> None:
    model, image = together / "fit" / "model.ckpt", place / "unseen" / "images" / "scene_9.tif"
    truth = place / "unseen" / "labels" / "scene_9.tif"
    main(["predict", str(model), str(image), "--out=map.tif", "--no-progress", "--wandb", "--project=maps"])
    main(["evaluate", "map.tif", str(truth), "--wandb", f"--model={model}", "--out=a.json"])
    name = (fitted.folder / "wandb_run_id.txt").read_text().strip()
    made, judged = (
        Run((place / "runs" / f"map-{kind}" / "latest").resolve()) for kind in ("predict", "evaluate")
    )
    assert made.begun["project"] == "maps"
    (map_name,) = [one["name"] for one in made.artifacts if one["type"] == "map"]
    assert made.lineage() == {("model", f"model-{name}", True), ("map", map_name, False)}
    found = {(kind, used) for kind, _, used in judged.lineage()}
    assert found == {("model", True), ("map", True), ("evaluation", False)}
    assert ("map", map_name, True) in judged.lineage()
    accuracy = json.loads(Path("a.json").read_text())["scores"]["overall_accuracy"]
    assert [item["map/overall_accuracy"] for item in judged.history] == [accuracy]


def test_a_classifier_shows_its_grid_its_filters_and_where_it_looks(place: Path) -> None:
    pytest.importorskip("captum")
    main(["fit", "--config=chips.yaml"])
    run = Run((place / "runs" / "chips" / "latest").resolve())
    wanted = {name for name in logged_names(specification("classification")) if name.startswith("val/")}
    assert wanted - set(run.names()) == set()
    assert re.search(r": lon .*; \w+, answer \w+$", run.item("val/chips")["captions"][0])
