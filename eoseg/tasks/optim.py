"""Any optimiser and learning-rate schedule of torch, by name."""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn, optim
from torch.optim import lr_scheduler

from eoseg.errors import ConfigError, unknown_name

DEFAULT_WARMUP = 0.05

_SCALES: dict[str, Callable[[int], float]] = {"none": lambda _: 1.0, "linear": float, "sqrt": math.sqrt}


@dataclass(frozen=True)  # no slots: jsonargparse reads defaults from __dict__
class OptimizerConfig:
    """An optimiser of `torch.optim`.

    Args:
        name: Class name in `torch.optim`, such as SGD, Adam, AdamW, Adagrad or RMSprop; case does not
            matter.
        lr: Learning rate; the peak of schedules that rise and fall.
        args: Further arguments of that class, such as `momentum` or `weight_decay`.
        average: Share of all steps, at the end of the run, over which the weights are averaged, above 0 to
            1 (Polyak and Juditsky 1992); see `eoseg.tasks.averaging`. By default they are not.
        ema: Decay of an exponential moving average of the weights over all steps, such as 0.999, which is
            validated, kept and mapped with in place of the weights of the last step. By default none.
        scale_lr: What a larger effective batch (processes times accumulate_grad_batches) does to the learning
            rate: "none"; "linear", times as many (Goyal et al. 2017); "sqrt", times the root of it.
    """

    name: str = "AdamW"
    lr: float = 1e-3
    args: dict[str, Any] = field(default_factory=dict)
    average: float | None = None
    ema: float | None = None
    scale_lr: Literal["none", "linear", "sqrt"] = "none"

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ConfigError(f"The learning rate must be positive, found {self.lr}.")
        if self.average is not None and not 0 < self.average <= 1:
            raise ConfigError(f"average is a share of all steps, above 0 to 1, found {self.average}.")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(f"ema is a decay between 0 and 1, such as 0.999, found {self.ema}.")
        if self.ema is not None and self.average is not None:
            raise ConfigError(
                "average and ema are two ways to average the same weights. Leave one of them out."
            )
        if self.scale_lr not in _SCALES:
            raise ConfigError(f"scale_lr is none, linear or sqrt, found '{self.scale_lr}'.")
        if self.name.lower() == "asgd":
            raise ConfigError(
                "torch's ASGD averages weights and never uses the average. Use name SGD with average 0.5, "
                "the mean over the last half of all steps."
            )
        _check_args(_optimizer_class(self.name), self.args, given={"params", "lr"})


@dataclass(frozen=True)  # no slots: jsonargparse reads defaults from __dict__
class SchedulerConfig:
    """How the learning rate changes while training.

    Args:
        name: "constant", "cosine" (falls to 0 over the whole run, after a linear warm-up), "onecycle"
            (Smith and Topin 2018), "plateau" (falls when the validation score stops rising), or any class
            of `torch.optim.lr_scheduler`, stepped once an epoch.
        warmup: Share of all steps over which the rate rises from 0, 0 to 1; 0.05 by default. Only
            "constant" and "cosine" have one.
        args: Arguments of the schedule's class, such as `pct_start`, `factor` or `step_size`.
    """

    name: str = "cosine"
    warmup: float | None = None
    args: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = self.name.lower() in ("constant", "cosine")
        if self.warmup is not None:
            if not own:
                raise ConfigError(
                    f"The schedule '{self.name}' has no warmup option, found warmup {self.warmup}. Use "
                    "'constant' or 'cosine', or leave it out (onecycle: set pct_start in args)."
                )
            if not 0 <= self.warmup < 1:
                raise ConfigError(f"warmup is a share of all steps from 0 to below 1, found {self.warmup}.")
        if own and self.args:
            raise ConfigError(
                f"The schedule '{self.name}' takes no args, found {', '.join(self.args)}. Set warmup, or "
                "name a class of torch.optim.lr_scheduler."
            )
        if not own:
            _check_args(_scheduler_class(self.name), self.args, given=_filled_in(self.name))


@dataclass(frozen=True, slots=True)
class BatchRule:
    """How many chips one step of the optimiser learns from, and with which learning rate.

    The rate of the configuration is for the batch of one process; `OptimizerConfig.scale_lr` says what more
    chips do to it. Linear: Goyal et al. 2017, https://arxiv.org/abs/1706.02677; root: Krizhevsky 2014,
    https://arxiv.org/abs/1404.5997.
    """

    config: OptimizerConfig
    batch_size: int
    """Chips in a batch, on each process."""
    processes: int
    accumulated: int
    """Batches of each process whose gradients make one step."""

    @property
    def effective(self) -> int:
        """Chips of one step."""
        return self.batch_size * self.processes * self.accumulated

    @property
    def lr(self) -> float:
        """Learning rate in force."""
        return self.config.lr * _SCALES[self.config.scale_lr](self.processes * self.accumulated)

    def __str__(self) -> str:
        """What is said at the beginning of a training."""
        scaled = "" if self.lr == self.config.lr else f", that is {self.config.lr:g} scaled for more chips"
        return (
            f"Effective batch: {self.batch_size} chips x {self.processes} processes x {self.accumulated} "
            f"accumulated = {self.effective}; learning rate {self.lr:g} (scale_lr: {self.config.scale_lr}"
            f"{scaled})."
        )


