"""Reliability diagrams: how often probabilities come true."""

from collections.abc import Mapping

import numpy as np

from eoseg.calibration import BINS, Bins
from eoseg.figures.charts import new_chart, render, shorten
from eoseg.figures.pictures import Rgb

_BAR, _GAP, _SHARE, _LINE = "#6BAED6", "#D55E00", "#BBBBBB", "#555555"


def reliability_image(measured: Mapping[str, Bins], *, unit: str = "pixels") -> Rgb:
    """Draw reliability diagrams side by side.

    A bar is the share of right ones in a bin; it should end at the diagonal, and the line from its end leads
    to where it should: below the diagonal the network is too sure. Below it is how much falls into each bin.

    Args:
        measured: Bins of the likeliest class by title, such as "before" and "after".
        unit: What was counted.
    """
    figure, whole = new_chart(3.9 * len(measured), 4.6)
    whole.axis("off")
    centres = (np.arange(BINS) + 0.5) / BINS
    for number, (title, bins) in enumerate(measured.items()):
        left, width = (number + 0.18) / len(measured), 0.79 / len(measured)
        axes = whole.inset_axes((left, 0.34, width, 0.58))
        below = whole.inset_axes((left, 0.08, width, 0.17))
        used = bins.count > 0
        share = np.divide(bins.right, bins.count, out=np.zeros(BINS), where=used)
        mean = np.divide(bins.confidence, bins.count, out=centres.copy(), where=used)
        axes.bar(centres[used], share[used], width=0.92 / BINS, color=_BAR)
        axes.plot((0, 1), (0, 1), "--", color=_LINE, linewidth=1)
        axes.vlines(mean[used], share[used], mean[used], color=_GAP, linewidth=2)
        axes.plot(mean[used], share[used], "o", color=_GAP, markersize=3)
        below.bar(centres, bins.count / max(1, bins.total), width=0.92 / BINS, color=_SHARE)
        ece = "undefined" if bins.ece is None else f"{bins.ece:.3f}"
        axes.set_title(f"{shorten(title, 40)}\nECE {ece}, {bins.total:,} {unit}", fontsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        below.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_ylabel("share that is right", fontsize=8)
        below.set_ylabel(f"share of\n{unit}", fontsize=8)
        below.set_xlabel("probability of the likeliest class", fontsize=8)
        for each in (axes, below):
            each.tick_params(labelsize=8)
            each.spines[["top", "right"]].set_visible(False)
    return render(figure)
