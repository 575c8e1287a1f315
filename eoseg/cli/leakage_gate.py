"""The audit of a split before `eoseg fit`: what it refuses, and what goes beside every figure."""

import json
import logging
from pathlib import Path

from eoseg.datasets.audit import audit_once
from eoseg.datasets.base import EOData
from eoseg.datasets.leakage import LeakageAudit
from eoseg.files import write_atomically
from eoseg.models.checkpoint_file import read_checkpoint
from eoseg.recipe import Plain

logger = logging.getLogger(__name__)

FILE = "leakage.json"
"""In the run folder: everything that was checked, and the map of the split."""


def audit_before_training(data: EOData, runs: Path, *, allowed: bool) -> LeakageAudit:
    """Refuse a split that leaks, and say what may flatter.

    Args:
        data: What is to be trained on.
        runs: Folder of all runs, where audits are kept.
        allowed: Whether a split that leaks is taken all the same.

    Raises:
        ConfigError: The split leaks.
    """
    found = audit_once(data, runs)
    found.require_clean(allowed=allowed)
    for check in found.of("error") + found.of("warning"):
        logger.warning("Leakage: %s", check.text)
    took = f"{found.seconds:.1f} s; 'eoseg doctor' shows it"
    logger.info("The split was audited for leakage: %s (%s).", found.verdict, took)
    return found


def keep_audit(found: LeakageAudit | None, folder: Path) -> None:
    """Write an audit, where there was one, into the folder of its run."""
    if found is not None:
        write_atomically(folder / FILE, json.dumps(found.to_dict(), indent=1) + "\n")


def leakage_record(
    audit: LeakageAudit | None, allowed: bool, checkpoint: str | Path | None
) -> dict[str, Plain]:
    """What the audit of a split found.

    Args:
        audit: Before this training; None where none begins.
        allowed: Whether leaks were allowed.
        checkpoint: Where no training begins, the one that is evaluated.
    """
    if audit is not None:
        return audit.record(allowed=allowed)
    split = read_checkpoint(checkpoint)[0].provenance.get("split") if checkpoint else None
    found = split.get("leakage") if isinstance(split, dict) else None
    return found if isinstance(found, dict) else {"verdict": "not audited"}
