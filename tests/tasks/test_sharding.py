"""FSDP: what is gathered on its own, what it refuses, and that its checkpoints are whole."""

import multiprocessing
import os
from pathlib import Path

import pytest
import torch
from many_processes import free_port
from task_worlds import (
    World,
    batch_of,
    make_schema,
    make_statistics,
    make_trainer,
    seeded,
    use_local_models,
)

from eoseg.errors import ConfigError
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
    with pytest.raises(ConfigError, match="no process has all weights, so optimizer.average and ema"):
        ShardedTraining(task("resnet", optimizer=OptimizerConfig("SGD", 0.1, **average)))


def test_what_is_fitted_in_one_go_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    with pytest.raises(ConfigError, match="has nothing to share"):
        ShardedTraining(SegmentationTask(make_schema(), 8, arch="means"))


def world() -> World:
    rng = seeded()
    batches = [batch_of(rng.normal(0, 1, (2, 2, 16, 16)), label=rng.integers(0, 2, 2)) for _ in range(4)]
    return World(make_statistics(make_schema()), batches, batches, chip_size=16)


def fit(rank: int, folder: Path, environment: dict[str, str]) -> None:
    """Train for two steps as one of two processes, with clipped gradients."""
    os.environ |= {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}
    made = task(network_args={"size": "tiny", "patch": 8})
    trainer = make_trainer(
        folder,
        made,
        strategy=ShardedTraining(made),
        accelerator="gpu",
        devices=2,
        gradient_clip_val=1e-3,
        max_steps=2,
    )
    trainer.fit(made, world(), weights_only=True)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch's FSDP runs on GPUs alone")
def test_a_checkpoint_of_two_processes_holds_all_weights(tmp_path: Path) -> None:
    environment = {
        "TORCHELASTIC_RUN_ID": "tests",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=fit, args=(rank, tmp_path, environment)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(400)
        process.kill()
    assert [process.exitcode for process in started] == [0, 0]
    network, _ = load_network(tmp_path / "best.ckpt")
    first = task(network_args={"size": "tiny", "patch": 8}).network.state_dict()
    change = {name: (value - first[name]).norm() for name, value in network.state_dict().items()}
    weights = dict(network.named_parameters())
    assert 0 < torch.stack([change[name] for name in weights]).norm() <= 2 * 0.1 * 1e-3 * 1.01
