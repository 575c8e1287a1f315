"""A dashboard's specification as W&B's own objects, and published. Needs wandb-workspaces."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eoseg.errors import ConfigError, OutputError
from eoseg.tracking.dashboard import VERSION
from eoseg.tracking.lineage import registry_path
from eoseg.tracking.wandb_mode import ID_FILE

type Spec = Mapping[str, Any]
"""As `eoseg.tracking.dashboard.specification` makes it; values are read from JSON."""


def publish(spec: Spec, place: str) -> list[str]:
    """Make the workspace and the report of a specification in W&B.

    Args:
        spec: The specification.
        place: "ENTITY/PROJECT".

    Returns:
        The addresses of both.

    Raises:
        ConfigError: wandb-workspaces is not installed, or the specification is of another version.
        OutputError: W&B does not take them.
    """
    workspace, report = workspace_of(spec, place), report_of(spec, place)
    try:
        workspace.save()
        report.save()
    except Exception as error:  # whatever the connection and W&B's client raise
        raise OutputError(
            f"W&B did not take the dashboard ({' '.join(str(error).split())[:200]}). Check the login ('wandb "
            f"login') and that '{place}' is a project that you may write to."
        ) from error
    return [str(workspace.url), str(report.url)]


def workspace_of(spec: Spec, place: str) -> Any:
    """The workspace, `wandb_workspaces.workspaces.Workspace`, which nothing has been sent of.

    Raises:
        ConfigError: wandb-workspaces is not installed, or the specification is of another version.
    """
    _require(spec)
    import wandb_workspaces.workspaces as ws

    entity, project = place.split("/")
    described = spec["workspace"]
    sections = [
        ws.Section(
            name=section["name"],
            panels=[_panel(panel, described["x_axis"]) for panel in section["panels"]],
            is_open=number < 3,
        )
        for number, section in enumerate(described["sections"])
    ]
    return ws.Workspace(name=described["name"], entity=entity, project=project, sections=sections)


def report_of(spec: Spec, place: str) -> Any:
    """The report, `wandb_workspaces.reports.v2.Report`: a heading and panels of each section, over the runs.

    Raises:
        ConfigError: wandb-workspaces is not installed, or the specification is of another version.
    """
    _require(spec)
    wr = _objects()
    entity, project = place.split("/")
    described, x_axis = spec["report"], spec["workspace"]["x_axis"]
    blocks: list[Any] = [wr.P(described["description"]), wr.TableOfContents()]
    for section in spec["workspace"]["sections"]:
        runs = wr.Runset(
            entity=entity,
            project=project,
            name="runs",
            pinned_columns=["run:displayName", *map(_column, described["columns"])],
        )
        panels = [_panel(panel, x_axis) for panel in section["panels"]]
        blocks += [wr.H1(section["name"]), wr.PanelGrid(runsets=[runs], panels=_laid_out(panels))]
    return wr.Report(
        entity=entity,
        project=project,
        title=described["title"],
        description=described["description"],
        blocks=blocks,
        width="fluid",
    )


def link_model(run_folder: Path, place: str, register: str) -> str:
    """Link the best checkpoint of an uploaded run to a registry.

    Args:
        run_folder: The folder of the run.
        place: "ENTITY/PROJECT" of the run.
        register: As in `eoseg.tracking.lineage.registry_path`.

    Returns:
        Where it is linked to.

    Raises:
        ConfigError: The folder is of no run that W&B knows.
        OutputError: W&B has no such artifact or registry.
    """
    path = run_folder / ID_FILE
    if not path.is_file():
        raise ConfigError(f"'{run_folder}' has no {ID_FILE}: it was not logged to W&B.")
    import wandb

    name = f"{place}/model-{path.read_text(encoding='utf-8').strip()}:best"
    target = registry_path(register)
    try:
        wandb.Api().artifact(name).link(target)
    except Exception as error:  # whatever the connection and W&B's client raise
        raise OutputError(
            f"W&B did not link '{name}' to '{target}' ({' '.join(str(error).split())[:160]}). Upload the run "
            f"first (wandb sync {run_folder}/wandb/offline-run-*), and check that the registry exists."
        ) from error
    return target


def _require(spec: Spec) -> None:
    if spec.get("version") != VERSION:
        raise ConfigError(
            f"A dashboard's specification of version {VERSION} was expected; found {spec.get('version')}. "
            "Write it anew with 'eoseg dashboard'."
        )
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise ConfigError('Publishing needs wandb-workspaces: pip install "eoseg[dashboard]".')


def _panel(panel: Mapping[str, Any], x_axis: str) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "line": lambda: _line(panel, x_axis),
        "media": lambda: _of("MediaBrowser", title=panel["title"], media_keys=panel["media"], num_columns=2),
        "scalar": lambda: _of("ScalarChart", title=panel["title"], metric=panel["metric"]),
        "table": lambda: _of("WeavePanelSummaryTable", table_name=panel["table"]),
        "matrix": lambda: _matrix(panel),
        "parallel": lambda: _parallel(panel),
        "importance": lambda: _of("ParameterImportancePlot", with_respect_to=panel["metric"]),
    }
    return makers[panel["type"]]()


def _objects() -> Any:
    """W&B's panels and blocks; the library says nothing of their types."""
    import wandb_workspaces.reports.v2 as reports

    module: Any = reports
    return module


def _of(kind: str, **options: Any) -> Any:
    return getattr(_objects(), kind)(**options)


def _line(panel: Mapping[str, Any], x_axis: str) -> Any:
    if "regex" in panel:
        return _of("LinePlot", title=panel["title"], x=x_axis, metric_regex=panel["regex"])
    return _of("LinePlot", title=panel["title"], x=x_axis, y=panel["y"])


def _matrix(panel: Mapping[str, Any]) -> Any:
    """The chart that `wandb.plot.confusion_matrix` draws, over the table that a run has logged."""
    fields = {name: name for name in ("Actual", "Predicted", "nPredictions")}
    return _of(
        "CustomChart",
        query={"summaryTable": {"tableKey": panel["table"]}},
        chart_name="wandb/confusion_matrix/v1",
        chart_fields=fields,
        chart_strings={"title": panel["title"]},
    )


def _parallel(panel: Mapping[str, Any]) -> Any:
    wr = _objects()
    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(name)) for name in panel["config"]]
    columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(panel["metric"])))
    return wr.ParallelCoordinatesPlot(title=panel["title"], columns=columns)


def _column(name: str) -> str:
    """A column of the table of runs as W&B calls it: a value of the configuration is below its first key."""
    kind, _, rest = name.partition(":")
    head, dot, tail = rest.partition(".")
    return f"config:{head}.value{dot}{tail}" if kind == "config" else name


def _laid_out(panels: list[Any]) -> list[Any]:
    """Panels of a report in rows of two; W&B's grid is 24 wide."""
    for number, panel in enumerate(panels):
        panel.layout = _of("Layout", x=12 * (number % 2), y=8 * (number // 2), w=12, h=8)
    return panels
