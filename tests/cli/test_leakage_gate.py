"""What is refused before a training; that it stands beside every figure is in test_trainer.py."""

import logging
from pathlib import Path

import pytest
from toy_world import make_toy

from eoseg.cli import leakage_gate
from eoseg.cli.leakage_gate import FILE, audit_before_training, keep_audit, leakage_record
from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.datamodule import SceneData
from eoseg.datasets.leakage import Check, LeakageAudit
from eoseg.datasets.split_file import Region, Split
from eoseg.errors import ConfigError
from eoseg.geo.window import Window

LEAKING = LeakageAudit((Check("ground", "error", "Shared."), Check("polygons", "warning", "Cut.")), None, 0.5)


def test_a_leak_is_refused_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leakage_gate, "audit_once", lambda data, folder: LEAKING)
    with pytest.raises(ConfigError, match=r"The split leaks.*Shared"):
        audit_before_training(None, tmp_path, allowed=False)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        assert audit_before_training(None, tmp_path, allowed=True) is LEAKING  # type: ignore[arg-type]
    assert [record.message for record in caplog.records] == [
        "Leakage: Shared.",
        "Leakage: Cut.",
        "The split was audited for leakage: leaking (0.5 s; 'eoseg doctor' shows it).",
    ]


def test_regions_of_a_split_file_that_overlap_are_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    make_toy(tmp_path, 0, (96, 96))
    source = SceneSource(
        "images/*.tif", "labels/*.tif", ["soil", "grass", "roof"], root=str(tmp_path), bands=["nir", "red"]
    )
    regions = (
        Region("scene_0", Window(0, 0, 64, 96), "train"),
        Region("scene_0", Window(48, 0, 48, 96), "val"),
    )
    (tmp_path / "split.json").write_text(Split("blocks", 0, {}, regions).to_json())
    data = SceneData(source, chip_size=16, split=SplitConfig(path=str(tmp_path / "split.json")))
    with pytest.raises(ConfigError, match="train and val share 0.154 km2 of ground in 1 place"):
        audit_before_training(data, tmp_path / "runs", allowed=False)
    found = audit_before_training(data, tmp_path / "runs", allowed=True)
    record = leakage_record(found, True, None)
    assert (record["verdict"], record["allowed"]) == ("leaking", True)
    assert record["checks"]["ground"] == "error"  # type: ignore[index, call-overload]


def test_an_audit_is_kept_in_its_run_folder(tmp_path: Path) -> None:
    keep_audit(None, tmp_path)
    assert not (tmp_path / FILE).exists()
    keep_audit(LEAKING, tmp_path)
    assert '"verdict": "leaking"' in (tmp_path / FILE).read_text()


def test_without_a_checkpoint_nothing_was_audited() -> None:
    assert leakage_record(None, False, None) == {"verdict": "not audited"}
    assert leakage_record(LEAKING, True, None) == LEAKING.record(allowed=True)
