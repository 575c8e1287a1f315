"""Accuracy against coverage: how good a map is on the part of which it is surest."""

from collections.abc import Mapping

import numpy as np

from eoseg.figures.charts import new_chart, render, shorten
from eoseg.figures.pictures import Rgb
from eoseg.selective import TARGETS, SelectiveCurve

_LINE, _DOT, _REST = "#0072B2", "#D55E00", "#555555"
_SHOWN = 0.01
"""Smaller shares are too few answers for a line; those of one step alone are drawn all the same."""


def selective_image(curves: Mapping[str, SelectiveCurve], *, unit: str = "pixels") -> Rgb:
    """Draw curves of accuracy against coverage side by side.

    A dashed line is the accuracy of everything, a dot the largest share that has an accuracy of 0.9, 0.95 or
    0.99, with the probability from which on answers belong to it.

    Args:
        curves: By title.
        unit: What was counted.
    """
    figure, whole = new_chart(4.4 * len(curves), 3.8)
    whole.remove()
    for axes, (title, curve) in zip(
        np.atleast_1d(figure.subplots(1, len(curves))), curves.items(), strict=True
    ):
        points = curve.points()
        drawn = points[points[:, 0] >= min(_SHOWN, points[-1:, 0].max(initial=0))]
        lowest = min([*drawn[:, 1], 0.9]) if len(drawn) else 0.0
        floor = max(0.0, np.floor(lowest * 20 - 0.5) / 20)
        if len(drawn):
            axes.plot(*np.concatenate([[[0, drawn[0, 1]]], drawn]).T, color=_LINE, linewidth=1.6)
            axes.axhline(drawn[-1, 1], linestyle="--", color=_REST, linewidth=1)
        for target in TARGETS:
            mask = curve.mask_for(target)
            if mask is not None:
                axes.plot(mask.coverage, mask.accuracy, "o", color=_DOT, markersize=5)
                axes.annotate(
                    f"p ≥ {mask.confidence:.3f}",
                    (mask.coverage, mask.accuracy),
                    xytext=(-4, -10),
                    textcoords="offset points",
                    ha="right",
                    fontsize=7,
                )
        axes.set(xlim=(0, 1.02), ylim=(floor, 1 + (1 - floor) * 0.04))
        axes.set_xlabel(f"coverage: share of {unit} that is kept, the surest first", fontsize=8)
        axes.set_ylabel("share of these that is right", fontsize=8)
        aurc = "undefined" if curve.aurc is None else f"{curve.aurc:.4f}"
        axes.set_title(f"{shorten(title, 40)}\nAURC {aurc}, {curve.total:,} {unit}", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(visible=True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return render(figure)
