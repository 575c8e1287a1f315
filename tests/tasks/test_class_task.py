from pathlib import Path

import numpy as np
import pytest
import torch
from task_worlds import (
    HEIGHT,
    World,
    batch_of,
    evaluate,
    make_schema,
    make_statistics,
    seeded,
    train,
    use_local_models,
)

from eoseg.errors import ConfigError, DataError
from eoseg.metrics import confusion_matrix
from eoseg.models import MODELS
from eoseg.recipe import Schema
from eoseg.tasks import ClassificationTask, SegmentationTask
from eoseg.tasks.optim import OptimizerConfig

SCHEMA = make_schema()
LOGITS = torch.tensor([[0.0, 0.0], [-1.0, 1.0]])[None, :, None]  # (1, 2, 1, 2): probabilities .27 and .73


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


def make_task(**options: object) -> SegmentationTask:
    seeded()
    return SegmentationTask(SCHEMA, 8, **({"arch": "local"} | options))  # type: ignore[arg-type]


def world(seed: int = 0) -> World:
    """The second class is rare, and where the first band is high."""
    rng = seeded(seed)
    parts = []
    for _ in range(12):
        image = rng.normal(0, 1, (2, 2, 8, 8))
        parts.append(batch_of(image, mask=(image[:, 0] + rng.normal(0, 0.5, (2, 8, 8)) > 1.2).astype(int)))
    return World(make_statistics(SCHEMA, class_pixels=(900, 100)), parts[:8], parts[8:])


@pytest.mark.parametrize(
    ("threshold", "classes"), [("auto", [0, 1]), ("likeliest", [0, 1]), (0.2, [1, 1]), (0.9, [0, 0])]
)
def test_a_threshold_moves_the_border_between_two_classes(threshold: float | str, classes: list[int]) -> None:
    assert make_task(threshold=threshold).predict_classes(LOGITS).flatten().tolist() == classes


def test_a_fixed_threshold_is_in_the_recipe_and_in_the_figures(tmp_path: Path) -> None:
    task, data = make_task(threshold=0.1234), world()
    train(task, data, tmp_path)
    assert task.recipe().threshold == 0.1234
    evaluate(task, data, tmp_path)
    expected = sum(
        confusion_matrix(
            batch["mask"].numpy(),
            (task(batch["image"], batch["valid"]).softmax(1)[:, 1] >= 0.1234).long().numpy(),
            2,
        )
        for batch in data.batches["val"]
    )
    assert (task.matrix("test") == expected).all()


def test_a_threshold_of_the_validation_is_used_on_the_test_split(tmp_path: Path) -> None:
    task, data = make_task(threshold="validation", optimizer=OptimizerConfig(lr=0.05)), world()
    trainer = train(task, data, tmp_path, max_epochs=2)
    chosen = task.recipe().threshold
    assert chosen is not None
    assert float(trainer.callback_metrics["val/threshold"]) == pytest.approx(chosen)
    figures = evaluate(task, data, tmp_path)  # the same pixels
    assert figures["test/f1/b"] == pytest.approx(float(trainer.callback_metrics["val/f1/b"]))
    fresh = make_task(threshold="validation")
    fresh.on_load_checkpoint({"eoseg": task.recipe().to_dict()})
    assert fresh.threshold_in_force() == chosen


def test_the_configuration_overrules_the_threshold_of_a_checkpoint(tmp_path: Path) -> None:
    task = make_task(threshold="validation")
    train(task, world(), tmp_path)
    fixed = make_task(threshold=0.9)
    fixed.on_load_checkpoint({"eoseg": task.recipe().to_dict()})
    assert fixed.threshold_in_force() == 0.9


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1, "middle"])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float | str) -> None:
    with pytest.raises(ConfigError, match=f"threshold is a probability between 0 and 1.*found {threshold}"):
        make_task(threshold=threshold)


@pytest.mark.parametrize("threshold", [0.3, "validation"])
def test_a_threshold_between_three_classes_is_refused(threshold: float | str) -> None:
    with pytest.raises(ConfigError, match="tells two classes apart; found .* 3 classes"):
        SegmentationTask(make_schema("abc"), 8, arch="local", threshold=threshold)  # type: ignore[arg-type]


def test_a_quantity_is_no_class() -> None:
    with pytest.raises(ConfigError, match="learns classes, but the data hold a quantity. Use RegressionTask"):
        SegmentationTask(HEIGHT, 8, arch="local")


def test_data_without_any_label_are_refused(tmp_path: Path) -> None:
    data = world()
    for batch in data.batches["val"]:
        batch["mask"].fill_(255)
    with pytest.raises(DataError, match="The val split holds no label"):
        train(make_task(), data, tmp_path)


def test_weights_of_classes_change_what_is_learned(tmp_path: Path) -> None:
    found = {}
    for weights in (None, [1.0, 20.0], "balanced"):
        task = make_task(class_weights=weights, optimizer=OptimizerConfig(lr=0.05))
        train(task, world(), tmp_path / str(weights), max_epochs=6)
        found[str(weights)] = task.scores("val").classes[1].producers_accuracy or 0.0
    assert found["None"] < found["balanced"]
    assert found["None"] < found["[1.0, 20.0]"]


def test_a_network_for_another_task_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS["change"], "siamese_here", MODELS["change"]["local"])
    with pytest.raises(ConfigError, match="'siamese_here' is a model for change, not for segmentation"):
        make_task(arch="siamese_here")


def test_the_figures_are_those_of_the_matrix(tmp_path: Path) -> None:
    task, data = make_task(), world()
    train(task, data, tmp_path)
    figures = evaluate(task, data, tmp_path)
    scores = task.scores("test")
    assert figures["test/miou"] == pytest.approx(scores.mean_iou)
    assert figures["test/kappa"] == pytest.approx(scores.kappa)
    assert figures["test/balanced_accuracy"] == pytest.approx(scores.balanced_accuracy)
    assert np.isfinite(figures["test/loss"])


@pytest.mark.parametrize("task", [SegmentationTask, ClassificationTask])
def test_scenes_without_labels_are_refused_with_the_task_that_fits(task: type[SegmentationTask]) -> None:
    with pytest.raises(ConfigError, match=f"{task.__name__} learns from labels, but the data have none") as e:
        task(Schema(("x", "y"), ()), 8, arch="local")
    assert "PretrainTask" in str(e.value)
