"""A training that is asked to stop keeps what it has, wherever it is in an epoch, and can go on from there.

SLURM sends a signal some time before it ends a job (`#SBATCH --signal=USR1@120`). Lightning writes its
checkpoint from within the handler, which may be in the middle of a step, on processes that are at different
steps. Here the handler only takes a note; all agree on a step, write a checkpoint after it, and end.
"""

import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from eoseg.datasets.resumable import ResumableLoader
from eoseg.errors import EosegError
from eoseg.tracking.checkpoints import LAST
from eoseg.tracking.loggers import finish_wandb

_log = logging.getLogger(__name__)

_NOTHING, _SAVE, _STOP, _REQUEUE = range(4)
_ASKS = {signal.SIGUSR1: _REQUEUE, signal.SIGTERM: _STOP}
_NAMES = {_STOP: "SIGTERM", _REQUEUE: "SIGUSR1"}
_WAIT_SECONDS = 60


class PreemptedError(EosegError):
    """The training was asked to stop; it can go on."""

    def __init__(self, message: str, *, where: str, folder: Path, wants_queue: bool) -> None:
        """Keep what is left to do.

        Args:
            message: What happened.
            where: Where it goes on.
            folder: The run folder.
            wants_queue: Whether SLURM is to run the job again.
        """
        super().__init__(message)
        self.where = where
        self.folder = folder
        self.wants_queue = wants_queue

    def settle(self) -> str:
        """Ask SLURM to run the job again, if that is wanted; what is to be said at the end.

        SLURM ends all processes of the job at once, W&B's too, so this comes when all is written.
        """
        again = self.wants_queue and _requeue()
        how = (
            "The job is in the queue again, and goes on"
            if again
            else f"eoseg fit --resume {self.folder} goes on"
        )
        return f"{self} {how} from {self.where}."


