"""What a dashboard of a task shows, as plain data: written to a file, tested, and published as it is.

Every panel names what runs log; `tests/tracking/test_dashboard.py` compares these names with a run.
"""

from collections.abc import Mapping, Sequence

from eoseg.errors import ConfigError, unknown_name
from eoseg.recipe import Plain

VERSION = 1
"""Of the form of a specification."""

X_AXIS = "trainer/global_step"

_FIGURES = {
    "segmentation": ("miou", "oa", "mean_f1", "kappa"),
    "classification": ("mean_f1", "oa", "balanced_accuracy", "kappa"),
    "change": ("change_f1", "miou", "threshold", "kappa"),
    "series": ("miou", "oa", "mean_f1", "kappa"),
    "regression": ("rmse", "mae", "r2", "bias"),
}
"""The figures of each task, the one that matters most first; see the tasks' `figures`."""

_TASKS = {
    "SegmentationTask": "segmentation",
    "ClassificationTask": "classification",
    "ChangeTask": "change",
    "SeriesTask": "series",
    "RegressionTask": "regression",
}

_SEARCHED = (
    "model.init_args.optimizer.lr",
    "model.init_args.encoder",
    "model.init_args.loss",
    "data.init_args.batch_size",
)
"""What a search is likely to vary, where no sweep file says so."""

type Panel = dict[str, Plain]


def task_name(name: str) -> str:
    """The task of a dashboard, by its own name or by that of the class in a configuration.

    Raises:
        ConfigError: There is none.
    """
    found = _TASKS.get(name.rpartition(".")[2], name)
    if found not in _FIGURES:
        raise ConfigError(unknown_name("task", name, [*_FIGURES, *_TASKS]))
    return found


def specification(task: str, *, searched: Sequence[str] = ()) -> dict[str, Plain]:
    """The sections of a workspace and the blocks of a report.

    Args:
        task: As `task_name` gives it.
        searched: Options that a sweep varies, for the parallel coordinates.
    """
    figures, searched = _FIGURES[task], tuple(searched) or _SEARCHED
    sections: list[Plain] = [
        _section("Figures", *_figure_panels(task, figures)),
        _section("Pictures", *_picture_panels(task, "val")),
        _section("Training", *_training_panels()),
        _section("Test", *_test_panels(task, figures)),
        _section("Sweeps", *_sweep_panels(figures[0], searched, goal_is_low=task == "regression")),
    ]
    if task != "regression":
        sections.insert(2, _section("Errors", *_error_panels("val")))
    columns = [f"summary:val/{name}" for name in figures] + [f"config:{name}" for name in searched]
    return {
        "version": VERSION,
        "task": task,
        "workspace": {"name": f"eoseg {task}", "x_axis": X_AXIS, "sections": sections},
        "report": {
            "title": f"eoseg: {task}",
            "description": "Curves, pictures, errors and a table of the runs of this project.",
            "columns": list(columns),
        },
    }


def logged_names(spec: Mapping[str, Plain]) -> list[str]:
    """Every name that the panels of a specification ask for; regular expressions are left out."""
    found: list[str] = []
    workspace = spec["workspace"]
    assert isinstance(workspace, Mapping)  # `specification` made it
    sections = workspace["sections"]
    assert isinstance(sections, list)
    for section in sections:
        assert isinstance(section, Mapping)
        panels = section["panels"]
        assert isinstance(panels, list)
        for panel in panels:
            assert isinstance(panel, Mapping)
            found += _strings(panel.get("y")) + _strings(panel.get("media")) + _strings(panel.get("metric"))
            found += _strings(panel.get("table"))
    return list(dict.fromkeys(found))


def _section(name: str, *panels: Panel) -> Plain:
    return {"name": name, "panels": list(panels)}


def _line(title: str, *names: str, regex: str | None = None) -> Panel:
    if regex is not None:
        return {"type": "line", "title": title, "regex": regex}
    return {"type": "line", "title": title, "y": list(names)}


def _media(title: str, *names: str) -> Panel:
    return {"type": "media", "title": title, "media": list(names)}


def _figure_panels(task: str, figures: Sequence[str]) -> list[Panel]:
    shown = [_line("loss", "train/loss_epoch", "val/loss")]
    shown += [_line(f"val/{name}", f"val/{name}") for name in figures]
    if task == "regression":
        return shown
    per_class = [_line("F1 of each class", regex="val/f1/.*")]
    if task != "classification":
        per_class.insert(0, _line("IoU of each class", regex="val/iou/.*"))
    return [*shown, *per_class]


def _picture_panels(task: str, stage: str) -> list[Panel]:
    worst = _media("worst chips", f"{stage}/worst")
    if task == "classification":
        shown = [_media("chips: class and answer", f"{stage}/grid"), _media("chips", f"{stage}/chips"), worst]
        explained = [_media("where the network looks", f"{stage}/grad_cam")]
        if stage == "val":
            explained.append(_media("first filters", f"{stage}/filters"))
        return [*shown, *explained]
    return [
        _media("overlays: prediction, truth, error", f"{stage}/chips"),
        _media("in the classes' colours" if task != "regression" else "estimates", f"{stage}/strips"),
        _media("what the colours mean", f"{stage}/legend"),
        worst,
    ]


def _error_panels(stage: str) -> list[Panel]:
    matrices: list[Panel] = [
        {"type": "matrix", "title": "confusion matrix, counts", "table": f"{stage}/confusion_table"},
        {
            "type": "matrix",
            "title": "confusion matrix, share of each reference class",
            "table": f"{stage}/confusion_normalized_table",
        },
    ]
    return [
        *matrices,
        _media("confusion matrix as a picture", f"{stage}/matrix"),
        _media("reliability", f"{stage}/reliability"),
        _media("accuracy of the surest", f"{stage}/selective"),
        _line("calibration error, area under risk and coverage", f"{stage}/ece", f"{stage}/aurc"),
    ]


def _training_panels() -> list[Panel]:
    names = ("lr", "grad_norm", "samples_per_second", "data_wait", "gpu_memory_gib")
    return [_line(f"train/{name}", f"train/{name}") for name in names]


def _test_panels(task: str, figures: Sequence[str]) -> list[Panel]:
    scalars: list[Panel] = [
        {"type": "scalar", "title": f"test/{name}", "metric": f"test/{name}"} for name in figures
    ]
    table: Panel = {"type": "table", "title": "every test chip", "table": "test/table"}
    errors = [] if task == "regression" else _error_panels("test")[:-1]
    return [*scalars, table, *_picture_panels(task, "test"), *errors]


def _sweep_panels(figure: str, searched: Sequence[str], *, goal_is_low: bool) -> list[Panel]:
    metric = f"val/{figure}"
    return [
        {
            "type": "parallel",
            "title": "what was tried, and what came of it",
            "config": list(searched),
            "metric": metric,
        },
        {
            "type": "importance",
            "title": f"what matters for {metric} ({'low' if goal_is_low else 'high'} is good)",
            "metric": metric,
        },
    ]


def _strings(value: Plain) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value] if isinstance(value, list) else []
