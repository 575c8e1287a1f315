"""What is refused before a training; that it stands beside every figure is in test_trainer.py."""

import logging
from pathlib import Path

import pytest

from eoseg.cli import leakage_gate
from eoseg.cli.leakage_gate import FILE, audit_before_training, keep_audit, leakage_record
from eoseg.datasets.leakage import Check, LeakageAudit
from eoseg.errors import ConfigError

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


def test_an_audit_is_kept_in_its_run_folder(tmp_path: Path) -> None:
    keep_audit(None, tmp_path)
    assert not (tmp_path / FILE).exists()
    keep_audit(LEAKING, tmp_path)
    assert '"verdict": "leaking"' in (tmp_path / FILE).read_text()


def test_without_a_checkpoint_nothing_was_audited() -> None:
    assert leakage_record(None, False, None) == {"verdict": "not audited"}
    assert leakage_record(LEAKING, True, None) == LEAKING.record(allowed=True)
