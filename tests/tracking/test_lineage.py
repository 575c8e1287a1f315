import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import wandb
from tracking_fakes import SCHEMA, STATISTICS
from wandb_records import isolate_wandb, read_run

from eoseg.errors import ConfigError
from eoseg.recipe import Recipe
from eoseg.tracking import lineage
from eoseg.tracking.lineage import (
    DataFiles,
    log_map,
    log_models,
    log_result,
    registry_path,
    use_data,
    use_map,
    use_model,
)

RECIPE = Recipe("SegmentationTask", SCHEMA, STATISTICS, {"arch": "unet"}, 16, 1, {"seed": 0})
SPLIT = {"method": "blocks", "sha256": "0123456789abcdef" * 4}


@pytest.fixture(autouse=True, scope="module")
def user(tmp_path_factory: pytest.TempPathFactory):
    """One process of W&B for all runs: starting it costs more than they do."""
    with pytest.MonkeyPatch.context() as patch:
        isolate_wandb(patch, tmp_path_factory.mktemp("user"))
        patch.setenv("WANDB_MODE", "offline")
        yield
        wandb.teardown()


@pytest.fixture
def data(tmp_path: Path) -> DataFiles:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "scene.tif").write_text(f"pixels of {name}")
    files = tuple(str(tmp_path / "data" / name / "scene.tif") for name in ("a", "b"))
    return DataFiles("fields", (*files, "https://user:secret@example.org/c.tif?token=secret"), SPLIT)


def artifacts_of(folder: Path, *steps: Any) -> list[dict[str, Any]]:
    """What an offline run with these steps has of artifacts, read back from disk."""
    folder.mkdir(exist_ok=True)
    with wandb.init(dir=folder, project="p") as run:
        for step in steps:
            step(run)
    return [record["artifact"] for record in read_run(folder) if record["type"] == "artifact"]


def entries(artifact: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["path"]: entry for entry in artifact["manifest"]["contents"]}


def test_a_data_set_is_referred_to_with_checksums_and_its_split(tmp_path: Path, data: DataFiles) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps(SPLIT))
    (found,) = artifacts_of(tmp_path, lambda run: use_data(run, data, split))
    assert (found["type"], found["name"]) == ("dataset", "dataset-0123456789ab")
    assert found["use_after_commit"]
    assert set(entries(found)) == {
        "split.json",
        "files/a/scene.tif",
        "files/b/scene.tif",
        "files/example.org/c.tif",
    }
    scene = entries(found)["files/a/scene.tif"]
    assert scene["ref"] == Path(data.files[0]).as_uri()
    assert base64.b64decode(scene["digest"]) == hashlib.md5(b"pixels of a").digest()
    assert entries(found)["files/example.org/c.tif"]["ref"] == "https://example.org/c.tif"
    assert "secret" not in json.dumps(found)
    metadata = json.loads(found["metadata"])
    assert metadata["split"] == SPLIT
    assert metadata["checksums"] == "MD5 of the files"


def test_large_files_are_told_apart_by_size_and_time(
    tmp_path: Path, data: DataFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "CHECKSUM_BYTES", 10)
    digests = []
    for _ in range(2):
        (found,) = artifacts_of(
            tmp_path / str(len(digests)), lambda run: use_data(run, data, tmp_path / "none")
        )
        digests.append(entries(found)["files.csv"]["digest"])
        Path(data.files[0]).write_text("pixels of A")  # as many bytes, at another time
    assert digests[0] != digests[1]
    assert "size and time" in json.loads(found["metadata"])["checksums"]


def test_of_very_many_files_only_their_list_is_kept(
    tmp_path: Path, data: DataFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "MOST_FILES", 1)
    (found,) = artifacts_of(tmp_path / "run", lambda run: use_data(run, data, tmp_path / "none"))
    assert set(entries(found)) == {"files.csv"}
    assert json.loads(found["metadata"])["folder"] == str(tmp_path / "data")


