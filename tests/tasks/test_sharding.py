"""FSDP: what is gathered on its own, what it refuses, and that its checkpoints are whole."""

import os
from pathlib import Path

import pytest
import torch
from many_processes import free_port
from task_worlds import ClassMeans, World, batch_of, make_schema, make_statistics, make_trainer, seeded, use_local_models

from eoseg.errors import ConfigError
from eoseg.models import Dimensions
from eoseg.models.build import MODELS
from eoseg.models.checkpoint import load_network
from eoseg.tasks import ClassificationTask, SegmentationTask, Task
from eoseg.tasks.optim import OptimizerConfig
from eoseg.tasks.sharding import ShardedTraining, transformer_blocks


def task(arch: str = "vit", **options: object) -> Task:
    seeded()
    settings = {"optimizer": OptimizerConfig("SGD", 0.1), **options}
    return ClassificationTask(make_schema(), 16, arch=arch, **settings)  # type: ignore[arg-type]


def test_each_block_of_a_transformer_is_gathered_on_its_own() -> None:
    made = task(network_args={"size": "tiny", "patch": 8})
    blocks = transformer_blocks(made.network)
    assert len(blocks) == 12
    assert len({type(block) for block in blocks}) == 1
    assert sum(item.numel() for block in blocks for item in block.parameters()) > 5_000_000
    policy = ShardedTraining(made).kwargs["auto_wrap_policy"]
    assert policy(module=blocks[0], recurse=False, nonwrapped_numel=1)
    assert not policy(module=made.network, recurse=False, nonwrapped_numel=10**9)


def test_other_networks_are_gathered_in_large_parts() -> None:
    made = task("resnet", network_args={"depth": 18})
    assert not transformer_blocks(made.network)
    policy = ShardedTraining(made).kwargs["auto_wrap_policy"]
    assert policy(module=made.network, recurse=False, nonwrapped_numel=2_000_000)
    assert not policy(module=made.network, recurse=False, nonwrapped_numel=2000)


@pytest.mark.parametrize("average", [{"ema": 0.9}, {"average": 0.5}])
def test_averages_of_weights_are_refused(average: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="no process has all weights, so optimizer.average and optimizer.ema"):
        ShardedTraining(task("lenet" if "lenet" in MODELS["classification"] else "resnet",
                             optimizer=OptimizerConfig("SGD", 0.1, **average)))


def test_what_is_fitted_in_one_go_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    with pytest.raises(ConfigError, match="has nothing to share"):
        ShardedTraining(SegmentationTask(make_schema(), 8, arch="means"))