class Preemption(Checkpoint):
    """Write `last.ckpt` after each epoch, and after a step when asked to stop or when the last is too old.

    SIGUSR1 stops the training, and asks SLURM to put the job into its queue again; SIGTERM stops it alone.

    What a step draws at random on the device or in the network (such as dropout) follows from the seed, the
    step and the process alone. So a training that goes on does what it would have done without the stop.

    It is a `Checkpoint`, which Lightning calls after all other callbacks. Lightning's `save_last` keeps only
    those epochs that are better than all before.
    """

    def __init__(self, run_folder: Path, *, minutes: float, seed: int) -> None:
        """Choose how often.

        Args:
            run_folder: The folder of the run.
            minutes: Time between two checkpoints inside an epoch; 0 for none but at its end.
            seed: Seed of the run.
        """
        self.last = run_folder / "checkpoints" / LAST
        self._folder = run_folder
        self._seconds = minutes * 60
        self._seed = seed
        self._asked = _NOTHING
        self._saved_at = time.monotonic()
        self._before: dict[signal.Signals, Any] = {}
        self._agreement: _Agreement | None = None
        self._stopping: PreemptedError | None = None
        self._loader: ResumableLoader[Any] | None = None
        self._place: dict[str, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Listen from now on: Lightning leaves SIGUSR1 alone where someone does."""
        if stage == "fit":
            self._before = {number: signal.getsignal(number) for number in _ASKS}
            self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Listen again, in place of Lightning's handler of SIGTERM, which talks to others at once.

        And go on at the place in the epoch. Lightning would do so only where nobody has asked for the number
        of steps before the checkpoint is read, as schedules do.
        """
        self._listen()
        if isinstance(trainer.train_dataloader, ResumableLoader):
            self._loader = trainer.train_dataloader
            if self._place:
                self._loader.load_state_dict(self._place)
        self._saved_at = time.monotonic()
        self._agreement = _Agreement(trainer.world_size)

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Stop here if that was decided after the last step; let draws follow from the place of this one."""
        if self._stopping is not None:
            raise self._stopping  # only now, so that the figures of the last step are logged
        place = np.random.SeedSequence([self._seed, trainer.current_epoch, batch_idx, trainer.global_rank])
        _seed_draws(int(place.generate_state(1)[0]), pl_module.device)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Do what all processes have been asked for, once gradients make a whole step."""
        if self._agreement is None or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        old = self._seconds and time.monotonic() - self._saved_at > self._seconds
        decided = self._agreement.on(max(self._asked, _SAVE if old else _NOTHING))
        if decided == _NOTHING or trainer.is_last_batch:
            return  # after the last batch comes the validation, and then a checkpoint
        whole = pl_module.automatic_optimization  # what is fitted in one go keeps nothing of half an epoch
        if whole:
            trainer.save_checkpoint(self.last)
        if decided != _SAVE:
            self._stopping = self._stop(trainer, decided, kept=whole)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the epoch, and stop before the next where its end was in the way."""
        del pl_module
        if getattr(trainer, "fast_dev_run", False):
            return
        trainer.save_checkpoint(self.last)
        decided = _NOTHING if self._agreement is None else self._agreement.latest
        ends = (
            trainer.current_epoch + 1 == trainer.max_epochs
            or trainer.global_step == trainer.max_steps
            or trainer.should_stop
        )
        if decided > _SAVE and not ends:
            self._stopping = self._stop(trainer, decided, kept=True)

    def state_dict(self) -> dict[str, Any]:
        """Where in the epoch the training is."""
        return {} if self._loader is None else self._loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the place of a checkpoint."""
        self._place = state_dict

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: Mapping[str, Any]
    ) -> None:
        """Note when."""
        del trainer, pl_module, checkpoint
        self._saved_at = time.monotonic()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave all that was logged on disk, and the signals as they were."""
        del pl_module
        if isinstance(exception, PreemptedError):
            finish_wandb(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        del trainer, pl_module, stage
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)
        self._before = {}

    def _stop(self, trainer: Trainer, decided: int, *, kept: bool) -> PreemptedError:
        if self._agreement is not None:
            self._agreement.finish()
        where = f"step {trainer.global_step}" if kept else "its beginning (it is fitted in one go)"
        return PreemptedError(
            f"Stopped by {_NAMES[decided]} in epoch {trainer.current_epoch}.",
            where=where,
            folder=self._folder,
            wants_queue=decided == _REQUEUE,
        )

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in self._before:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._asked = max(self._asked, _ASKS[signal.Signals(number)])


def _seed_draws(seed: int, device: torch.device) -> None:
    """Seed what a step draws from; `torch.manual_seed` would look for devices of all kinds each time."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


class _Agreement:
    """Gives all processes the same answer at the same step, without keeping any of them waiting.

    What is asked for at one step is exchanged while the next one is computed, on the CPU.
    """

    def __init__(self, processes: int) -> None:
        self.latest = _NOTHING
        self._group: Any = torch.distributed.new_group(backend="gloo") if processes > 1 else None
        self._value = torch.zeros(1, dtype=torch.int64)
        self._sent: Any = None

    def on(self, asked: int) -> int:
        """The most that any process had asked for by the step before; alone, by this one."""
        if self._group is None:
            self.latest = asked
            return asked
        if self._sent is not None:
            self._sent.wait()
            self.latest = max(int(self._value), self.latest if self.latest > _SAVE else _NOTHING)
        self._value = torch.tensor([asked])
        self._sent = torch.distributed.all_reduce(
            self._value, op=torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        return self.latest

    def finish(self) -> None:
        """Wait for what is still being exchanged."""
        if self._sent is not None:
            self._sent.wait()


def _requeue() -> bool:
    """Ask SLURM to run this job again; whether it agreed."""
    job, array = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_JOB_ID")
    if job is None:
        return False
    if shutil.which("scontrol") is None:
        _log.warning("There is no scontrol here to put the job into SLURM's queue again.")
        return False
    name = job if array is None else f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    try:
        done = subprocess.run(
            ["scontrol", "requeue", name],
            capture_output=True,
            text=True,
            timeout=_WAIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("SLURM was not reached to put the job into its queue again: %s", error)
        return False
    if done.returncode:
        _log.warning("SLURM does not take the job into its queue again: %s", done.stderr.strip())
    return done.returncode == 0
