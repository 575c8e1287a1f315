"""Any data are audited, once for the same files."""

import os
from pathlib import Path

import pytest
from chip_factory import chip_data, make_folders
from leakage_factory import APART, write_scenes
from table_factory import table_of, write_arrays

from eoseg.datasets import audit as module
from eoseg.datasets.audit import audit, audit_once
from eoseg.datasets.base import EOData
from eoseg.datasets.config import SplitConfig
from eoseg.datasets.datamodule import SceneData
from eoseg.datasets.leakage import LeakageAudit
from eoseg.datasets.tables import TableData

SPLIT = SplitConfig(method="files", val=["b"], test=["c"])


def scenes(folder: Path) -> SceneData:
    return SceneData(write_scenes(folder, APART), 32, split=SPLIT)


def test_scenes_chips_and_tables_are_audited(tmp_path: Path):
    make_folders(tmp_path / "chips", {"crop": 6, "lake": 6, "town": 6})
    write_arrays(tmp_path)
    for data in (scenes(tmp_path / "s"), chip_data(tmp_path / "chips"), TableData(table_of(tmp_path))):
        assert audit(data).verdict == "clean"


def test_other_data_are_neither_known_to_leak_nor_to_be_clean(tmp_path: Path):
    class Other:
        pass

    found = audit_once(Other(), tmp_path)  # type: ignore[arg-type]
    assert (found.level, found.checks[0].text) == (
        "unknown",
        "What Other reads is not known, so its split was not audited.",
    )
    assert not list(tmp_path.iterdir())


def test_the_same_files_are_audited_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    done: list[EOData] = []

    def count(data: EOData) -> LeakageAudit:
        done.append(data)
        return audit(data)

    monkeypatch.setattr(module, "audit", count)
    first = audit_once(scenes(tmp_path / "s"), tmp_path / "runs")
    again = SceneData(scenes(tmp_path / "t").scenes, 32, split=SPLIT)  # others
    assert len(done) == 1
    data = SceneData(scenes(tmp_path / "s").scenes, 32, split=SPLIT)
    stamp = (tmp_path / "s" / "images" / "a.tif").stat().st_mtime_ns
    audit_once(data, tmp_path / "runs")
    assert len(done) == 2  # they were written again
    assert audit_once(SceneData(data.scenes, 32, split=SPLIT), tmp_path / "runs").checks == first.checks
    assert len(done) == 2
    audit_once(again, tmp_path / "runs")
    assert len(done) == 3
    os.utime(tmp_path / "s" / "images" / "a.tif", ns=(stamp, stamp + 1))
    audit_once(SceneData(data.scenes, 32, split=SPLIT), tmp_path / "runs")
    assert len(done) == 4
    (kept,) = [path for path in (tmp_path / "runs" / ".leakage").iterdir() if path.stat().st_mtime_ns > 0][:1]
    for path in kept.parent.iterdir():
        path.write_text("{")
    audit_once(SceneData(data.scenes, 32, split=SPLIT), tmp_path / "runs")
    assert len(done) == 5  # a file that cannot be read is made again


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path):
    (tmp_path / "runs").write_text("a file")
    assert audit_once(scenes(tmp_path / "s"), tmp_path / "runs").verdict == "clean"
