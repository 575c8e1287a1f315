"""The audit of any data's split, and its result kept for the next run on the same files."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

from eoseg import __version__
from eoseg.datasets.base import EOData
from eoseg.datasets.chip_files import ChipFileData
from eoseg.datasets.datamodule import SceneData
from eoseg.datasets.leakage import Check, LeakageAudit
from eoseg.datasets.leakage_items import audit_chips, audit_rows
from eoseg.datasets.leakage_scenes import audit_scenes
from eoseg.datasets.leakage_torchgeo import audit_torchgeo
from eoseg.datasets.tables import TableData
from eoseg.datasets.torchgeo import TorchGeoData
from eoseg.errors import OutputError
from eoseg.files import write_atomically

_log = logging.getLogger(__name__)

_FOLDER = ".leakage"


def audit(data: EOData) -> LeakageAudit:
    """Look for ways in which what tests a network was seen in training.

    Data of a kind that is not eoseg's are not known to leak, and not known to be clean.
    """
    if isinstance(data, SceneData):
        return audit_scenes(data.reader, data.split, data.survey, chip_size=data.chip_size, seed=data.seed)
    if isinstance(data, ChipFileData):
        found = data.chip_list
        return audit_chips(
            data.split,
            data.store.read,
            paths=found.paths,
            labels=found.labels,
            groups=found.groups,
            seed=data.seed,
        )
    if isinstance(data, TableData):
        rows = data.reader
        values = rows.image.flatten(1).numpy()  # (n, T*F)
        return audit_rows(data.split, values, groups=rows.groups)
    if isinstance(data, TorchGeoData):
        return audit_torchgeo(data.ready_sources(), chip_size=data.chip_size)
    text = f"What {type(data).__name__} reads is not known, so its split was not audited."
    return LeakageAudit((Check("source", "unknown", text),))


def audit_once(data: EOData, folder: Path) -> LeakageAudit:
    """The same, taken from the folder of all runs where the files have not changed since.

    Args:
        data: The data.
        folder: Of all runs.
    """
    if not isinstance(data, (SceneData, ChipFileData, TableData)):  # whose files are not known
        return audit(data)
    key = _fingerprint(data)
    path = folder / _FOLDER / f"{key}.json"
    if path.is_file():
        try:
            return LeakageAudit.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError):
            _log.debug("%s cannot be read: the split is audited again", path)
    found = audit(data)
    if found.of("error"):  # nothing is left behind where nothing begins
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(found.to_dict()) + "\n")
    except (OSError, OutputError) as error:  # a folder that is not writable is told when the run begins
        _log.debug("the audit of the split was not kept: %s", error)
    return found


def _fingerprint(data: EOData) -> str:
    """What the audit depends on: the split, sizes and times of the files, the version."""
    text = [__version__, type(data).__name__, str(data.split_record["sha256"]), str(data.chip_size)]
    for path in sorted(set(_files(data))):
        file = Path(path)
        if file.is_file():
            stat = file.stat()
            text.append(f"{file.absolute()} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:32]


def _files(data: EOData) -> Iterator[str]:
    if isinstance(data, SceneData):
        yield from data.index.vectors
        for entry in data.index.entries.values():
            yield from entry.images
            yield entry.label or ""
    elif isinstance(data, ChipFileData):
        yield from data.chip_list.paths
    elif isinstance(data, TableData):
        yield from ([data.table.path] if isinstance(data.table.path, str) else data.table.path)
