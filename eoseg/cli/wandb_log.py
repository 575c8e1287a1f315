"""`--wandb` of the commands that train nothing: log what they make to W&B."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eoseg.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from eoseg.evaluate.label_audit import LabelAudit
    from eoseg.evaluate.map_accuracy import MapAccuracy
    from eoseg.recipe import Recipe
    from eoseg.tracking.wandb_mode import Mode

_PROJECT = "eoseg"


def add_wandb_options(parser: argparse.ArgumentParser, what: str) -> argparse._ArgumentGroup:
    """Add the options.

    Args:
        parser: That of the command.
        what: What is logged, for the help.

    Returns:
        Their group, for what one command has in addition.
    """
    group = parser.add_argument_group("W&B")
    group.add_argument(
        "--wandb",
        action="store_true",
        help=f"log {what} to W&B, with what it was made of; offline if need be",
    )
    group.add_argument("--project", metavar="NAME", help=f"the W&B project (default: {_PROJECT})")
    return group


def wandb_mode(*, wanted: bool, project: str | None) -> "Mode":
    """Find out whether W&B can be reached, before any work.

    Raises:
        ConfigError: W&B is wanted and not installed, its key is wrong, or a project is named for nothing.
    """
    if not wanted:
        if project is not None:
            raise ConfigError(f"--project {project} is for --wandb: add it, or leave --project out.")
        return "absent"
    from eoseg.tracking.wandb_mode import choose_mode

    mode = choose_mode()
    if mode == "absent":
        raise ConfigError('--wandb needs W&B, which is not installed: pip install "eoseg[wandb]".')
    return mode


def map_tags(path: Path) -> dict[str, str]:
    """What a map says of itself."""
    from eoseg.geo.scene import open_dataset

    with open_dataset(str(path)) as dataset:
        return {str(name): str(value) for name, value in dataset.tags().items()}


def log_map(path: Path, arguments: argparse.Namespace, recipe: "Recipe") -> None:
    """Log a map, and that its checkpoint made it.

    Args:
        path: The map.
        arguments: Those of `eoseg predict`, with the mode as `wandb`.
        recipe: That of the checkpoint.
    """
    from eoseg.tracking import jobs

    jobs.log_map(
        path,
        Path(arguments.checkpoint),
        recipe,
        map_tags(path),
        project=arguments.project or _PROJECT,
        mode=arguments.wandb,
    )


def read_model(checkpoint: Path, map_path: str) -> "tuple[Path, Recipe]":
    """The recipe of the checkpoint that a map was made with.

    Raises:
        CheckpointError: It is another one, or no checkpoint.
    """
    from eoseg.evaluate.accuracy import file_sha256
    from eoseg.geo.mapfile import read_map_info
    from eoseg.models.checkpoint import read_checkpoint  # imports torch

    if not checkpoint.is_file():
        raise CheckpointError(f"There is no checkpoint '{checkpoint}'. Name the one that made the map.")
    noted = read_map_info(map_path).tags.get("EOSEG_CHECKPOINT_SHA256")
    digest = str(file_sha256(checkpoint))
    if noted != digest:
        raise CheckpointError(
            f"The map was made with the checkpoint {str(noted)[:12]}, '{checkpoint}' is {digest[:12]}. Name "
            "the one that made it, or leave --model out."
        )
    return checkpoint, read_checkpoint(checkpoint)[0]


def log_evaluation(
    path: Path,
    evaluation: Mapping[str, Any],
    files: Sequence[Path],
    model: "tuple[Path, Recipe] | None",
    *,
    project: str | None,
    mode: "Mode",
) -> None:
    """Log the figures of a map; see `eoseg.tracking.jobs`."""
    from eoseg.tracking import jobs

    tags = evaluation["protocol"]["map_tags"]
    jobs.log_evaluation(path, evaluation, files, tags, model, project=project or _PROJECT, mode=mode)


def log_accuracy(
    path: Path,
    found: "MapAccuracy",
    files: Sequence[Path],
    model: "tuple[Path, Recipe] | None",
    *,
    project: str | None,
    mode: "Mode",
) -> None:
    """Log what a sample says of a map; see `eoseg.tracking.jobs`."""
    from eoseg.evaluate.area_section import area_picture
    from eoseg.tracking import jobs

    jobs.log_accuracy(
        path,
        found.to_dict(),
        area_picture(found),
        files,
        map_tags(path),
        model,
        project=project or _PROJECT,
        mode=mode,
    )


def log_label_audit(
    path: Path,
    found: "LabelAudit",
    pairs: Sequence[Mapping[str, Any]],
    models: "Sequence[tuple[Path, Recipe]]",
    *,
    project: str | None,
    mode: "Mode",
) -> None:
    """Log which labels are probably wrong; see `eoseg.tracking.jobs`."""
    from eoseg.tracking import jobs

    figures = {
        "judged": int(found.labels.sum()),
        "estimated_wrong": found.estimated_wrong,
        "suspects": len(found),
    }
    jobs.log_label_audit(path, figures, pairs, models, project=project or _PROJECT, mode=mode)
