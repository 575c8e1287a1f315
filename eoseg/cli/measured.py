"""What `eoseg validate` and `eoseg test` say beside Lightning's figures: intervals, calibration, protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eoseg.calibration import Bins, Reliability
from eoseg.datasets.base import EOData
from eoseg.evaluate.intervals import Intervals, bootstrap, figures_of, said_blocks
from eoseg.figures import png_bytes, reliability_image, selective_image
from eoseg.metrics import score
from eoseg.selective import SelectiveCurve
from eoseg.spatial_blocks import Blocks
from eoseg.tasks import Task
from eoseg.tasks.class_task import ClassTask
from eoseg.tracking.protocol import Stage, figures_record

PICTURE, SURE_PICTURE = "reliability.png", "selective.png"
_SHOWN = {"overall_accuracy": "overall accuracy", "mean_iou": "mean IoU", "kappa": "kappa"}


def blocks_file(stage: Stage) -> str:
    """Name of the file with the confusion matrices of all blocks, in the run folder."""
    return f"blocks_{stage}.npz"


def measured_content(
    task: Task,
    data: EOData,
    folder: Path,
    stage: Stage,
    *,
    seed: int,
    world_size: int,
    block_size: int | None,
    openings: int | None,
) -> dict[str, Any]:
    """The protocol of the figures of a run, and what was measured beside them, for `figures.json`.

    Args:
        task: After training, validation or test.
        data: What was measured on.
        folder: The run folder.
        stage: What was measured.
        seed: Of the run.
        world_size: Its processes.
        block_size: See `write_measured`.
        openings: How often the test set was opened; None where none was.
    """
    record = figures_record(task, data, stage, seed=seed, world_size=world_size)
    if openings is not None:
        record["test_set_opened"] = openings
    found = write_measured(task, folder, stage, block_size=block_size, record=record)
    return {**found, "protocol": record}


def write_measured(
    task: Task, folder: Path, stage: Stage, *, block_size: int | None, record: dict[str, Any]
) -> dict[str, Any]:
    """Write what was measured beside the figures, and print it.

    Args:
        task: After validation or test.
        folder: The run folder.
        stage: What was measured.
        block_size: Side of the blocks that intervals are drawn from; None to choose it.
        record: The protocol, which is kept with the blocks.

    Returns:
        `intervals`, `calibration` and `selective`; of several labels per chip the last alone, and nothing of
        tasks without classes.

    Raises:
        DataError: The blocks cannot be put together to that side.
    """
    if not isinstance(task, ClassTask):
        return {}
    measured = task.measured(stage)
    found: dict[str, Any] = {}
    if measured.blocks is not None and measured.reliability is not None:
        found = _write_blocks(task, measured.blocks, measured.reliability, folder, stage, block_size, record)
    if measured.judged and measured.curve.total:
        image = selective_image({stage: measured.curve}, unit=task.unit)
        (folder / SURE_PICTURE).write_bytes(png_bytes(image))
        print(selective_line(measured.curve))
        found["selective"] = measured.curve.to_dict()
    return found


def _write_blocks(
    task: ClassTask,
    blocks: Blocks,
    reliability: Reliability,
    folder: Path,
    stage: Stage,
    block_size: int | None,
    record: dict[str, Any],
) -> dict[str, Any]:
    chosen = blocks.enlarged(block_size)
    intervals = bootstrap(chosen.matrices, blocks.names, block_size=chosen.side)
    blocks.write(folder / blocks_file(stage), record)
    write_reliability(folder / PICTURE, {stage: reliability.likeliest}, unit=task.unit)
    for line in [*_figure_lines(chosen, intervals), calibration_line(reliability)]:
        print(line)
    return {
        "intervals": interval_values(intervals),
        "calibration": {**reliability.to_dict(), "scaling": scaling_values(task)},
    }


def scaling_values(task: ClassTask) -> dict[str, Any] | None:
    """The calibration in force, as plain values."""
    if task.scaling is None:
        return None
    scaling = task.scaling
    return {"method": scaling.method, "scale": list(scaling.scale), "bias": list(scaling.bias)}


def interval_values(intervals: Intervals) -> dict[str, Any]:
    """Intervals as plain values, with how they were made."""
    return {
        "values": {
            name: None if entry is None else [entry.low, entry.high]
            for name, entry in intervals.values.items()
        },
        "method": "95 % percentile interval, bootstrap over spatial blocks",
        "blocks": intervals.blocks,
        "block_size": intervals.block_size,
        "draws": intervals.draws,
        "seed": intervals.seed,
        "reason": intervals.reason,
    }


def write_reliability(path: Path, measured: dict[str, Bins], *, unit: str) -> None:
    """Draw reliability diagrams into a PNG file."""
    path.write_bytes(png_bytes(reliability_image(measured, unit=unit)))


def calibration_line(found: Reliability, *, title: str = "Probabilities") -> str:
    """The calibration in one line, with the class of which probabilities are furthest off."""
    known = {name: value for name, value in found.class_ece.items() if value is not None}
    worst = max(known, key=known.__getitem__) if known else ""
    return (
        f"{title}: ECE {_said(found.ece)} (worst class {worst} {_said(known.get(worst))}), Brier "
        f"{_said(found.brier)}, NLL {_said(found.nll)}"
    )


def selective_line(curve: SelectiveCurve) -> str:
    """Accuracy of the surest answers in one line, with where to mask for 95 %."""
    most, half = (_said(curve.accuracy(share)) for share in (0.8, 0.5))
    mask = curve.mask_for(0.95)
    told = (
        "0.95 on no share"
        if mask is None
        else f"0.95 from a probability of {mask.confidence:.3f} on ({100 * mask.coverage:.0f} %)"
    )
    return f"Surest 80 %: accuracy {most}, surest 50 %: {half}; {told}; AURC {_said(curve.aurc)}"


def _figure_lines(blocks: Blocks, intervals: Intervals) -> Sequence[str]:
    figures = figures_of(score(blocks.matrices.sum(axis=0), blocks.names))
    lines = []
    for name, title in _SHOWN.items():
        interval = intervals.values[name]
        ends = "" if interval is None else f"   95 %: {interval.low:.3f}-{interval.high:.3f}"
        lines.append(f"{title:<18}{_said(figures[name]):>7}{ends}")
    if intervals.reason is not None:
        return [*lines, f"Intervals: {intervals.reason}."]
    return [*lines, f"Intervals: bootstrap over {intervals.blocks} {said_blocks(intervals.block_size)}."]


def _said(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