def test_the_same_checkpoint_is_one_version_in_training_and_evaluation(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "toy" / "1"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "model.ckpt").write_text("best")
    (folder / "checkpoints" / "last.ckpt").write_text("last")
    (folder / "wandb_run_id.txt").write_text("abc\n")
    best, last = folder / "model.ckpt", folder / "checkpoints" / "last.ckpt"
    of_last, of_best = artifacts_of(tmp_path / "fit", lambda run: log_models(run, best, last, RECIPE))
    (used,) = artifacts_of(tmp_path / "test", lambda run: use_model(run, best, RECIPE))
    assert {one["name"] for one in (of_last, of_best, used)} == {"model-abc"}
    assert (of_last["aliases"], of_best["aliases"]) == (["last"], ["best"])
    assert of_best["digest"] == used["digest"] != of_last["digest"]
    assert used["use_after_commit"]
    assert not of_best.get("use_after_commit")
    assert json.loads(of_best["metadata"])["schema"]["bands"] == list(SCHEMA.bands)
    assert entries(of_best)["model.ckpt"]["local_path"] == str(best)  # not copied


def test_a_checkpoint_from_elsewhere_is_named_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_text("weights")
    (used,) = artifacts_of(tmp_path, lambda run: use_model(run, tmp_path / "model.ckpt", RECIPE))
    assert used["name"] == "model-" + hashlib.sha256(b"weights").hexdigest()[:12]


def test_a_map_is_made_once_and_used_as_the_same_version(tmp_path: Path) -> None:
    path = tmp_path / "my map.tif"
    path.write_text("classes")
    (made,) = artifacts_of(tmp_path / "predict", lambda run: log_map(run, path, {"EOSEG_TASK": "x"}))
    (used,) = artifacts_of(tmp_path / "evaluate", lambda run: use_map(run, path, {"EOSEG_TASK": "x"}))
    assert made["name"] == used["name"]
    assert made["name"].startswith("map-my_map-")
    assert made["digest"] == used["digest"]
    assert entries(made)["my map.tif"]["ref"] == path.as_uri()


def test_results_are_uploaded_with_their_figures(tmp_path: Path) -> None:
    (tmp_path / "chips_test.csv").write_text("chip\n")
    (found,) = artifacts_of(
        tmp_path,
        lambda run: log_result(
            run, "evaluation-1", "evaluation", [tmp_path / "chips_test.csv"], {"miou": 0.5}
        ),
    )
    assert json.loads(found["metadata"]) == {"miou": 0.5}
    assert list(entries(found)) == ["chips_test.csv"]


def test_offline_a_registry_is_linked_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "model.ckpt").write_text("best")
    artifacts_of(
        tmp_path,
        lambda run: log_models(run, tmp_path / "model.ckpt", None, RECIPE, register="model/land-cover"),
    )
    told = f"eoseg dashboard {tmp_path} --register model/land-cover --publish ENTITY/PROJECT"
    assert told in caplog.text


class OnlineRun:
    """A run that is online, as far as linking goes."""

    offline = False

    def __init__(self, address: str) -> None:
        self.settings = type("Settings", (), {"base_url": address})
        self.linked: list[tuple[str, str, list[str]]] = []

    def log_artifact(self, artifact: Any, aliases: list[str]) -> tuple[str, list[str]]:
        return artifact.name, aliases

    def link_artifact(self, logged: tuple[str, list[str]], target: str) -> None:
        self.linked.append((logged[0], target, logged[1]))
        if target.endswith("missing"):
            raise ValueError("no such registry")


def test_online_the_best_checkpoint_is_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lineage, "why_silent", lambda address: None)
    (tmp_path / "model.ckpt").write_text("best")
    (tmp_path / "wandb_run_id.txt").write_text("abc")
    run: Any = OnlineRun("http://here")
    log_models(run, tmp_path / "model.ckpt", None, RECIPE, register="land-cover")
    assert run.linked == [("model-abc", "wandb-registry-model/land-cover", ["best"])]
    log_models(run, tmp_path / "model.ckpt", None, RECIPE, register="team/missing")  # and the run goes on
    assert "W&B did not link model-abc to wandb-registry-team/missing (no such registry)." in caplog.text


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("land-cover", "wandb-registry-model/land-cover"),
        ("team/land-cover", "wandb-registry-team/land-cover"),
        ("wandb-registry-team/land-cover", "wandb-registry-team/land-cover"),
    ],
)
def test_a_registry_has_its_path(name: str, path: str) -> None:
    assert registry_path(name) == path


@pytest.mark.parametrize("name", ["", "a/b/c", "a b", "/x", "x/"])
def test_what_is_no_registry_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="--register names a registry and a collection"):
        registry_path(name)
