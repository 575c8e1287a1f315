"""Labels that are judged as wholes."""

from pathlib import Path

import numpy as np
from label_factory import FIELD, fields, fields_of, run_of, write_world

from eoseg.evaluate.label_units import chip_units, polygon_units


def test_polygons_have_the_mean_of_their_pixels_that_were_not_trained_on(tmp_path: Path):
    run = run_of(write_world(tmp_path, polygons=True))
    units = polygon_units([run], device="cpu")
    held = fields_of(run, "val", "test")
    assert units.names == [f"feature {row * 12 + col}" for row, col in sorted(held)]
    assert set(units.pixels) == {FIELD * FIELD}
    true = fields(0)
    assert units.given == [int(true[place]) for place in sorted(held)]
    assert [int(p.argmax()) for p in units.probabilities] == units.given
    np.testing.assert_allclose([p.sum() for p in units.probabilities], 1, rtol=1e-5)


def test_of_several_runs_the_test_parts_are_joined(tmp_path: Path):
    source = write_world(tmp_path, polygons=True)
    options = {"block_size": 32, "buffer": 0, "folds": 3}
    runs = [run_of(source, **options, fold=fold) for fold in range(3)]
    units = polygon_units(runs, device="cpu")
    assert len(units.names) == 144  # each once
    assert set(units.pixels) == {FIELD * FIELD}


def test_chips_of_scenes_have_their_place(tmp_path: Path):
    run = run_of(write_world(tmp_path), "classification")
    units = chip_units([run], device="cpu")
    assert len(units.names) == len(fields_of(run, "val", "test"))
    assert all(place is not None for place in units.places)
    first = units.places[0]
    assert first is not None
    assert units.names[0] == f"a@{first[1].row},{first[1].col}"
    assert set(units.splits) == {"val", "test"}
