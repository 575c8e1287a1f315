import json
import shutil
from pathlib import Path

import pytest
from run_factory import full_run, make_run, make_test

from eoseg.errors import DataError
from eoseg.report.findings import Sources, gather
from eoseg.report.sections import HEADINGS, sections


def test_what_lies_in_the_run_folder_and_beside_it_is_found(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    found = gather(folder)
    assert [measure.kind for measure in found.measures] == ["test", "map"]
    assert found.view is not None
    assert found.view.path == folder / "map.tif"
    assert found.evaluation == folder / "evaluation.json"
    assert found.area is not None
    assert found.area.points == 225
    assert [diagram.ece for diagram in found.diagrams] == [0.12]


def test_of_a_run_alone_the_validation_is_shown(tmp_path: Path) -> None:
    found = gather(make_run(tmp_path))
    assert [measure.kind for measure in found.measures] == ["validation"]
    assert (found.view, found.area, found.evaluation, found.tested) == (None, None, None, None)
    assert found.diagrams == []


def test_named_files_are_taken_instead(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    older = make_test(folder, stamp="20260101-121500", figures={"test/oa": 0.5})
    for name in ("map.tif", "evaluation.json", "accuracy.json"):
        shutil.copy(folder / name, tmp_path / name)
        (folder / name).unlink()
    assert gather(folder).view is None
    found = gather(
        folder,
        Sources(
            test=older,
            map=tmp_path / "map.tif",
            scene=str(tmp_path / "demo" / "images" / "scene.tif"),
            evaluation=tmp_path / "evaluation.json",
            accuracy=tmp_path / "accuracy.json",
        ),
    )
    assert found.measures[0].figures == {"oa": 0.5}
    assert found.view is not None
    assert found.view.path == tmp_path / "map.tif"
    assert found.view.scene is not None
    assert found.area is not None


def test_the_map_of_an_evaluation_is_found_where_it_was(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    moved = tmp_path / "moved.tif"
    (folder / "map.tif").rename(moved)
    path = folder / "evaluation.json"
    values = json.loads(path.read_text())
    values["protocol"]["map"] = str(moved)
    path.write_text(json.dumps(values))
    view = gather(folder).view
    assert view is not None
    assert view.path == moved


def test_a_broken_file_in_the_folder_is_named(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    (folder / "accuracy.json").write_text("nothing")
    with pytest.raises(DataError, match=r"accuracy\.json' cannot be read as JSON"):
        gather(folder)


def test_calibration_on_validation_is_shown_beside_the_test(tmp_path: Path) -> None:
    bins = {"count": [10], "right": [5], "confidence": [8.0]}
    held = {"before": {"ece": 0.3, "bins": bins}, "after": {"ece": 0.02, "bins": bins}, "scaling": None}
    folder = make_run(tmp_path, figures={"calibration": held})
    alone = gather(folder)
    assert ([diagram.ece for diagram in alone.diagrams], alone.fitted) == ([0.3, 0.02], [])
    make_test(folder)
    beside = gather(folder)
    assert [diagram.ece for diagram in beside.diagrams] == [0.12]
    assert [diagram.name for diagram in beside.fitted] == ["before", "after"]
    reliability = sections(beside)[list(HEADINGS).index("reliability")]
    assert "Measured on the test split." in reliability
    assert "Measured on the validation split, where the calibration was fitted." in reliability
