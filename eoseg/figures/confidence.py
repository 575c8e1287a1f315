"""The reliability diagram: how often answers are right, against how sure the network was."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.figures.charts import new_chart, render
from eoseg.figures.pictures import Rgb

_STEPS = 20
"""Steps of the confidence that are drawn, each 0.05 wide."""


@dataclass(frozen=True, slots=True)
class ReliabilityStep:
    """Answers whose confidence lies in one step."""

    confidence: float
    """Their mean confidence."""
    right: float
    """Share of them that is right."""
    count: int


def reliability_steps(counts: NDArray[np.int64]) -> list[ReliabilityStep]:
    """Put fine counts together; steps without answers are left out.

    Args:
        counts: Int64 `(2, n)`, wrong and right, over n equal steps of a confidence from 0 to 1; n is a
            multiple of 20. An answer counts with the middle of its fine step.
    """
    fine = counts.shape[1]
    middles = (np.arange(fine) + 0.5) / fine
    found = []
    for part in np.split(np.arange(fine), _STEPS):
        answers = counts[:, part].sum(axis=0)
        total = int(answers.sum())
        if total:
            mean = float((answers * middles[part]).sum() / total)
            found.append(ReliabilityStep(mean, int(counts[1, part].sum()) / total, total))
    return found


def calibration_error(counts: NDArray[np.int64]) -> float:
    """Mean difference between confidence and share of right answers, weighted by answers; 0 to 1.

    The expected calibration error of Guo et al. 2017 (https://arxiv.org/abs/1706.04599), over 20 steps.

    Args:
        counts: As in `reliability_steps`; at least one answer.
    """
    steps = reliability_steps(counts)
    total = sum(step.count for step in steps)
    return sum(step.count * abs(step.right - step.confidence) for step in steps) / total


def reliability_image(counts: NDArray[np.int64]) -> Rgb:
    """Draw the diagram: points on the diagonal are as often right as they are sure.

    Args:
        counts: As in `reliability_steps`; at least one answer.
    """
    steps = reliability_steps(counts)
    shares = np.array([step.count for step in steps]) / sum(step.count for step in steps)
    figure, axes = new_chart(4.2, 4.0)
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=1, linestyle="--")
    xs, ys = [step.confidence for step in steps], [step.right for step in steps]
    axes.plot(xs, ys, color="#0072B2", linewidth=1.4)
    axes.scatter(xs, ys, s=12 + 240 * shares, color="#0072B2", alpha=0.75)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_xlabel("confidence of the answer", fontsize=9)
    axes.set_ylabel("share that is right", fontsize=9)
    axes.set_title(f"calibration error {calibration_error(counts):.3f}; size: share of answers", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return render(figure)
