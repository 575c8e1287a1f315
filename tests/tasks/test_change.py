from pathlib import Path

import numpy as np
import pytest
import torch
from task_worlds import (
    World,
    batch_of,
    evaluate,
    make_schema,
    make_statistics,
    seeded,
    train,
    use_local_models,
)

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError, DataError
from eoseg.models import MODELS
from eoseg.models.checkpoint import load_network
from eoseg.tasks import ChangeTask
from eoseg.tasks.optim import OptimizerConfig

SCHEMA = make_schema(("unchanged", "changed"), time="pair", steps=2)
FOUR = make_schema(("nothing", "more x", "more y", "both"), time="pair", steps=2)


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


def world(schema=SCHEMA, *, rare: float = 0.1, planted: bool = True) -> World:
    """Pairs that differ by noise, and by more where a change was planted; one column has no second date."""
    rng = seeded()
    parts = []
    for _ in range(12):
        classes = rng.integers(1, len(schema.classes), (2, 8, 8)) * (rng.random((2, 8, 8)) < rare)
        before = rng.normal(0, 1, (2, 2, 8, 8))
        moved = np.stack([classes == 1, classes == 2], axis=1) | (classes == 3)[:, None]
        if len(schema.classes) == 2:
            moved = np.repeat((classes == 1)[:, None], 2, axis=1)
        after = before + rng.normal(0, 0.4, before.shape) + 2.0 * moved
        batch = batch_of(np.stack([before, after], axis=1), mask=classes if planted else 0 * classes)
        batch["valid"][:, 1, :, 7] = False
        parts.append(batch)
    return World(make_statistics(schema), parts[:8], parts[8:])


def make_task(schema=SCHEMA, **options: object) -> ChangeTask:
    seeded()
    settings = {"arch": "local", "optimizer": OptimizerConfig(lr=0.1)}
    return ChangeTask(schema, 8, **(settings | options))  # type: ignore[arg-type]


def test_a_pixel_counts_where_both_dates_are_valid() -> None:
    batch = world().batches["val"][0]
    target = make_task().target(batch)
    assert (target[..., 7] == IGNORE).all()
    assert torch.equal(target[..., :7], batch["mask"][..., :7])


def test_no_change_comes_first() -> None:
    with pytest.raises(ConfigError, match="found 'No change' after 'changed'. Write 'No change' first"):
        make_task(make_schema(("changed", "No change"), time="pair", steps=2))


def test_the_threshold_is_the_best_of_the_validation_and_travels_in_the_checkpoint(tmp_path: Path) -> None:
    task, data = make_task(), world()
    trainer = train(task, data, tmp_path, max_epochs=4)
    network, recipe = load_network(tmp_path / "best.ckpt")
    probability, truth = [], []
    with torch.no_grad():
        for batch in data.batches["val"]:
            probability.append(network(batch["image"], batch["valid"]).softmax(1)[:, 1][..., :7].flatten())
            truth.append(batch["mask"][..., :7].flatten() == 1)
    p, y = torch.cat(probability).double(), torch.cat(truth)

    def f1(threshold: float) -> float:
        mapped = p >= threshold
        return (2 * (mapped & y).sum() / (mapped.sum() + y.sum())).item()

    best = max(f1(step / 1000) for step in range(1, 1000))
    assert f1(recipe.threshold) == pytest.approx(best, abs=1e-6)
    assert best > 0.8
    assert best > f1(0.5)  # else the choice would show nothing
    assert float(trainer.checkpoint_callback.best_model_score) == pytest.approx(best, abs=1e-6)


def test_the_checkpoint_is_chosen_by_the_f1_of_change_where_there_are_two_classes() -> None:
    assert make_task().monitor == "val/change_f1"
    assert make_task(FOUR).monitor == "val/miou"


def test_kinds_of_change_are_told_apart(tmp_path: Path) -> None:
    task = make_task(FOUR)
    data = world(FOUR, rare=0.6)
    trainer = train(task, data, tmp_path, max_epochs=6)
    assert trainer.callback_metrics["val/oa"] > 0.85
    assert task.recipe().threshold is None
    assert "val/change_f1" not in trainer.callback_metrics
    assert evaluate(task, data, tmp_path)["test/miou"] > 0.6


def test_a_validation_without_any_change_cannot_choose(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="val split holds no pixel of 'changed'.*Change the split"):
        train(make_task(), world(planted=False), tmp_path)


def test_a_test_without_any_change_leaves_its_f1_out(tmp_path: Path) -> None:
    task = make_task()
    train(task, world(), tmp_path)
    figures = evaluate(task, world(planted=False), tmp_path)
    assert "test/change_f1" not in figures
    assert figures["test/oa"] > 0.5


def test_the_likeliest_class_can_be_mapped_instead(tmp_path: Path) -> None:
    task = make_task(threshold="likeliest")
    train(task, world(), tmp_path)
    assert task.recipe().threshold is None


def test_a_body_that_finds_its_own_threshold_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS["change"]["local"], "has_own_threshold", True, raising=False)
    assert make_task().threshold_in_force() is None
    assert make_task()._threshold_rule == "likeliest"


@pytest.mark.parametrize(
    ("schema", "found", "use"),
    [
        (make_schema(), "scenes of one date", "SegmentationTask"),
        (make_schema(time="series", steps=3), "series of dates", "SeriesTask"),
    ],
)
def test_data_of_other_dates_are_refused(schema, found: str, use: str) -> None:
    with pytest.raises(ConfigError, match=f"learns from pairs of dates.*found {found}. Use {use}"):
        make_task(schema)
