"""What a dashboard shows; tests/test_board_runs.py compares its names with those that a run logs."""

import json

import pytest

from eoseg.errors import ConfigError
from eoseg.tasks import ChangeTask, ClassificationTask, RegressionTask, SegmentationTask, SeriesTask
from eoseg.tracking.dashboard import logged_names, specification, task_name

TASKS = ("segmentation", "classification", "change", "series", "regression")


@pytest.mark.parametrize("task", TASKS)
def test_a_specification_is_plain_data(task: str) -> None:
    spec = specification(task)
    assert json.loads(json.dumps(spec)) == spec
    assert spec["task"] == task


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_curves_pictures_tests_and_sweeps(task: str) -> None:
    sections = {
        section["name"]: section["panels"] for section in specification(task)["workspace"]["sections"]
    }
    expected = {"Figures", "Pictures", "Training", "Test", "Sweeps"}
    assert set(sections) == expected | (set() if task == "regression" else {"Errors"})
    assert {panel["type"] for panel in sections["Sweeps"]} == {"parallel", "importance"}
    assert "table" in {panel["type"] for panel in sections["Test"]}
    if task != "regression":
        assert [panel["type"] for panel in sections["Errors"]].count("matrix") == 2
    assert ("val/grad_cam" in logged_names(specification(task))) is (task == "classification")


def test_the_report_has_a_table_of_the_runs() -> None:
    columns = specification("segmentation", searched=["model.init_args.loss"])["report"]["columns"]
    assert "summary:val/miou" in columns
    assert "config:model.init_args.loss" in columns


def test_a_sweep_says_what_is_compared() -> None:
    spec = specification("change", searched=["a", "b"])
    (parallel,) = [
        panel
        for section in spec["workspace"]["sections"]
        for panel in section["panels"]
        if panel["type"] == "parallel"
    ]
    assert parallel["config"] == ["a", "b"]
    assert parallel["metric"] == "val/change_f1"


@pytest.mark.parametrize(
    ("given", "task"),
    [
        (SegmentationTask.__name__, "segmentation"),
        (f"eoseg.tasks.{ChangeTask.__name__}", "change"),
        (SeriesTask.__name__, "series"),
        (RegressionTask.__name__, "regression"),
        (ClassificationTask.__name__, "classification"),
        ("change", "change"),
    ],
)
def test_tasks_have_their_own_names_and_those_of_configurations(given: str, task: str) -> None:
    assert task_name(given) == task


@pytest.mark.parametrize("name", ["PretrainTask", "detection", ""])
def test_another_task_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="There is no task"):
        task_name(name)
