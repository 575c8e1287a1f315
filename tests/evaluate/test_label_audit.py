"""Wrong labels are listed, the worst first, whatever kind of labels they are."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from label_factory import KINDS, fields, fields_of, run_of, write_world

from eoseg.errors import ConfigError
from eoseg.evaluate.label_audit import audit_labels

WRONG = [(0, 0), (3, 7), (5, 2), (8, 8), (11, 4), (2, 10), (9, 1), (6, 6)]


@pytest.mark.parametrize("kind", ["polygons", "pixels", "chips"])
def test_planted_wrong_labels_are_the_suspects_and_clean_ones_are_none(tmp_path: Path, kind: str):
    def audited(folder: Path, wrong: list[tuple[int, int]]):
        source = write_world(folder, wrong, polygons=kind == "polygons")
        run = run_of(source, "classification" if kind == "chips" else "segmentation")
        return run, audit_labels([run])

    run, found = audited(tmp_path / "wrong", WRONG)
    held = fields_of(run, "val", "test")
    expected = {place for place in WRONG if place in held}
    assert (found.kind, len(found)) == (kind, len(expected))
    true = fields(0)
    assert found.shapes is not None
    assert found.crs is not None
    assert found.crs.to_epsg() == 32632
    for shape, given, proposed in zip(
        found.shapes, found.columns["given"], found.columns["proposed"], strict=True
    ):
        place = int((5.4e6 - shape.centroid.y) / 160), int((shape.centroid.x - 5e5) / 160)
        assert place in expected
        assert (given, proposed) == (KINDS[(true[place] + 1) % 3], KINDS[true[place]])
    assert found.estimated_wrong == pytest.approx(len(expected) / len(held), abs=0.03)
    if kind != "pixels":  # those are ordered by their size too
        assert (np.diff(found.columns["margin"]) >= 0).all()
    assert len(found.first(1)) == 1
    assert found.first(1).columns["given"] == found.columns["given"][:1]
    assert len(audited(tmp_path / "clean", [])[1]) == 0


def test_runs_of_different_classes_are_refused(tmp_path: Path):
    run = run_of(write_world(tmp_path))
    schema = SimpleNamespace(quantity=None, multilabel=False, classes=("a",), class_names=["a"])
    other = replace(run, name="other", data=SimpleNamespace(schema=schema))
    with pytest.raises(ConfigError, match="'run' and 'other' have different classes"):
        audit_labels([run, other])
