"""W&B runs of commands that train nothing: maps, what is found out about them, and audits of labels."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eoseg.figures import Rgb
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
    config = {"protocol": evaluation["protocol"]}
    with _map_job(path, "evaluate", config, tags, model, project=project, mode=mode) as run:
        if run is None:
            return
        scores = dict(evaluation["scores"])
        classes = scores.pop("classes")
        figures = {f"map/{key}": value for key, value in scores.items() if value is not None}
        figures |= {f"map/iou/{one['name']}": one["iou"] for one in classes if one["iou"] is not None}
        run.log({**figures, "map/accuracy": _table(classes)})
        log_result(run, f"evaluation-{run.id}", "evaluation", files, {"figures": figures})


def log_accuracy(
    path: Path,
    accuracy: Mapping[str, Any],
    picture: Rgb,
    files: Sequence[Path],
    tags: Mapping[str, str],
    model: tuple[Path, Recipe] | None,
    *,
    project: str,
    mode: Mode,
) -> None:
    """Log accuracy and areas of a map as a sample estimates them.

    Args:
        path: The map.
        accuracy: Figures and protocol, as in the JSON file of `eoseg accuracy`.
        picture: Areas and accuracies of the classes.
        files: What the command has written.
        tags: What the map says of itself.
        model: See `log_evaluation`, and so are the others.
        project: The W&B project.
        mode: From `choose_mode`.
    """
    config = {"protocol": accuracy["protocol"], "area_unit": accuracy["area_unit"]}
    with _map_job(path, "accuracy", config, tags, model, project=project, mode=mode) as run:
        if run is None:
            return
        import wandb

        classes = [_estimates(one) for one in accuracy["classes"]]
        figures = _flat("sample/overall_accuracy", accuracy["overall_accuracy"])
        for one in accuracy["classes"]:
            for key in ("area", "users_accuracy", "producers_accuracy"):
                figures |= _flat(f"sample/{key}/{one['name']}", one[key])
        shown = {"sample/classes": _table(classes), "sample/areas": wandb.Image(picture)}
        run.log({**figures, **shown})
        log_result(run, f"accuracy-{run.id}", "evaluation", files, {"figures": figures})


def log_label_audit(
    path: Path,
    figures: Mapping[str, float],
    pairs: Sequence[Mapping[str, Any]],
    models: Sequence[tuple[Path, Recipe]],
    *,
    project: str,
    mode: Mode,
) -> None:
    """Log which labels are probably wrong, and by which checkpoints.

    Args:
        path: The list of suspects that was written.
        figures: By name.
        pairs: Given and proposed class with the number of suspects; none where there is no suspect.
        models: The checkpoints and their recipes.
        project: The W&B project.
        mode: From `choose_mode`.
    """
    name = f"{path.stem}-audit"
    with _job(name, "audit", project=project, mode=mode, checkpoint=models[0][0]) as run:
        if run is None:
            return
        for model in models:
            use_model(run, *model)
        logged = {f"labels/{key}": value for key, value in figures.items()}
        run.log({**logged, **({"labels/suspects_by_class": _table(pairs)} if pairs else {})})
        log_result(run, f"label-audit-{run.id}", "label-audit", [path], {"figures": logged})


def _flat(name: str, figure: Mapping[str, Any] | None) -> dict[str, float]:
    """An estimate and the ends of its interval as figures; nothing where it is not defined."""
    if figure is None:
        return {}
    low, high = figure["interval_95"]
    return {name: figure["value"], f"{name}/low": low, f"{name}/high": high}


def _estimates(one: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table of classes: values with half the width of their intervals."""
    row: dict[str, Any] = {"class": one["name"], "mapped_area": one["mapped_area"]}
    for key in ("area", "users_accuracy", "producers_accuracy"):
        figure = one[key]
        row[key] = None if figure is None else figure["value"]
        row[f"{key}_margin_95"] = None if figure is None else figure["margin_95"]
    return row


@contextmanager
def _map_job(
    path: Path,
    kind: str,
    config: Mapping[str, Any],
    tags: Mapping[str, str],
    model: tuple[Path, Recipe] | None,
    *,
    project: str,
    mode: Mode,
) -> Iterator["Run | None"]:
    """A job about a map, which says what map, and by which checkpoint; see `log_evaluation`."""
    checkpoint = None if model is None else model[0]
    with _job(f"{path.stem}-{kind}", kind, project=project, mode=mode, checkpoint=checkpoint) as run:
        if run is not None:
            _configure(run, config)
            use_map(run, path, dict(tags))
            if model is not None:
                use_model(run, *model)
        yield run


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
