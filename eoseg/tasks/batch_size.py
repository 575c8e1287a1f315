"""The largest batch that fits into memory, found by trying."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from eoseg.batch import Batch
from eoseg.errors import ConfigError
from eoseg.files import write_atomically
from eoseg.recipe import Statistics
from eoseg.tasks.optim import OptimizerConfig, build_optimizer

_log = logging.getLogger(__name__)

_FILE = "batch_size.json"
_OF_FREE = 0.8
"""Share of the free memory that a batch may take on a CPU, where nothing says when it is full."""

_SIGNS = ("out of memory", "can't allocate memory", "alloc_failed")
"""Words, in lower case, by which errors of torch that have no class of their own say that memory is full."""


class SizedData(Protocol):
    """What is asked of a datamodule."""

    batch_size: int
    run_folder: Path | None

    @property
    def statistics(self) -> Statistics:
        """Values over the training pixels."""

    def panel_chips(self, stage: str, count: int) -> Batch:
        """Some chips of a split."""

    def train_dataloader(self) -> Any:
        """The training chips."""


class TriedTask(Protocol):
    """What is asked of a task."""

    network: nn.Module
    statistics: Statistics | None
    optimizer_config: OptimizerConfig

    @property
    def fitted_body(self) -> object | None:
        """Not None where there are no batches along gradients."""

    def use_statistics(self, statistics: Statistics) -> None:
        """Set the normalisation."""

    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch."""


class AutoBatchSize(Callback):
    """Before training, set `data.batch_size` to the largest that fits: `eoseg fit --batch-size auto`.

    Training steps, optimiser included, are tried on copies of one chip: sizes are doubled until memory is
    full, then halved in between, down to an eighth. Weights and random numbers are as before. Of several
    processes the one with the least room decides. The size is kept in the run folder, and taken from there
    when the run goes on.
    """

    def __init__(self, most: int = 1024) -> None:
        """Choose the largest size that is tried.

        Args:
            most: Chips in a batch of each process, at most as many as an epoch has.

        Raises:
            ConfigError: The number is below 1.
        """
        if most < 1:
            raise ConfigError(f"AutoBatchSize tries batches of up to most chips, at least 1; found {most}.")
        self.most = most

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the size; every process is here, and no loader is made yet."""
        task = cast(TriedTask, pl_module)
        data = cast(SizedData, trainer.datamodule)  # type: ignore[attr-defined]
        if stage != "fit":
            return
        if task.fitted_body is not None:
            raise ConfigError(
                "--batch-size auto is for networks that are trained step by step; this one is fitted in one "
                "go. Leave it out."
            )
        kept = None if data.run_folder is None else data.run_folder / _FILE
        if kept is not None and kept.exists():
            data.batch_size = int(json.loads(kept.read_text())["batch_size"])
            _log.info("Batches of %d chips, as when the run began.", data.batch_size)
            return
        own = torch.tensor(self._find(trainer, pl_module, data), device=trainer.strategy.root_device)
        found = int(trainer.strategy.all_gather(own).min())
        data.batch_size = found
        _log.info("The largest batch that fits has %d chips on each process.", found)
        if kept is not None and trainer.is_global_zero:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, json.dumps({"batch_size": found}) + "\n")

    def _find(self, trainer: Trainer, module: LightningModule, data: SizedData) -> int:
        most = min(self.most, max(1, len(data.train_dataloader()) * data.batch_size))
        chip = data.panel_chips("train", 1)
        if cast(TriedTask, module).statistics is None:
            cast(TriedTask, module).use_statistics(data.statistics)
        device = trainer.strategy.root_device
        before = {name: value.clone() for name, value in module.state_dict().items()}
        room = _Room(device)
        with isolate_rng():
            try:
                module.to(device)
                found = largest(
                    lambda size: room.has(size) and _fits(trainer, module, chip, size, room), most
                )
            finally:
                module.to("cpu")
                module.load_state_dict(before)
        if not found:
            raise ConfigError(
                f"Not even a batch of one chip of {'x'.join(map(str, chip['image'].shape[-2:]))} px fits "
                f"into the memory of {device}. Take smaller chips, a smaller network, or trainer.precision: "
                "bf16-mixed."
            )
        return found


def largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number for which something fits, to an eighth; 0 where not even 1 does.

    Args:
        fits: Whether it does; where it does not, it does not for larger numbers either.
        most: The largest that is tried.
    """
    good, bad = 0, most + 1
    size = min(2, most)  # batch normalisation of pooled features needs two
    while good < most:
        if fits(size):
            good = size
        else:
            bad = size
            break
        size = min(2 * size, most)
    if good == 0 and bad == 2:
        return int(fits(1))
    while bad <= most and bad - good > max(1, good // 8):
        size = (good + bad) // 2
        good, bad = (size, bad) if fits(size) else (good, size)
    return good


def is_full(error: BaseException) -> bool:
    """Whether an error says that memory is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


class _Room:
    """On a CPU, whether a batch can be expected to fit, from what the last one took.

    A GPU says when it is full; a process that fills a machine's memory is killed.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cpu = device.type == "cpu" and Path("/proc/self/status").exists()
        self._start = _status("VmRSS") if self._is_cpu else 0
        self._per_chip = 0.0

    def has(self, size: int) -> bool:
        """Whether so many chips will fit."""
        if not self._is_cpu:
            return True
        taken = max(0, _status("VmRSS") - self._start)
        free = taken + _value(Path("/proc/meminfo"), "MemAvailable")
        return size * self._per_chip <= _OF_FREE * free

    def note(self, size: int) -> None:
        """Look at what a batch took."""
        if self._is_cpu:
            self._per_chip = max(0, _status("VmHWM") - self._start) / size


def _fits(trainer: Trainer, module: LightningModule, chip: Batch, size: int, room: _Room) -> bool:
    try:
        _try_steps(trainer, module, chip, size)
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        return False
    else:
        room.note(size)
        return True
    finally:
        module.zero_grad(set_to_none=True)
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.empty_cache()


def _try_steps(trainer: Trainer, module: LightningModule, chip: Batch, size: int) -> None:
    """Two steps: in the second the optimiser's own values lie beside those of the network."""
    task = cast(TriedTask, module)
    batch = cast(Batch, {name: _repeated(value, size, module.device) for name, value in chip.items()})
    module.train()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = build_optimizer(task.optimizer_config, trained)
    for _ in range(2):
        with trainer.precision_plugin.train_step_context():
            logits = module(batch["image"], batch["valid"], batch.get("days"))
            loss = task.compute_loss(logits, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _repeated(value: Any, size: int, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.repeat(size, *[1] * (value.ndim - 1)).to(device)
    return list(value) * size


def _status(name: str) -> int:
    return _value(Path("/proc/self/status"), name)


def _value(path: Path, name: str) -> int:
    """Bytes that a file of /proc names in kB."""
    lines = path.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
