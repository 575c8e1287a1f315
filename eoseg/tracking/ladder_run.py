"""The table of a comparison as a run of its own, beside the runs that it compares."""

from collections.abc import Sequence
from pathlib import Path

from eoseg.tracking.loggers import WandbRun, make_loggers
from eoseg.tracking.run_folder import create_run_folder

type Cell = str | float | int | None


def log_ladder(
    base: Path,
    name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    chart: Path,
    project: str,
    group: str,
) -> None:
    """Show a table and its picture in W&B; does nothing where W&B is not installed.

    Args:
        base: Folder of all runs; the run makes its own below it.
        name: Name of the run.
        columns: Titles of the table.
        rows: One row per method and training; None where a figure is not defined.
        chart: The picture, a PNG.
        project: Project in W&B.
        group: Group in W&B, that of the compared runs.
    """
    folder = create_run_folder(base, name)
    title = f"{folder.parent.name}/{folder.name}"
    for logger in make_loggers(folder, project=project, name=title, group=group, tags=("table",)):
        if isinstance(logger, WandbRun):
            import wandb

            run = logger.experiment
            table = wandb.Table(columns=list(columns), data=[list(row) for row in rows])
            run.log({"ladder": table, "picture": wandb.Image(str(chart))})
            run.finish()
