"""The trainings that a ladder is made of, one after the other or several at a time."""

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from eoseg.cli.arguments import cores_of_each
from eoseg.cli.configuration import fit_and_test
from eoseg.cli.folds import fold_split
from eoseg.cli.ladder import Measured, read_measured
from eoseg.errors import ConfigError

_REFERENCE = re.compile(r"\{([^{}/]+)/([^{}]+)\}")
"""A value of this form, such as "{segmentation/U-Net}", is the checkpoint of another ladder's method."""


@dataclass(frozen=True, slots=True)
class Training:
    """One method with one seed, or on one fold."""

    config: Mapping[str, Any]
    """As for `eoseg fit`; a value may refer to a method of another ladder."""
    ladder: str
    method: str
    repeat: int
    """Number of the seed or fold, from 0."""
    folds: int | None
    """How many folds there are; None where `repeat` is a seed."""
    out: Path
    """Folder of the ladder; the runs are in `out / "runs"`."""
    fit_options: tuple[str, ...]
    """Further options of `eoseg fit`."""

    @property
    def title(self) -> str:
        """What is trained, for people."""
        return f"{self.ladder}: {self.method}, {'seed' if self.folds is None else 'fold'} {self.repeat}"

    @property
    def name(self) -> str:
        """The name of its run."""
        return _run_name(self.ladder, self.method, self.repeat)


@contextlib.contextmanager
def open_pool(jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes that train, each with its share of the cores; None where there is one job at a time."""
    if jobs == 1:
        yield None
        return
    # Not forked: the threads of torch do not survive that.
    with ProcessPoolExecutor(jobs, get_context("spawn"), _share_cores, (jobs,)) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def run_all(trainings: Sequence[Training], pool: ProcessPoolExecutor | None = None) -> Iterator[Measured]:
    """Train and test; gives the figures in the order of the trainings.

    Args:
        trainings: Which ones.
        pool: Trains several at a time, each of which prints to `out/logs/NAME.log`; None for one after the
            other, here.
    """
    started = time.perf_counter()
    if pool is None:
        for number, training in enumerate(trainings, 1):
            print(f"\n{training.title} ({number} of {len(trainings)})", flush=True)
            yield _run(training)
        return
    futures = [pool.submit(_run_with_log, training) for training in trainings]
    for number, (training, future) in enumerate(zip(trainings, futures, strict=True), 1):
        try:
            measured = future.result()
        except BrokenProcessPool as error:
            raise ConfigError(
                f"'{training.title}' or one beside it ended without a word, perhaps for lack of memory. Take "
                f"fewer --jobs; see {training.out / 'logs'}."
            ) from error
        gone = time.perf_counter() - started
        left = gone / number * (len(trainings) - number)
        print(
            f"{training.title}: {measured.seconds:.0f} s of training. {number} of {len(trainings)} done, "
            f"about {left / 60:.0f} min left.",
            flush=True,
        )
        yield measured


def _run(training: Training) -> Measured:
    changed = _with_checkpoints(training.config, training)
    if training.folds is not None:
        changed = fold_split(changed, folds=training.folds, fold=training.repeat)
    own = [
        f"--run.folder={training.out / 'runs'}",
        f"--run.name={training.name}",
        f"--run.group=course-{training.ladder}",
        *(option for option in training.fit_options if option.startswith(("--run.", "--no-wandb"))),
    ]
    seed = [] if training.folds is not None else [f"--seed_everything={training.repeat}"]
    return read_measured(*fit_and_test(changed, [*seed, *training.fit_options], own))


def _run_with_log(training: Training) -> Measured:
    log = training.out / "logs" / f"{training.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=file, force=True)
        return _run(training)


def _share_cores(jobs: int) -> None:
    """Give a process its share of the cores, before it imports what computes."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        os.environ[name] = str(cores_of_each(jobs))


def _run_name(ladder: str, method: str, repeat: int) -> str:
    plain = "".join(letter if letter.isalnum() else "_" for letter in method.lower()).strip("_")
    return f"{ladder}-{plain}-{repeat}"


def _with_checkpoints(value: Any, training: Training) -> Any:
    """A configuration in which references to methods of other ladders are paths of their checkpoints."""
    if isinstance(value, Mapping):
        return {key: _with_checkpoints(held, training) for key, held in value.items()}
    if not isinstance(value, str) or (found := _REFERENCE.fullmatch(value)) is None:
        return value
    ladder, method = found.groups()
    checkpoint = training.out / "runs" / _run_name(ladder, method, training.repeat) / "latest" / "model.ckpt"
    if not checkpoint.is_file():
        raise ConfigError(
            f"'{value}' stands for the checkpoint '{checkpoint}', which is not there. First train '{method}' "
            f"of the ladder '{ladder}' with the same --out and as many seeds or folds."
        )
    return str(checkpoint)
