from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
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
from torch.nn import functional

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError, DataError
from eoseg.losses import LossTerm
from eoseg.models.checkpoint import load_network
from eoseg.tasks import ClassificationTask
from eoseg.tasks.classification import majority
from eoseg.tasks.optim import OptimizerConfig

SCHEMA = make_schema("abc")
LABELS = make_schema("abc", multilabel=True)
CENTERS = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 2.5]])


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


def make_task(schema=SCHEMA, **options: object) -> ClassificationTask:
    seeded()
    settings = {"arch": "local", "optimizer": OptimizerConfig(lr=0.1)}
    return ClassificationTask(schema, 8, **(settings | options))  # type: ignore[arg-type]


def world(schema=SCHEMA, **statistics: object) -> World:
    """Chips whose mean tells their class, or the sum of what their labels add to it."""
    rng = seeded()
    parts = []
    for _ in range(14):
        if schema.multilabel:
            label = (rng.random((16, 3)) < [0.5, 0.4, 0.1]).astype(np.int64)
            mean = label @ np.array([[2.0, 0.0], [0.0, 2.0], [-3.0, -3.0]])
        else:
            label = rng.integers(0, 3, 16)
            mean = CENTERS[label]
        image = mean[:, :, None, None] + rng.normal(0, 1, (16, 2, 8, 8)) + rng.normal(0, 0.4, (16, 2, 1, 1))
        parts.append(batch_of(image, label=label))
    return World(make_statistics(schema, **statistics), parts[:10], parts[10:])


def test_chips_get_their_class_and_the_checkpoint_is_enough(tmp_path: Path) -> None:
    task, data = make_task(), world()
    trainer = train(task, data, tmp_path, max_epochs=4)
    assert trainer.callback_metrics["val/mean_f1"] > 0.9
    network, recipe = load_network(tmp_path / "best.ckpt")
    assert recipe.task == "ClassificationTask"
    assert network.kind == "classification"
    batch = data.batches["val"][0]
    assert network(batch["image"], batch["valid"]).shape == (16, 3)


def test_the_matrix_counts_each_chip_once(tmp_path: Path) -> None:
    task, data = make_task(), world()
    data.batches["val"][0]["label"][:5] = IGNORE
    train(task, data, tmp_path)
    figures = evaluate(task, data, tmp_path)
    truth = torch.cat([batch["label"] for batch in data.batches["val"]])
    found = torch.cat([task(batch["image"], batch["valid"]).argmax(1) for batch in data.batches["val"]])
    known = truth != IGNORE
    assert task.matrix("test").sum() == 4 * 16 - 5
    assert (task.matrix("test") == sk.confusion_matrix(truth[known], found[known])).all()
    assert figures["test/oa"] == pytest.approx(sk.accuracy_score(truth[known], found[known]))


def test_the_loss_is_cross_entropy_over_chips() -> None:
    task, batch = make_task(), world().batches["val"][0]
    logits = torch.randn(16, 3)
    torch.testing.assert_close(
        task.compute_loss(logits, batch), functional.cross_entropy(logits, batch["label"])
    )


def test_chips_with_masks_take_the_class_of_most_pixels() -> None:
    mask = torch.full((4, 4, 4), IGNORE)
    mask[0, 0] = torch.tensor([2, 2, 2, 1])  # most labelled ones, not most of all
    mask[1, 0] = torch.tensor([1, 1, 0, 0])  # of equally many the first
    mask[2, :, :] = 1
    assert majority(mask, 3).tolist() == [2, 0, 1, IGNORE]
    batch = batch_of(np.zeros((4, 2, 4, 4)), mask=mask)
    batch["valid"][2, :, :] = False  # a class is no class where there is no image
    assert make_task().target(batch).tolist() == [2, 0, IGNORE, IGNORE]


def test_several_labels_are_found_one_by_one(tmp_path: Path) -> None:
    task, data = make_task(LABELS), world(LABELS)
    train(task, data, tmp_path, max_epochs=10)
    figures = evaluate(task, data, tmp_path)
    truth = torch.cat([batch["label"] for batch in data.batches["val"]])
    found = torch.cat([(task(batch["image"], batch["valid"]) > 0).long() for batch in data.batches["val"]])
    assert figures["test/mean_f1"] == pytest.approx(sk.f1_score(truth, found, average="macro"))
    assert figures["test/micro_f1"] == pytest.approx(sk.f1_score(truth, found, average="micro"))
    assert figures["test/labels_right"] == pytest.approx(1 - sk.hamming_loss(truth, found))
    assert figures["test/f1/b"] == pytest.approx(sk.f1_score(truth[:, 1], found[:, 1]))
    assert figures["test/mean_f1"] > 0.8
    assert (task.label_tables("test") == sk.multilabel_confusion_matrix(truth, found)).all()
    assert load_network(tmp_path / "best.ckpt")[1].schema.multilabel


