"""W&B runs of commands that train nothing: maps and their evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eoseg.files import write_atomically
from eoseg.recipe import Recipe
from eoseg.tracking import lineage
from eoseg.tracking.lineage import log_result, use_map, use_model
from eoseg.tracking.run_folder import create_run_folder, trained_as
from eoseg.tracking.wandb_mode import ID_FILE, Mode, close_run, run_settings

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run


def log_map(
    path: Path, checkpoint: Path, recipe: Recipe, tags: Mapping[str, str], *, project: str, mode: Mode
) -> None:
    """Log a map as an artifact that a run has made of a checkpoint.

    Args:
        path: The map.
        checkpoint: What it was made with.
        recipe: That of the checkpoint.
        tags: What the map says of itself.
        project: The W&B project.
        mode: From `choose_mode`.
    """
    with _job(f"{path.stem}-predict", "predict", project=project, mode=mode, checkpoint=checkpoint) as run:
        if run is not None:
            _configure(run, tags)
            use_model(run, checkpoint, recipe)
            lineage.log_map(run, path, tags)


def log_evaluation(
    path: Path,
    evaluation: Mapping[str, Any],
    files: Sequence[Path],
    tags: Mapping[str, str],
    model: tuple[Path, Recipe] | None,
    *,
    project: str,
    mode: Mode,
) -> None:
    """Log the figures of a map, and say which map and which checkpoint they are of.

    Args:
        path: The map.
        evaluation: Figures and protocol, as in the JSON file.
        files: The JSON file and the page, as far as they are written.
        tags: What the map says of itself.
        model: The checkpoint that it was made with and its recipe, where they are known.
        project: The W&B project.
        mode: From `choose_mode`.
    """
    checkpoint = None if model is None else model[0]
    name = f"{path.stem}-evaluate"
    with _job(name, "evaluate", project=project, mode=mode, checkpoint=checkpoint) as run:
        if run is None:
            return
        _configure(run, {"protocol": evaluation["protocol"]})
        use_map(run, path, dict(tags))
        if model is not None:
            use_model(run, *model)
        scores = dict(evaluation["scores"])
        classes = scores.pop("classes")
        figures = {f"map/{key}": value for key, value in scores.items() if value is not None}
        figures |= {f"map/iou/{one['name']}": one["iou"] for one in classes if one["iou"] is not None}
        run.log({**figures, "map/accuracy": _table(classes)})
        log_result(run, f"evaluation-{run.id}", "evaluation", files, {"figures": figures})


@contextmanager
def _job(
    name: str, job_type: str, *, project: str, mode: Mode, checkpoint: Path | None
) -> Iterator["Run | None"]:
    """A W&B run in a run folder of its own; None where W&B is disabled."""
    if mode == "disabled":
        yield None
        return
    import wandb

    folder = create_run_folder(Path("runs"), _plain(name))
    run = wandb.init(
        project=project,
        dir=folder,
        name=f"{folder.parent.name}/{folder.name}",
        group=None if checkpoint is None else trained_as(checkpoint),
        job_type=job_type,
        mode="offline" if mode == "offline" else None,
        settings=run_settings(),
    )
    write_atomically(folder / ID_FILE, run.id + "\n")
    try:
        yield run
    finally:
        close_run(run, folder)


def _table(classes: Sequence[Mapping[str, Any]]) -> Any:
    import wandb

    columns: list[str | int] = list(classes[0])
    return wandb.Table(columns=columns, data=[[one[str(key)] for key in columns] for one in classes])


def _configure(run: "Run", values: Mapping[str, Any]) -> None:
    config: Any = run.config  # W&B leaves its methods untyped
    config.update(dict(values))


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in name).lstrip(".")
