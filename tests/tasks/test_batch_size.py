"""The largest batch, on a CPU that is told it has little memory."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from task_worlds import (
    World,
    batch_of,
    make_schema,
    make_statistics,
    make_trainer,
    seeded,
    train,
    use_local_models,
)
from torch import Tensor

from eoseg.errors import ConfigError
from eoseg.tasks import SegmentationTask
from eoseg.tasks.batch_size import AutoBatchSize, _Room, is_full, largest


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


class Chips(World):
    """64 chips in batches of as many as `batch_size` says."""

    def __init__(self) -> None:
        rng = seeded()
        mask = rng.integers(0, 2, (64, 8, 8))
        self.all = batch_of(rng.normal(0, 1, (64, 2, 8, 8)) + mask[:, None], mask=mask)
        super().__init__(make_statistics(make_schema()), [], [self.all])
        self.run_folder: Path | None = None

    def train_dataloader(self) -> Any:
        parts = range(0, 64, self.batch_size)
        self.batches["train"] = [
            {key: value[first : first + self.batch_size] for key, value in self.all.items()}
            for first in parts
        ]
        return super().train_dataloader()


def make_task(monkeypatch: pytest.MonkeyPatch, room: int, error: Exception | None = None) -> SegmentationTask:
    """A task whose network runs out of memory above so many chips in training."""
    seeded()
    task = SegmentationTask(make_schema(), 8, arch="local")
    forward = task.network.forward

    def limited(image: Tensor, valid: Tensor, days: Tensor | None = None) -> Tensor:
        if task.training and len(image) > room:
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(image, valid, days)

    monkeypatch.setattr(task.network, "forward", limited)
    return task


@pytest.mark.parametrize(("room", "expected"), [(11, 11), (16, 16), (1, 1), (1000, 64), (45, 44)])
def test_the_largest_batch_that_fits_is_found_and_used(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    room: int,
    expected: int,
) -> None:
    caplog.set_level(logging.INFO)
    data = Chips()
    trainer = train(make_task(monkeypatch, room), data, tmp_path, callbacks=[AutoBatchSize()])
    assert data.batch_size == expected
    assert trainer.global_step == -(-64 // expected)
    assert f"has {expected} chips on each process" in caplog.text


def test_trying_leaves_weights_and_random_numbers_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = []
    for options in ({}, {"callbacks": [AutoBatchSize(most=8)]}):
        task, data = make_task(monkeypatch, 8), Chips()
        data.batch_size = 8
        train(task, data, tmp_path, **options)
        found.append((task.network.body.layer.weight.clone(), torch.rand(1)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_the_size_of_a_run_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = Chips()
    data.run_folder = tmp_path / "run"
    train(make_task(monkeypatch, 11), data, tmp_path, callbacks=[AutoBatchSize()])
    assert json.loads((tmp_path / "run" / "batch_size.json").read_text()) == {"batch_size": 11}
    again = Chips()
    again.run_folder = data.run_folder
    train(make_task(monkeypatch, 64), again, tmp_path, callbacks=[AutoBatchSize()])
    assert again.batch_size == 11


def test_the_process_with_the_least_room_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trainer, data = make_trainer(tmp_path), Chips()
    monkeypatch.setattr(trainer.strategy, "all_gather", lambda own: torch.stack([own, torch.tensor(5)]))
    task = make_task(monkeypatch, 11)
    trainer.strategy.connect(task)
    trainer.datamodule = data  # type: ignore[attr-defined]
    AutoBatchSize().setup(trainer, task, "fit")
    assert data.batch_size == 5


def test_not_even_one_chip_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"Not even a batch of one chip of 8x8 px fits into the memory of cpu"
    ):
        train(make_task(monkeypatch, 0), Chips(), tmp_path, callbacks=[AutoBatchSize()])


def test_other_errors_are_not_taken_for_a_full_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = make_task(monkeypatch, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(task, Chips(), tmp_path, callbacks=[AutoBatchSize()])


def test_a_network_that_is_fitted_in_one_go_has_no_batches(tmp_path: Path) -> None:
    task = SegmentationTask(make_schema(), 8, arch="means")
    with pytest.raises(ConfigError, match=r"--batch-size auto is for networks that are trained step by step"):
        train(task, Chips(), tmp_path, callbacks=[AutoBatchSize()])
    with pytest.raises(ConfigError, match=r"up to most chips, at least 1; found 0"):
        AutoBatchSize(most=0)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("room", [0, 1, 2, 3, 5, 8, 9, 63, 200])
def test_the_search_ends_within_an_eighth_below(room: int, most: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= room

    found, best = largest(fits, most), min(room, most)
    assert found <= best
    assert best - found <= found // 8
    assert len(tried) == len(set(tried))
    assert max(tried) <= most


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_a_full_memory_are_known(error: BaseException, full: bool) -> None:
    assert is_full(error) == full


def test_a_cpu_is_not_filled_until_the_process_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"VmRSS": 100, "VmHWM": 100, "MemAvailable": 1000}
    monkeypatch.setattr("eoseg.tasks.batch_size._value", lambda path, name: said[name])
    room = _Room(torch.device("cpu"))
    assert room.has(10**6)  # nothing is known yet
    said["VmHWM"] = 300
    room.note(2)  # 100 each
    assert room.has(8)
    assert not room.has(9)
    assert _Room(SimpleNamespace(type="cuda")).has(10**6)  # type: ignore[arg-type]