def test_a_label_counts_by_its_weight() -> None:
    batch = batch_of(np.zeros((2, 2, 8, 8)), label=torch.tensor([[1, 0, 0], [0, 0, 1]]))
    logits = torch.randn(2, 3)
    each = functional.binary_cross_entropy_with_logits(logits, batch["label"].float(), reduction="none").mean(
        0
    )
    plain = make_task(LABELS).compute_loss(logits, batch)
    torch.testing.assert_close(plain, each.mean())
    weighted = make_task(LABELS, class_weights=[1.0, 0.0, 3.0]).compute_loss(logits, batch)
    torch.testing.assert_close(weighted, (each[0] + 3 * each[2]) / 4)
    balanced = make_task(LABELS, class_weights="balanced")
    balanced.use_statistics(make_statistics(LABELS, class_pixels=(50, 40, 10)))
    weights = torch.tensor([100 / 150, 100 / 120, 100 / 30])
    torch.testing.assert_close(balanced.compute_loss(logits, batch), (each * weights).sum() / weights.sum())


def test_a_rare_label_is_found_more_often_where_it_weighs_more(tmp_path: Path) -> None:
    missed = []
    for weights in (None, [0.1, 0.1, 10.0]):
        task = make_task(LABELS, class_weights=weights)
        train(task, world(LABELS), tmp_path / str(weights), max_epochs=2)
        missed.append(task.label_tables("val")[2, 1, 0])
    assert missed[1] <= missed[0]


@pytest.mark.parametrize("loss", ["dice", [LossTerm("focal")]])
def test_other_losses_are_refused_for_several_labels(loss: object) -> None:
    with pytest.raises(ConfigError, match="several labels the loss is cross_entropy.*Leave loss out"):
        make_task(LABELS, loss=loss)


def test_a_threshold_is_refused_for_several_labels() -> None:
    with pytest.raises(ConfigError, match="A threshold tells two classes apart"):
        make_task(LABELS, threshold=0.3)


def test_weights_must_be_one_for_each_label() -> None:
    with pytest.raises(ConfigError, match="2 values for 3 classes"):
        make_task(LABELS, class_weights=[1.0, 2.0])


@pytest.mark.parametrize(
    ("schema", "label", "message"),
    [
        (LABELS, torch.zeros(2).long(), r"shape \(2, 3\) were expected; found \(2,\). Set multilabel"),
        (SCHEMA, torch.zeros(2, 3).long(), r"shape \(2,\) were expected; found \(2, 3\)"),
    ],
)
def test_labels_of_the_other_kind_are_refused(schema, label: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_task(schema).target(batch_of(np.zeros((2, 2, 8, 8)), label=label))


def test_a_mask_says_nothing_of_several_labels() -> None:
    with pytest.raises(DataError, match="need 'label'; these come with a mask alone"):
        make_task(LABELS).target(batch_of(np.zeros((2, 2, 8, 8)), mask=torch.zeros(2, 8, 8).long()))


def test_a_split_where_no_chip_has_a_label_is_refused(tmp_path: Path) -> None:
    data = world(LABELS)
    for batch in data.batches["val"]:
        batch["label"].zero_()
    with pytest.raises(DataError, match="The val split holds no labelled chip"):
        train(make_task(LABELS), data, tmp_path)


def test_pairs_are_no_chips_to_classify() -> None:
    with pytest.raises(ConfigError, match="learns from scenes of one date; found pairs.*Use ChangeTask"):
        make_task(make_schema("abc", time="pair", steps=2))


def test_a_forest_finds_several_labels(tmp_path: Path) -> None:
    task = ClassificationTask(LABELS, 8, arch="random_forest", network_args={"trees": 30})
    train(task, world(LABELS), tmp_path)
    figures = evaluate(task, world(LABELS), tmp_path)
    assert figures["test/micro_f1"] > 0.8
    network, _ = load_network(tmp_path / "best.ckpt")
    batch = world(LABELS).batches["val"][0]
    assert torch.equal(network(batch["image"], batch["valid"]), task(batch["image"], batch["valid"]))
