"""What a validation writes beside Lightning's figures, from a task with known counts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from task_worlds import HEIGHT, make_schema, seeded, use_local_models

from eoseg.cli.measured import PICTURE, SURE_PICTURE, blocks_file, selective_line, write_measured
from eoseg.errors import DataError
from eoseg.selective import STEPS, SelectiveCurve
from eoseg.spatial_blocks import read_blocks
from eoseg.tasks import ClassificationTask, RegressionTask, SegmentationTask


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> SegmentationTask:
    """After a test on 16 chips of 64 px in which the network is right in the upper half, and sure."""
    use_local_models(monkeypatch)
    seeded()
    task = SegmentationTask(make_schema(), 8, arch="local")
    measures = task.measures("test")
    measures.reset(judge=True)
    target = torch.randint(0, 2, (16, 64, 64))
    classes = target.clone()
    classes[:, 32:] = 1 - target[:, 32:]
    logits = 10 * torch.nn.functional.one_hot(classes, 2).movedim(-1, 1).float()
    measures.update(logits, classes, target, [f"s@{64 * number},0" for number in range(16)], str)
    return task


def test_intervals_calibration_and_blocks_are_written_and_said(
    task: SegmentationTask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = write_measured(task, tmp_path, "test", block_size=None, record={"border": "isprs-full"})
    assert found["intervals"]["values"]["overall_accuracy"] == [0.5, 0.5]  # alike in each block
    assert found["intervals"]["block_size"] == 64
    assert found["calibration"]["ece"] == pytest.approx(0.5, abs=1e-4)
    assert found["calibration"]["scaling"] is None
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")
    blocks, record = read_blocks(tmp_path / blocks_file("test"))
    assert len(blocks.keys) == 16
    assert record == {"border": "isprs-full"}
    printed = capsys.readouterr().out
    assert "overall accuracy    0.500   95 %: 0.500-0.500" in printed
    assert "bootstrap over 16 blocks of 64 x 64 px" in printed
    assert "ECE 0.500" in printed
    assert found["selective"]["aurc"] == pytest.approx(0.5)  # equally sure of all
    assert (tmp_path / SURE_PICTURE).read_bytes().startswith(b"\x89PNG")
    assert "Surest 80 %: accuracy 0.500, surest 50 %: 0.500; 0.95 on no share; AURC 0.500" in printed


def test_the_line_says_from_which_probability_on_a_map_is_accurate() -> None:
    count, right = np.zeros((2, STEPS), np.int64)
    count[[400, 900]], right[[400, 900]] = 50, (10, 50)
    line = selective_line(SelectiveCurve(count, right))
    assert (
        line
        == "Surest 80 %: accuracy 0.700, surest 50 %: 1.000; 0.95 from a probability of 0.900 on (50 %); "
        + (f"AURC {SelectiveCurve(count, right).aurc:.3f}")
    )


def test_of_several_labels_the_surest_are_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_local_models(monkeypatch)
    task = ClassificationTask(make_schema(multilabel=True), 8, arch="local")
    measures = task.measures("test")
    measures.reset(judge=True)
    logits, target = torch.tensor([[3.0, -3.0], [3.0, 0.5]]), torch.tensor([[1, 0], [1, 0]])
    measures.update(logits, (logits > 0).long(), target, ["a", "b"], str)
    found = write_measured(task, tmp_path, "test", block_size=None, record={})
    assert list(found) == ["selective"]
    assert found["selective"]["curve"]["accuracy"][-1] == 0.75
    assert found["selective"]["mask_for_accuracy"]["0.95"]["coverage"] == 0.75


def test_larger_blocks_are_used_where_asked_for(task: SegmentationTask, tmp_path: Path) -> None:
    found = write_measured(task, tmp_path, "test", block_size=128, record={})
    assert found["intervals"]["blocks"] == 8
    assert "8 blocks of 128 x 128 px hold labels, 10 are needed" in found["intervals"]["reason"]
    with pytest.raises(DataError, match="found 96 px"):
        write_measured(task, tmp_path, "test", block_size=96, record={})


def test_tasks_without_classes_and_those_that_were_not_tested_write_nothing(
    task: SegmentationTask, tmp_path: Path
) -> None:
    assert write_measured(task, tmp_path, "val", block_size=None, record={}) == {}
    other = RegressionTask(HEIGHT, 8, arch="local")
    assert write_measured(other, tmp_path, "test", block_size=None, record={}) == {}
    assert list(tmp_path.iterdir()) == []
