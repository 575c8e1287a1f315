from pathlib import Path

import pytest
from run_factory import make_recipe, make_run, make_test

from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.report.run import find_test, read_run, read_test, read_values


def test_a_run_folder_is_read_whole(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path))
    assert run.name == "demo/20260101-120000"
    assert run.recipe == make_recipe()
    assert run.figures["epochs"] == 2
    assert run.split["method"] == "blocks"
    assert run.curves is not None
    assert run.config["data"]["class_path"] == "SceneData"
    assert run.leakage == {}


def test_what_a_training_may_lack_is_empty(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    for name in ("figures.json", "environment.json", "split.json", "metrics.csv"):
        (folder / name).unlink()
    run = read_run(folder)
    assert (run.figures, run.environment, run.split, run.curves) == ({}, {}, {}, None)


def test_the_leakage_audit_of_the_checkpoint_is_known(tmp_path: Path) -> None:
    provenance = {"split": {"leakage": {"verdict": "doubtful"}}}
    run = read_run(make_run(tmp_path, recipe=make_recipe(provenance=provenance)))
    assert run.leakage == {"verdict": "doubtful"}


def test_other_folders_are_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_run(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        read_run(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"is not a run folder: it has no config\.yaml"):
        read_run(tmp_path)


def test_a_run_without_checkpoint_and_a_test_are_told_apart(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    tested = make_test(folder)
    with pytest.raises(
        ConfigError, match="is the folder of 'eoseg test'; name the run that it looked at"
    ) as caught:
        read_run(tested)
    assert str(folder) in str(caught.value)
    (folder / "model.ckpt").unlink()
    with pytest.raises(ConfigError, match=r"has no model\.ckpt: its training has not ended"):
        read_run(folder)


def test_broken_files_of_a_run_are_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "figures.json").write_text("{")
    with pytest.raises(DataError, match=r"figures\.json' cannot be read as JSON"):
        read_run(folder)
    (folder / "config.yaml").write_text("a: [")
    with pytest.raises(DataError, match="is not valid YAML"):
        read_run(folder)
    (folder / "config.yaml").write_text("a: 1")
    (folder / "model.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"model\.ckpt"):
        read_run(folder)


def test_the_newest_test_of_the_run_is_found(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    run = read_run(folder)
    assert find_test(run) is None
    make_test(folder, stamp="20260101-130000")
    newest = make_test(folder, stamp="20260101-140000")
    make_test(folder, stamp="20260101-150000", checkpoint=tmp_path / "other" / "model.ckpt")
    (newest.parent / "latest").symlink_to(newest.name)
    found = find_test(run)
    assert found is not None
    assert found.folder == newest


def test_a_test_older_than_the_training_is_one_of_another_run(tmp_path: Path) -> None:
    # It was made of `latest`, which leads to the newer run by now.
    folder = make_run(tmp_path, stamp="20260102-120000")
    link = folder.parent / "latest"
    link.symlink_to(folder.name)
    make_test(folder, stamp="20260101-130000", checkpoint=link / "model.ckpt")
    assert find_test(read_run(folder)) is None
    newer = make_test(folder, stamp="20260103-130000", checkpoint=link / "model.ckpt")
    assert find_test(read_run(folder)).folder == newer  # type: ignore[union-attr]


def test_a_test_without_figures_was_stopped(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (make_test(folder) / "figures.json").unlink()
    assert find_test(read_run(folder)) is None


def test_a_named_test_must_be_one_of_this_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    run = read_run(folder)
    assert read_test(make_test(folder), run).figures["command"] == "test"
    with pytest.raises(ConfigError, match="is not the folder of a test"):
        read_test(folder, run)
    with pytest.raises(ConfigError, match="is not the folder of a test"):
        read_test(tmp_path / "none", run)
    other = make_test(folder, stamp="20260101-150000", checkpoint=tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match=r"is a test of '.*other\.ckpt', not of"):
        read_test(other, run)


def test_json_must_hold_values_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match="There is no file"):
        read_values(path)
    assert read_values(path, optional=True) == {}
    path.write_text("[1]")
    with pytest.raises(DataError, match="holds a list"):
        read_values(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_values(path)
    path.write_text('{"a": 1}')
    assert read_values(path) == {"a": 1}


def test_a_calibrated_run_has_the_training_of_the_run_that_it_calibrates(tmp_path: Path) -> None:
    trained = make_run(tmp_path)
    figures = {"command": "calibrate", "figures": {"before": {"val/oa": 0.1}, "after": {"val/oa": 0.8}}}
    folder = make_run(tmp_path / "b", figures=figures)
    (folder / "config.yaml").write_text(f"ckpt_path: {trained / 'model.ckpt'}\n")
    run = read_run(folder)
    assert run.curves == trained / "metrics.csv"
    assert run.figures["figures"] == {"val/oa": 0.8}
    assert run.figures["parameters"] == 14_321
    (folder / "figures.json").write_text('{"command": "calibrate"}')
    assert read_run(folder).figures["figures"] == {}
    assert read_run(folder).figures["epochs"] == 2
