from pathlib import Path

import numpy as np
import pytest
import torch
from task_worlds import (
    HEIGHT,
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

from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.models.checkpoint import load_network
from eoseg.recipe import BandStatistics, Schema
from eoseg.tasks import RegressionTask
from eoseg.tasks.optim import OptimizerConfig

TARGET = BandStatistics("height", 1000.0, 50.0, 850.0, 900.0, 1100.0, 1150.0)
STATISTICS = make_statistics(HEIGHT, class_pixels=(100,), target=TARGET)


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


def make_task(**options: object) -> RegressionTask:
    seeded()
    settings = {"arch": "local", "optimizer": OptimizerConfig(lr=0.1)}
    return RegressionTask(HEIGHT, 8, **(settings | options))  # type: ignore[arg-type]


def world(*, outliers: float = 0.0) -> World:
    """Heights of 1000 m + 40 x - 30 y with noise; some pixels have none, some are 2000 m too high."""
    rng = seeded()
    parts = []
    for _ in range(12):
        image = rng.normal(0, 1, (2, 2, 8, 8))
        value = 1000 + 40 * image[:, 0] - 30 * image[:, 1] + rng.normal(0, 5, (2, 8, 8))
        value[rng.random(value.shape) < outliers] += 2000
        value[:, 0] = np.nan
        batch = batch_of(image, value=value.astype(np.float32))
        batch["valid"][:, :, 0] = False
        parts.append(batch)
    return World(STATISTICS, parts[:8], parts[8:])


def test_the_output_is_in_the_unit_of_the_quantity(tmp_path: Path) -> None:
    task, data = make_task(), world()
    trainer = train(task, data, tmp_path, max_epochs=20)
    assert trainer.callback_metrics["val/rmse"] == pytest.approx(5, abs=0.7)
    network, recipe = load_network(tmp_path / "best.ckpt")
    assert recipe.schema.quantity == HEIGHT.quantity
    assert recipe.statistics.target == TARGET
    heights = network(torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool))
    assert heights.mean().item() == pytest.approx(1000, abs=3)
    # The weights are those of standardised values: 40 m and -30 m are 0.8 and -0.6 deviations.
    assert network.body.layer.weight.flatten().tolist() == pytest.approx([0.8, -0.6], abs=0.05)


def test_the_figures_are_those_of_numpy_over_pixels_with_a_value(tmp_path: Path) -> None:
    task, data = make_task(), world()
    train(task, data, tmp_path)
    figures = evaluate(task, data, tmp_path)
    with torch.no_grad():
        found = torch.cat([task(batch["image"], batch["valid"])[:, 0] for batch in data.batches["val"]])
    truth = torch.cat([batch["value"] for batch in data.batches["val"]])[:, 1:, 1:].double().numpy()
    error = found[:, 1:, 1:].double().numpy() - truth
    assert figures["test/rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
    assert figures["test/mae"] == pytest.approx(abs(error).mean(), rel=1e-5)
    assert figures["test/bias"] == pytest.approx(error.mean(), rel=1e-4)
    assert figures["test/r2"] == pytest.approx(1 - (error**2).mean() / truth.var(), rel=1e-4)


def test_the_checkpoint_with_the_smallest_error_is_kept(tmp_path: Path) -> None:
    trainer = train(make_task(), world(), tmp_path, max_epochs=5)
    best = trainer.checkpoint_callback
    assert (best.monitor, best.mode) == ("val/rmse", "min")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"loss": "mse"}, lambda error: error.square().mean()),
        ({"loss": "mae"}, lambda error: error.abs().mean()),
        ({"loss": "huber"}, lambda error: functional.huber_loss(error, torch.zeros_like(error))),
        (
            {"loss": "huber", "huber_delta": 0.2},
            lambda error: functional.huber_loss(error, torch.zeros_like(error), delta=0.2),
        ),
    ],
)
def test_each_loss_is_over_errors_in_standard_deviations(options: dict[str, object], expected) -> None:
    task, batch = make_task(**options), world().batches["val"][0]
    task.use_statistics(STATISTICS)
    output = 1000 + 80 * torch.randn(2, 1, 8, 8)
    error = (output[:, 0] - batch["value"])[:, 1:, 1:] / 50
    torch.testing.assert_close(task.compute_loss(output, batch), expected(error))


def test_losses_without_squares_bear_outliers(tmp_path: Path) -> None:
    found = {}
    for loss in ("mse", "mae", "huber"):
        task = make_task(loss=loss)
        train(task, world(outliers=0.1), tmp_path / loss, max_epochs=10)
        found[loss] = evaluate(task, world(), tmp_path / loss)["test/mae"]
    assert found["mae"] < 10
    assert found["huber"] < 20
    assert found["mse"] > 100


def test_a_batch_without_values_gives_zero_with_zero_gradients() -> None:
    task, batch = make_task(), world().batches["val"][0]
    batch["value"] = torch.full_like(batch["value"], torch.nan)
    output = torch.randn(2, 1, 8, 8, requires_grad=True)
    loss = task.compute_loss(output, batch)
    loss.backward()
    assert loss.item() == 0
    assert (output.grad == 0).all()


def test_pixels_without_an_image_have_no_value() -> None:
    target = make_task().target(world().batches["val"][0])
    assert target[:, :, 0].isnan().all()
    assert target[:, 0].isnan().all()
    assert not target[:, 1:, 1:].isnan().any()


def test_a_split_without_values_is_refused(tmp_path: Path) -> None:
    data = world()
    for batch in data.batches["val"]:
        batch["value"].fill_(torch.nan)
    with pytest.raises(DataError, match="The val split holds no labelled pixel"):
        train(make_task(), data, tmp_path)


def test_classes_are_no_quantity() -> None:
    with pytest.raises(ConfigError, match="estimates a quantity, but the data hold classes. Use Segm"):
        RegressionTask(make_schema(), 8, arch="local")


def test_a_forest_estimates_a_quantity_in_its_unit(tmp_path: Path) -> None:
    args = {"trees": 20, "max_samples": 2000}
    task = RegressionTask(HEIGHT, 8, arch="random_forest_regressor", network_args=args)
    trainer = train(task, world(), tmp_path)
    assert trainer.callback_metrics["val/rmse"] < 12  # 5 of it is noise; the heights deviate by 50
    assert abs(trainer.callback_metrics["val/bias"]) < 2
    network, _ = load_network(tmp_path / "best.ckpt")
    batch = world().batches["val"][0]
    assert torch.equal(network(batch["image"], batch["valid"]), task(batch["image"], batch["valid"]))


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_a_loss_without_effect_on_a_forest_is_refused(loss: str) -> None:
    with pytest.raises(ConfigError, match="is fitted in one go, so loss has no effect"):
        make_task(arch="random_forest_regressor", loss=loss, optimizer=OptimizerConfig())


def test_statistics_without_a_quantity_are_refused() -> None:
    with pytest.raises(CheckpointError, match="hold no values of a quantity"):
        make_task().use_statistics(make_statistics(HEIGHT))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "rmse"}, "loss is one of mse, mae, huber.*found 'rmse'"),
        ({"loss": "mse", "huber_delta": 1.0}, "huber_delta is a positive number, for loss huber"),
        ({"loss": "huber", "huber_delta": 0.0}, "found 0.0 with loss huber"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_task(**options)


def test_scenes_without_labels_are_refused() -> None:
    with pytest.raises(ConfigError, match="RegressionTask learns from labels, but the data have none"):
        RegressionTask(Schema(("x", "y"), ()), 8)
