import pytest
import torch

from eoseg.batch import IGNORE, Batch
from eoseg.errors import ConfigError
from eoseg.losses import LossTerm
from eoseg.recipe import BandStatistics, Schema, Statistics, parse_classes
from eoseg.tasks import SegmentationTask

SCHEMA = Schema(("b",), parse_classes(["a", "b"]))
STATISTICS = Statistics((BandStatistics("b", 0.0, 1.0, -3.0, -2.0, 2.0, 3.0),), "float32", 100, 100, (90, 10))
SMALL = {"depth": 3, "channels": 4}


def make_batch() -> Batch:
    valid = torch.ones(1, 16, 16, dtype=torch.bool)
    valid[:, 0] = False
    image, mask = torch.zeros(1, 1, 16, 16), torch.zeros(1, 16, 16).long()
    return {"image": image, "valid": valid, "mask": mask, "id": ["x"]}


def test_pixels_without_a_value_are_no_target() -> None:
    task = SegmentationTask(SCHEMA, 16, network_args=SMALL)
    target = task.target(make_batch())
    assert (target[:, 0] == IGNORE).all()
    assert (target[:, 1:] == 0).all()


def test_balanced_weights_come_from_the_training_pixels() -> None:
    task = SegmentationTask(SCHEMA, 16, network_args=SMALL, class_weights="balanced")
    logits = torch.zeros(1, 2, 16, 16)
    logits[:, 0] = 1
    mask = torch.zeros(1, 16, 16).long()
    mask[:, 8:] = 1
    before = task.compute_loss(logits, {**make_batch(), "mask": mask})
    task.use_statistics(STATISTICS)
    after = task.compute_loss(logits, {**make_batch(), "mask": mask})
    assert after > before  # the rare class, which is wrong here, weighs more
    assert STATISTICS.balanced_weights == pytest.approx((100 / 180, 5.0))


def test_terms_of_a_loss_are_summed() -> None:
    logits = torch.randn(1, 2, 16, 16)
    losses = [
        SegmentationTask(SCHEMA, 16, network_args=SMALL, loss=loss).compute_loss(logits, make_batch())
        for loss in ("cross_entropy", "dice", [LossTerm("cross_entropy"), LossTerm("dice", 0.5)])
    ]
    assert losses[2] == pytest.approx((losses[0] + 0.5 * losses[1]).item(), rel=1e-5)


def test_class_weights_must_be_one_for_each_class() -> None:
    with pytest.raises(ConfigError, match="has 3 values for 2 classes"):
        SegmentationTask(SCHEMA, 16, network_args=SMALL, class_weights=[1.0, 2.0, 3.0])


def test_unknown_names_are_refused_before_any_data_is_read() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'unet'"):
        SegmentationTask(SCHEMA, 16, arch="unett")
    with pytest.raises(ConfigError, match="Did you mean 'dice'"):
        SegmentationTask(SCHEMA, 32, loss="dise")
