"""The protocol of figures, on a small world whose pixels can be counted by hand."""

from pathlib import Path

import pytest
from task_worlds import use_local_models
from toy_world import make_toy

from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.datamodule import SceneData
from eoseg.errors import ConfigError
from eoseg.tasks import SegmentationTask
from eoseg.tracking.protocol import figures_record, left_out, require_unseen, training_record


@pytest.fixture
def data(tmp_path: Path) -> SceneData:
    for seed in range(3):
        make_toy(tmp_path, seed, (32, 48))
    source = SceneSource(
        "images/*.tif", "labels/*.tif", ["soil", "grass", "roof"], root=str(tmp_path), bands=["nir", "red"]
    )
    split = SplitConfig(method="files", val=["scene_1"], test=["scene_2"])
    return SceneData(source, chip_size=16, split=split)


@pytest.fixture
def task(data: SceneData, monkeypatch: pytest.MonkeyPatch) -> SegmentationTask:
    use_local_models(monkeypatch)
    return SegmentationTask(data.schema, 16, arch="local")


def test_a_checkpoint_carries_the_protocol_of_its_training(task: SegmentationTask, data: SceneData) -> None:
    record = training_record(task, data, seed=3, world_size=2)
    assert record["split"] == {
        "method": "files",
        "val": ["scene_1"],
        "test": ["scene_2"],
        "seed": 0,
        "sha256": data.split.sha256,
    }
    assert record["chosen_by"] == "val/miou, highest"
    assert record["classes"] == {"soil": [0], "grass": [1], "roof": [2]}
    assert (record["seed"], record["world_size"], record["border"]) == (3, 2, "isprs-full")
    assert record["data"]["files"] == 6  # type: ignore[index, call-overload]
    assert record == training_record(task, data, seed=3, world_size=2)


def test_figures_say_what_was_left_out_and_whether_the_data_are_those_of_the_training(
    task: SegmentationTask, data: SceneData, tmp_path: Path
) -> None:
    task.provenance = training_record(task, data, seed=0, world_size=1)
    record = figures_record(task, data, "test", seed=0, world_size=1)
    assert record["same_data_as_training"] is True
    assert record["training"] == task.provenance
    assert record["measured_on"]["split"] == "test"  # type: ignore[index, call-overload]
    assert left_out(task, data, "test") == {
        "compared_pixels": 0,
        "eroded_pixels": 0,
        "ignored_pixels": 32 * 48,
    }
    (tmp_path / "labels" / "scene_0.tif").write_bytes((tmp_path / "labels" / "scene_1.tif").read_bytes())
    again = SceneData(data.scenes, chip_size=16, split=data.split_config)
    changed = figures_record(task, again, "test", seed=0, world_size=1)
    assert changed["same_data_as_training"] is False


def test_what_chose_the_checkpoint_cannot_test_it(task: SegmentationTask, data: SceneData) -> None:
    record = training_record(task, data, seed=0, world_size=1)
    require_unseen(record, data)
    require_unseen({}, data)  # a checkpoint that does not say it
    turned = SceneData(
        data.scenes, chip_size=16, split=SplitConfig(method="files", val=["scene_2"], test=["scene_1"])
    )
    with pytest.raises(ConfigError, match=r"chosen \(val/miou, highest\) on the very split that is to be"):
        require_unseen(record, turned)
    with pytest.raises(ConfigError, match="on the very split"):
        require_unseen({"chosen_on": {"split": "test"}}, data)


def test_data_that_validate_on_their_test_split_cannot_test(data: SceneData) -> None:
    data.members = lambda stage: ["x"] if stage != "train" else ["y"]  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="by its validation figure.*on the very split"):
        require_unseen({}, data)
