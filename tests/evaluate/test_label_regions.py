"""Regions of wrong raster labels."""

from pathlib import Path

import numpy as np
import pytest
from label_factory import FIELD, fields, fields_of, run_of, write_world

from eoseg.evaluate import label_regions
from eoseg.evaluate.label_regions import judge_rasters

WRONG = [(0, 0), (3, 7), (5, 2), (8, 8), (11, 4), (2, 10), (9, 1), (6, 6)]


@pytest.mark.parametrize("strip_rows", [16, 1024])
def test_fields_with_wrong_labels_are_regions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip_rows: int
):
    monkeypatch.setattr(label_regions, "_STRIP_ROWS", strip_rows)
    run = run_of(write_world(tmp_path, WRONG))
    found = judge_rasters([run], device="cpu")
    expected = sorted(place for place in WRONG if place in fields_of(run, "val", "test"))
    assert expected
    true = fields(0)
    seen = []
    for region in found.regions:
        x, y = region.shape.centroid.coords[0]  # type: ignore[attr-defined]
        place = int((5.4e6 - y) / 160), int((x - 5e5) / 160)
        seen.append(place)
        assert (region.given, region.proposed) == ((true[place] + 1) % 3, true[place])
        assert region.pixels == pytest.approx(FIELD * FIELD, abs=6)
        assert region.margin < -0.8
        assert region.own < 0.1
    assert sorted(seen) == expected
    pixels = len(fields_of(run, "val", "test")) * FIELD * FIELD
    assert found.labels.sum() == pixels
    off = found.joint.sum() - np.trace(found.joint)
    assert off == pytest.approx(len(expected) * FIELD * FIELD, rel=0.05)


def test_right_labels_have_none(tmp_path: Path):
    assert judge_rasters([run_of(write_world(tmp_path))], device="cpu").regions == []


def test_borders_narrower_than_three_pixels_are_no_regions():
    codes = np.zeros((9, 9), np.uint16)
    codes[:, 2:4] = 5
    assert not label_regions._cores(codes).any()
    codes[3:6, 2:5] = 5
    assert label_regions._cores(codes).sum() == 1
