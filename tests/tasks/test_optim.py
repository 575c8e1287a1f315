import math

import pytest
import torch
from torch import nn

from eoseg.errors import ConfigError
from eoseg.tasks.optim import BatchRule, OptimizerConfig, SchedulerConfig, build_optimizer, build_scheduler


def make(name: str = "SGD", lr: float = 0.1, **args: float) -> torch.optim.Optimizer:
    return build_optimizer(OptimizerConfig(name, lr, args), nn.Linear(2, 1).parameters())


def rates(config: SchedulerConfig, steps: int) -> list[float]:
    optimizer = make()
    schedule = build_scheduler(config, optimizer, total_steps=steps, monitor="val/miou")
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule is not None:
            schedule["scheduler"].step()
    return found


@pytest.mark.parametrize("name", ["SGD", "Adam", "adamw", "Adagrad", "rmsprop"])
def test_any_optimizer_of_torch_is_found_by_name(name: str) -> None:
    assert type(make(name)).__name__.lower() == name.lower()


def test_arguments_reach_the_optimizer() -> None:
    assert make("SGD", momentum=0.9).param_groups[0]["momentum"] == 0.9


def test_a_mistyped_optimizer_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no optimizer 'AdmaW'. Did you mean 'AdamW'"):
        OptimizerConfig("AdmaW")


def test_a_mistyped_optimizer_argument_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'momentum'"):
        OptimizerConfig("SGD", args={"momentun": 0.9})


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be positive, found 0"):
        OptimizerConfig(lr=0)


@pytest.mark.parametrize("average", [0.0, -0.5, 1.5, math.nan])
def test_an_average_over_no_share_of_the_steps_is_refused(average: float) -> None:
    with pytest.raises(ConfigError, match="average is a share of all steps, above 0 to 1, found"):
        OptimizerConfig("SGD", average=average)


@pytest.mark.parametrize("ema", [0.0, 1.0, -0.5, math.nan])
def test_a_moving_average_that_keeps_all_or_nothing_is_refused(ema: float) -> None:
    with pytest.raises(ConfigError, match="ema is a decay between 0 and 1, such as 0.999, found"):
        OptimizerConfig("SGD", ema=ema)


def test_two_averages_of_the_same_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="average and ema are two ways"):
        OptimizerConfig("SGD", ema=0.9, average=0.5)


@pytest.mark.parametrize(("rule", "lr"), [("none", 0.1), ("linear", 0.8), ("sqrt", 0.1 * math.sqrt(8))])
def test_the_learning_rate_follows_the_effective_batch_by_its_rule(rule: str, lr: float) -> None:
    config = OptimizerConfig("SGD", 0.1, scale_lr=rule)  # type: ignore[arg-type]
    batch = BatchRule(config, batch_size=16, processes=4, accumulated=2)
    optimizer = build_optimizer(config, nn.Linear(2, 1).parameters(), batch=batch)
    assert optimizer.param_groups[0]["lr"] == batch.lr == pytest.approx(lr)
    assert "16 chips x 4 processes x 2 accumulated = 128; learning rate" in str(batch)
    assert f"scale_lr: {rule}" in str(batch)
    assert ("0.1 scaled for more chips" in str(batch)) == (rule != "none")


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="scale_lr is none, linear or sqrt, found 'cubic'"):
        OptimizerConfig("SGD", scale_lr="cubic")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ASGD", "asgd"])
def test_the_optimizer_that_forgets_its_average_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="never uses the average. Use name SGD with average 0.5"):
        OptimizerConfig(name)


def test_a_value_that_torch_refuses_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"torch refuses.*momentum"):
        make("SGD", momentum=-1)


def test_cosine_rises_then_falls_to_zero() -> None:
    found = rates(SchedulerConfig("cosine", warmup=0.1), 100)
    assert found.index(max(found)) == 10
    assert max(found) == pytest.approx(0.1)
    assert found[:11] == sorted(found[:11])
    middle = 0.1 * 0.5 * (1 + math.cos(math.pi * 45 / 90))
    assert found[55] == pytest.approx(middle)
    assert found[-1] < 0.001


def test_constant_stays_and_may_warm_up() -> None:
    assert set(rates(SchedulerConfig("constant"), 10)) == {0.1}
    assert rates(SchedulerConfig("constant", warmup=0.5), 10)[:2] == pytest.approx([0.1 / 6, 0.2 / 6])


def test_onecycle_takes_the_rate_as_its_peak() -> None:
    assert max(rates(SchedulerConfig("onecycle"), 50)) == pytest.approx(0.1, rel=0.01)


def test_onecycle_takes_its_own_arguments() -> None:
    found = rates(SchedulerConfig("onecycle", args={"pct_start": 0.8}), 50)
    assert found.index(max(found)) > 35


def test_plateau_watches_the_validation_score() -> None:
    schedule = build_scheduler(SchedulerConfig("plateau"), make(), total_steps=9, monitor="val/miou")
    assert schedule is not None
    assert schedule["monitor"] == "val/miou"
    assert schedule["scheduler"].mode == "max"


def test_any_schedule_of_torch_steps_once_an_epoch() -> None:
    schedule = build_scheduler(
        SchedulerConfig("StepLR", args={"step_size": 2}), make(), total_steps=9, monitor="val/miou"
    )
    assert schedule is not None
    assert schedule["interval"] == "epoch"


def test_a_mistyped_schedule_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'cosine'"):
        SchedulerConfig("cosin")


def test_a_schedule_without_its_needed_argument_says_so() -> None:
    with pytest.raises(ConfigError, match="StepLR needs step_size"):
        SchedulerConfig("StepLR")


def test_warmup_is_refused_where_it_would_be_ignored() -> None:
    with pytest.raises(ConfigError, match="'onecycle' has no warmup"):
        SchedulerConfig("onecycle", warmup=0.1)


def test_args_are_refused_where_they_would_be_ignored() -> None:
    with pytest.raises(ConfigError, match="'cosine' takes no args"):
        SchedulerConfig("cosine", args={"eta_min": 0.1})


def test_a_warmup_beyond_the_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="from 0 to below 1, found 1"):
        SchedulerConfig("cosine", warmup=1.0)
