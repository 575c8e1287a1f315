"""A training in many processes, that is stopped and goes on: what the command line says and does of it."""

import json
import logging
from pathlib import Path

import pytest
import torch
import yaml
from full_disk import largest_file
from toy_world import write_config

from eoseg.cli import main
from eoseg.cli.configuration import check_config
from eoseg.cli.scaling import ManyProcesses, plan_processes, translated, warn_of_version
from eoseg.errors import ConfigError, OutputError

CLUSTER = Path(__file__).parents[2] / "configs" / "cluster"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    folder = tmp_path_factory.mktemp("finished")
    config = write_config(folder, max_epochs=1, enable_progress_bar=False)
    more = ["--run.panels_every=0", f"--run.resume={folder / 'run'}"]
    main(["fit", f"--config={config}", "--no-wandb", *more])
    return folder / "run"


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_resume_names_a_folder_that_is_begun_and_then_gone_on_with(finished: Path) -> None:
    assert (finished / "model.ckpt").is_file()
    main(["fit", "--resume", str(finished), "--trainer.max_epochs=2", "--no-wandb"])
    last = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 1
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert config["run"]["resume"] is None  # who repeats the run does not go on with it
    assert config["trainer"]["max_epochs"] == 2
    figures = json.loads((finished / "figures.json").read_text())
    assert figures["batch"] == {"effective": 8, "learning_rate": 0.01}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "--resume goes with fit and the folder of a run"),
        (["--resume", "nowhere"], "'nowhere' is not the folder of a run: it has no config.yaml"),
        (["--resume=nowhere"], "'nowhere' is not the folder of a run"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in fails(capsys, "fit", *arguments)


def test_a_run_without_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    assert "has no checkpoint to go on from" in fails(capsys, "fit", "--resume", str(tmp_path))
    assert "--resume goes with fit" in fails(capsys, "test", "--resume", str(tmp_path))


def test_another_split_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = fails(capsys, "fit", "--resume", str(finished), "--data.init_args.split.val=0.4", "--no-wandb")
    assert "The checkpoint was trained on the split" in told


def test_another_network_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = fails(
        capsys, "fit", "--resume", str(finished), "--model.init_args.network_args.depth=4", "--no-wandb"
    )
    assert "The checkpoint was made for network" in told


def test_a_checkpoint_of_another_version_is_said(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_version("0.0.7")
    assert "The checkpoint was made by eoseg 0.0.7, this is eoseg" in caplog.text


def test_a_full_disk_ends_the_training_with_one_line_and_the_last_checkpoint(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = finished / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    more = ["--trainer.max_epochs=9", "--no-wandb"]
    with largest_file(len(before) // 2):
        told = fails(capsys, "fit", "--resume", str(finished), *more)
    assert "cannot be written" in told
    assert f"eoseg fit --resume {finished} goes on" in told
    assert last.read_bytes() == before


def test_a_broken_checkpoint_falls_back(
    finished: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    last = finished / "checkpoints" / "last.ckpt"
    (finished / "checkpoints" / "last-previous.ckpt").write_bytes(last.read_bytes())
    last.write_bytes(last.read_bytes()[:1000])
    main(["fit", "--resume", str(finished), "--no-wandb"])
    assert "last.ckpt is cut off or no checkpoint" in caplog.text
    assert f"Going on from {finished / 'checkpoints' / 'last-previous.ckpt'}" in caplog.text
    for name in ("last.ckpt", "last-previous.ckpt", "best.ckpt"):
        (finished / "checkpoints" / name).write_bytes(b"")
    assert "There is nothing to go on from" in fails(capsys, "fit", "--resume", str(finished), "--no-wandb")


def test_a_loss_that_is_lost_leaves_the_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, max_epochs=3, enable_progress_bar=False)
    more = ["--no-wandb", "--run.panels_every=0", f"--run.resume={tmp_path / 'run'}"]
    steep = ["--model.init_args.optimizer.name=SGD", "--model.init_args.optimizer.lr=1e30"]
    told = fails(capsys, "fit", f"--config={config}", *more, *steep)
    assert "The loss is" in told
    named = (tmp_path / "run" / "lost_samples_0.txt").read_text().splitlines()
    assert len(named) == 8
    assert all("scene_" in name for name in named)
    assert named[0] in told


def test_a_compiled_network_has_the_names_of_a_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call, **_: compiled.append(call) or call)
    config = write_config(tmp_path, max_epochs=1, enable_progress_bar=False)
    more = ["--run.panels_every=0", f"--run.resume={tmp_path / 'run'}", "--run.compile=true"]
    main(["fit", f"--config={config}", "--no-wandb", *more])
    assert compiled
    held = torch.load(tmp_path / "run" / "model.ckpt", weights_only=True)["state_dict"]
    assert not [name for name in held if "_orig_mod" in name]
    main(["test", str(tmp_path / "run"), "--no-wandb", f"--run.folder={tmp_path / 'runs'}"])


def test_fsdp_without_a_gpu_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = fails(
        capsys,
        *("fit", f"--config={write_config(tmp_path)}", "--trainer.strategy=fsdp", "--no-wandb"),
        f"--run.folder={tmp_path / 'runs'}",
    )
    assert "fsdp divides a network over GPUs, and there is none here" in told
    assert not (tmp_path / "runs").exists()


def test_negative_times_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    assert "must not be negative" in fails(capsys, "fit", f"--config={config}", "--run.checkpoint_minutes=-1")


def test_processes_are_planned_for_all_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "EOSEG_RUN_FOLDER", "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(ManyProcesses) as planned:
        plan_processes({}, base=tmp_path, name="demo", resume=None)
    assert planned.value.processes == 4
    assert planned.value.folder.parent == tmp_path / "demo"
    with pytest.raises(ManyProcesses) as planned:
        plan_processes({"devices": 2}, base=tmp_path, name="demo", resume=Path("runs/x"))
    assert (planned.value.processes, planned.value.folder) == (2, Path("runs/x"))


def test_what_torch_says_of_others_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:123")
    assert isinstance(translated(lost), OutputError)
    assert translated(RuntimeError("shapes do not match")) is None
    assert isinstance(translated(torch.cuda.OutOfMemoryError("CUDA out of memory")), ConfigError)
    monkeypatch.setenv("EOSEG_PARENT", "1")
    with pytest.raises(SystemExit) as stopped:
        translated(lost)
    assert stopped.value.code == 76


@pytest.mark.parametrize("path", sorted(CLUSTER.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_configuration_for_clusters_has_no_unknown_key(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    check_config(config, where=str(path))
    assert config["trainer"]["strategy"] == "fsdp"