def build_optimizer(
    config: OptimizerConfig,
    parameters: Iterable[nn.Parameter] | list[dict[str, Any]],
    *,
    batch: BatchRule | None = None,
) -> optim.Optimizer:
    """Make the optimiser.

    Args:
        config: Which one.
        parameters: What it trains, or groups of it with rates of their own.
        batch: Chips of one step, which the learning rate may be scaled for.

    Raises:
        ConfigError: torch refuses a value.
    """
    lr = config.lr if batch is None else batch.lr
    try:
        return _optimizer_class(config.name)(parameters, **{"lr": lr, **config.args})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"torch refuses the arguments of optimizer '{config.name}': {error}.") from error


def build_scheduler(
    config: SchedulerConfig, optimizer: optim.Optimizer, *, total_steps: int, monitor: str, mode: str = "max"
) -> dict[str, Any] | None:
    """Make the schedule as Lightning takes it, or None for a constant rate.

    Args:
        total_steps: Optimiser steps of the whole run.
        monitor: Name of the validation figure that "plateau" watches.
        mode: "max" where more of it is better, "min" where less is.
    """
    name = config.name.lower()
    warmup = round((DEFAULT_WARMUP if config.warmup is None else config.warmup) * total_steps)
    if name == "constant":
        if not config.warmup:
            return None
        return {"scheduler": _ramp(optimizer, warmup, None), "interval": "step"}
    if name == "cosine":
        return {"scheduler": _ramp(optimizer, warmup, total_steps), "interval": "step"}
    args = dict(config.args)
    if name == "onecycle":
        args.setdefault("max_lr", [group["lr"] for group in optimizer.param_groups])
        args.setdefault("total_steps", total_steps)
    if name == "plateau":
        args.setdefault("mode", mode)
    try:
        scheduler = _scheduler_class(config.name)(optimizer, **args)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"torch refuses the arguments of schedule '{config.name}': {error}.") from error
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        return {"scheduler": scheduler, "interval": "epoch", "monitor": monitor}
    per_step = isinstance(scheduler, (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR))
    return {"scheduler": scheduler, "interval": "step" if per_step else "epoch"}


def _ramp(optimizer: optim.Optimizer, warmup: int, total: int | None) -> lr_scheduler.LambdaLR:
    """Rise linearly over `warmup` steps, then stay, or fall as a half cosine until `total`.

    The cosine is that of Loshchilov and Hutter 2017 without restarts.
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if total is None:
            return 1.0
        done = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return lr_scheduler.LambdaLR(optimizer, factor)


def _optimizer_class(name: str) -> type[optim.Optimizer]:
    known = {
        key: value
        for key, value in vars(optim).items()
        if inspect.isclass(value) and issubclass(value, optim.Optimizer) and value is not optim.Optimizer
    }
    return _look_up("optimizer", name, known)


def _scheduler_class(name: str) -> type[Any]:
    aliases = {"onecycle": "OneCycleLR", "plateau": "ReduceLROnPlateau"}
    known = {
        key: value
        for key, value in vars(lr_scheduler).items()
        if inspect.isclass(value)
        and (issubclass(value, lr_scheduler.LRScheduler) or value is lr_scheduler.ReduceLROnPlateau)
        and value is not lr_scheduler.LRScheduler
    }
    shown = {**known, **{alias: known[full] for alias, full in aliases.items()}}
    return _look_up("schedule", name, shown, also=("constant", "cosine"))


def _look_up[T](kind: str, name: str, known: dict[str, type[T]], also: Iterable[str] = ()) -> type[T]:
    folded = {key.lower(): value for key, value in known.items() if not key.startswith("_")}
    if name.lower() not in folded:
        names = [key for key in known if not key.startswith("_")]
        raise ConfigError(unknown_name(kind, name, [*names, *also]))
    return folded[name.lower()]


def _filled_in(name: str) -> set[str]:
    """Arguments that eoseg gives to a schedule when the configuration does not."""
    return {"optimizer"} | ({"max_lr"} if name.lower() in ("onecycle", "onecyclelr") else set())


def _check_args(target: type[Any], args: dict[str, Any], *, given: set[str]) -> None:
    """Refuse arguments that a class does not take, and missing ones that it needs."""
    parameters = inspect.signature(target).parameters
    for key in args:
        if key not in parameters or key in given - {"max_lr"}:
            known = [name for name in parameters if name not in given]
            raise ConfigError(unknown_name(f"argument of {target.__name__}", key, known))
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name not in given | set(args)
    ]
    if needed:
        raise ConfigError(f"{target.__name__} needs {', '.join(needed)}: set it under args.")
