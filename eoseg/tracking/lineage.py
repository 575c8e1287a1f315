"""What came out of what, as W&B artifacts: data, checkpoint, maps, evaluations."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eoseg.errors import ConfigError
from eoseg.geo.remote import address, is_remote
from eoseg.recipe import Plain, Recipe
from eoseg.tracking.charts import artifact_metadata
from eoseg.tracking.wandb_mode import ID_FILE, why_silent

if TYPE_CHECKING:
    from wandb import Artifact
    from wandb.sdk.wandb_run import Run

CHECKSUM_BYTES = 2**30
"""Files that are together no larger are read for their checksums; of others size and time count."""
MOST_FILES = 20_000
"""Of more files only the list with sizes and times is kept, and the folder they lie in."""

_REGISTRY = "wandb-registry-"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataFiles:
    """A data set as lineage has it."""

    name: str
    """Of the data, for people."""
    files: tuple[str, ...]
    """Paths and addresses."""
    split: Mapping[str, Plain]
    """How it was divided; at least `sha256`."""


def use_data(run: "Run", data: DataFiles, split_file: Path) -> None:
    """Say that a run learns from, or is judged by, a data set.

    The artifact refers to the files where they are; nothing but the split is uploaded.

    Args:
        run: The run.
        data: What it uses.
        split_file: The split.json of the run folder, if there is one.
    """
    import wandb

    present = [path for path in data.files if Path(path).is_file()]
    size = sum(Path(path).stat().st_size for path in present)
    few = len(data.files) <= MOST_FILES
    summed = few and size <= CHECKSUM_BYTES
    artifact = wandb.Artifact(
        f"dataset-{str(data.split['sha256'])[:12]}",
        type="dataset",
        description=f"{data.name}: {len(data.files)} files, as they are on disk, and their split.",
        metadata={
            "name": data.name,
            "files": len(data.files),
            "bytes": size,
            "folder": _common_folder(data.files),
            "checksums": "MD5 of the files" if summed else "size and time of change, in files.csv",
            "split": dict(data.split),
        },
    )
    if split_file.is_file():
        artifact.add_file(str(split_file), name="split.json", policy="immutable", skip_cache=True)
    if not summed:
        with artifact.new_file("files.csv") as table:
            table.writelines(_file_lines(present))
    for path, name in zip(data.files, _short_names(data.files), strict=True) if few else ():
        local = Path(path).is_file()
        if local or is_remote(path):
            place = Path(path).resolve().as_uri() if local else address(path)
            artifact.add_reference(place, name=f"files/{name}", checksum=summed and local)
    _use(run, artifact)


def model_artifact(checkpoint: Path, recipe: Recipe) -> "Artifact":
    """A checkpoint as an artifact: of the training that its folder names, else by its hash.

    The same file gives the same version wherever it is used, because W&B tells versions by their content.
    """
    import wandb

    for folder in (checkpoint.parent, checkpoint.parent.parent):
        if (folder / ID_FILE).is_file():
            name = (folder / ID_FILE).read_text(encoding="utf-8").strip()
            break
    else:
        name = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]
    artifact = wandb.Artifact(f"model-{name}", type="model", metadata=artifact_metadata(recipe))
    artifact.add_file(str(checkpoint), name="model.ckpt", policy="immutable", skip_cache=True)
    return artifact


def log_models(
    run: "Run", best: Path, last: Path | None, recipe: Recipe, *, register: str | None = None
) -> None:
    """Give W&B the checkpoints of a training, which stay where they lie until they are uploaded.

    Args:
        run: The run of the training.
        best: The best weights with their recipe, as `eoseg predict` takes them; alias "best".
        last: The last checkpoint, from which training can go on; alias "last".
        recipe: What is known of them.
        register: Registry and collection to link the best one to, such as "model/land-cover".
    """
    if last is not None and last.is_file():
        _publish(run, model_artifact(last, recipe), aliases=["last"])
    artifact = model_artifact(best, recipe)
    if register is not None and not run.offline and why_silent(str(run.settings.base_url)) is None:
        _link(run, artifact, register)
        return
    _publish(run, artifact, aliases=["best"])
    if register is not None:
        _log.info(
            "W&B is offline: %s is not in the registry yet. Once the run is uploaded: eoseg dashboard %s "
            "--register %s --publish ENTITY/PROJECT",
            artifact.name,
            best.parent,
            register,
        )


def use_model(run: "Run", checkpoint: Path, recipe: Recipe) -> None:
    """Say that a run uses a checkpoint."""
    _use(run, model_artifact(checkpoint, recipe))


def log_result(
    run: "Run", name: str, kind: str, files: Iterable[Path], metadata: Mapping[str, Any] | None = None
) -> None:
    """Give W&B files that a run has made, such as the tables of an evaluation; each is uploaded."""
    import wandb

    artifact = wandb.Artifact(name, type=kind, metadata=json.loads(json.dumps(dict(metadata or {}))))
    for path in files:
        artifact.add_file(str(path), name=path.name, policy="immutable", skip_cache=True)
    _publish(run, artifact)


def log_map(run: "Run", path: Path, metadata: Mapping[str, Any]) -> None:
    """Say that a run has made a map."""
    _publish(run, map_artifact(path, metadata))


def map_artifact(path: Path, metadata: Mapping[str, Any]) -> "Artifact":
    """A map as an artifact that refers to the file where it lies; maps are too large to be copied."""
    import wandb

    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    artifact = wandb.Artifact(f"map-{_plain(path.stem)}-{digest}", type="map", metadata=dict(metadata))
    artifact.add_reference(path.resolve().as_uri(), name=path.name, checksum=True)
    return artifact


def use_map(run: "Run", path: Path, metadata: Mapping[str, Any]) -> None:
    """Say that a run uses a map."""
    _use(run, map_artifact(path, metadata))


def registry_path(name: str) -> str:
    """Where a registry's collection is in W&B.

    Args:
        name: "REGISTRY/COLLECTION", or "COLLECTION" in the registry "model" that W&B begins with.

    Raises:
        ConfigError: The name is neither.
    """
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ConfigError(
            f"--register names a registry and a collection, such as model/land-cover, or the collection "
            f"alone; found '{name}'."
        )
    registry, _, collection = name.rpartition("/")
    return f"{_REGISTRY}{(registry or 'model').removeprefix(_REGISTRY)}/{collection}"


def _use(run: "Run", artifact: "Artifact") -> None:
    """Use an artifact that is described here: W&B takes the version of the same content, or makes one."""
    _publish(run, artifact, used=True)


def _publish(run: "Run", artifact: "Artifact", *, aliases: Sequence[str] = (), used: bool = False) -> None:
    """Write an artifact into the run's log on disk, from where W&B sends it, at once or by `wandb sync`.

    `run.log_artifact` does the same offline. Online it asks the server first, and fails where that has gone
    away; `run.use_artifact` waits for it, and cannot be used offline.
    """
    artifact.finalize()
    interface = run._interface
    assert interface is not None  # the run is not finished
    interface.publish_artifact(
        run, artifact, list(aliases), None, finalize=True, is_user_created=True, use_after_commit=used
    )


def _link(run: "Run", artifact: "Artifact", register: str) -> None:
    """Upload the best checkpoint and link it to a registry; a registry that is not there ends no run."""
    target = registry_path(register)
    try:
        run.link_artifact(run.log_artifact(artifact, aliases=["best"]), target)
    except Exception as error:  # whatever the connection and W&B's client raise
        _log.warning(
            "W&B did not link %s to %s (%s). Check that the registry exists.",
            artifact.name,
            target,
            " ".join(str(error).split())[:160],
        )


def _file_lines(paths: Sequence[str]) -> Iterable[str]:
    yield "path,bytes,changed\n"
    for path in paths:
        state = Path(path).stat()
        yield f"{json.dumps(path)},{state.st_size},{state.st_mtime_ns}\n"


def _common_folder(paths: Sequence[str]) -> str:
    """The folder that all local files lie below."""
    local = {str(Path(path).resolve().parent) for path in paths if Path(path).exists()}
    return os.path.commonpath(sorted(local)) if local else ""


def _short_names(paths: Sequence[str]) -> list[str]:
    """Paths below their common folder; an address as it is, without its scheme."""
    common = _common_folder(paths)
    return [
        os.path.relpath(Path(path).resolve(), common)
        if Path(path).exists()
        else re.sub(r"^[\w+]+://", "", address(path))
        for path in paths
    ]


def _plain(name: str) -> str:
    """A name that W&B takes for an artifact."""
    return re.sub(r"[^\w.-]+", "_", name)[:60]
