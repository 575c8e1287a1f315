from pathlib import Path
from types import SimpleNamespace

import pytest

from eoseg.tracking.callbacks import ChipPanels
from eoseg.tracking.chip_table import ChipTable
from eoseg.tracking.identity import RunRecord
from eoseg.tracking.insight import InsightPanel
from eoseg.tracking.loggers import MetricsFile
from eoseg.tracking.pulse import TrainingPulse
from eoseg.tracking.recorders import recorders, run_loggers

DATA = SimpleNamespace(data_name="fields", files=list, split_record={"sha256": "ab" * 32})


def kinds(folder: Path, *, training: bool = True, panels_every: int = 5) -> list[type]:
    found = recorders(folder, DATA, training=training, panels_every=panels_every, table_pictures=7)
    return [type(callback) for callback in found]


def test_the_record_comes_last(tmp_path: Path) -> None:
    assert kinds(tmp_path)[-1] is RunRecord


def test_only_a_training_has_a_pulse(tmp_path: Path) -> None:
    assert TrainingPulse in kinds(tmp_path)
    assert TrainingPulse not in kinds(tmp_path, training=False)


def test_without_panels_there_are_no_pictures_of_chips(tmp_path: Path) -> None:
    assert not {ChipPanels, InsightPanel} & set(kinds(tmp_path, panels_every=0))
    found = recorders(tmp_path, DATA, training=False, panels_every=0, table_pictures=7)
    (table,) = [callback for callback in found if isinstance(callback, ChipTable)]
    assert (table.worst, table._pictures) == (0, 0)  # its rows are written all the same


@pytest.mark.parametrize(("command", "group"), [("fit", "here"), ("test", "toy")])
def test_an_evaluation_is_in_the_group_of_its_training(tmp_path: Path, command: str, group: str) -> None:
    trained = tmp_path / "toy" / "1"
    trained.mkdir(parents=True)
    for name in ("config.yaml", "environment.json"):
        (trained / name).write_text("")
    folder = tmp_path / "here" / "2"
    folder.mkdir(parents=True)
    loggers = run_loggers(
        folder,
        DATA,
        command=command,
        task="SegmentationTask",
        project="p",
        group=None,
        tags=("mine",),
        mode="offline",
        checkpoint=str(trained / "model.ckpt"),
        tensorboard=False,
    )
    assert isinstance(loggers[0], MetricsFile)
    begun = loggers[1]._wandb_init  # type: ignore[attr-defined]
    assert (begun["group"], begun["job_type"]) == (group, {"fit": "train", "test": "test"}[command])
    assert begun["tags"][:3] == ("mine", "SegmentationTask", "fields")
