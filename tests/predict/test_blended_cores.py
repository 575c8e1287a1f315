"""Blended cores come once each, and little waits for them."""

import numpy as np
import pytest
import torch
from predict_factory import make_recipe

from eoseg.geo.tiles import plan_tiles
from eoseg.predict.blend import Blender
from eoseg.predict.blended_cores import BlendedCores
from eoseg.predict.products import ClassProduct


def test_the_strip_is_a_row_of_tiles_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    plan = plan_tiles(320, 320, core=32, halo=8, stride=1)
    add = Blender.add

    def counted(self, index, scores):
        done = add(self, index, scores)
        held.append(sum(total.numel() for total in self._sums.values()))
        return done

    monkeypatch.setattr(Blender, "add", counted)
    cores = BlendedCores(plan, 8, range(100), ClassProduct(make_recipe().schema.classes))
    finished = []
    for index in cores.tiles:
        core = cores.tile(index).core
        valid = np.ones((core.height, core.width), bool)
        finished += cores.add(index, valid, torch.rand(4, core.height, core.width))
    assert sorted(core.index for core in finished) == list(range(100))
    own = 4 * 32 * 32 * 3
    assert 4 * 2 * 8 * 320 <= max(held) <= 4 * 2 * 8 * 320 + own


def test_a_core_without_values_is_skipped_and_holds_nodata() -> None:
    cores = BlendedCores(
        plan_tiles(64, 64, core=32, halo=8, stride=1), 8, range(4), ClassProduct(make_recipe().schema.classes)
    )
    finished = {}
    for index in cores.tiles:
        core = cores.tile(index).core
        for one in cores.add(index, np.zeros((core.height, core.width), np.bool_), None):
            finished[one.index] = one
    assert sorted(finished) == [0, 1, 2, 3]
    assert all(one.skipped and (one.layers[0] == 255).all() for one in finished.values())
