from pathlib import Path

import numpy as np
import pytest
import torch
from task_worlds import (
    World,
    batch_of,
    evaluate,
    make_schema,
    make_statistics,
    seeded,
    train,
    use_local_models,
)

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError
from eoseg.models.checkpoint import load_network
from eoseg.tasks import SeriesTask
from eoseg.tasks.optim import OptimizerConfig

DATES = 6
SCHEMA = make_schema(("summer crop", "winter crop"), time="series", steps=DATES)


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


def make_task(schema=SCHEMA, **options: object) -> SeriesTask:
    seeded()
    settings = {"arch": "local", "optimizer": OptimizerConfig(lr=0.1)}
    return SeriesTask(schema, 8, **(settings | options))  # type: ignore[arg-type]


def world(size: int = 8) -> World:
    """Both classes have the same mean over the year; one is green in summer. A third of it is cloud."""
    rng = seeded()
    days = np.linspace(1, 336, DATES)
    parts = []
    for _ in range(12):
        mask = rng.integers(0, 2, (2, size, size))
        wave = np.cos(2 * np.pi * days / 365)[None, :, None, None] * (2 * mask - 1)[:, None]  # (2, T, H, W)
        image = np.stack([wave, 0 * wave], axis=2) + rng.normal(0, 0.3, (2, DATES, 2, size, size))
        batch = batch_of(image, mask=mask, days=np.tile(days, (2, 1)).astype(np.float32))
        cloud = torch.tensor(rng.random((2, DATES, size, size)) < 0.3)
        batch["image"][cloud.unsqueeze(2).expand_as(batch["image"])] = 1e6
        batch["valid"] = ~cloud
        parts.append(batch)
    return World(make_statistics(SCHEMA), parts[:8], parts[8:], chip_size=size)


@pytest.mark.parametrize("size", [8, 1])
def test_seasons_are_told_apart_under_clouds_in_fields_and_single_pixels(tmp_path: Path, size: int) -> None:
    task, data = make_task(), world(size)
    train(task, data, tmp_path, max_epochs=6 if size == 8 else 15)
    figures = evaluate(task, data, tmp_path)
    assert figures["test/oa"] > (0.95 if size == 8 else 0.7)
    network, recipe = load_network(tmp_path / "best.ckpt")
    assert (recipe.schema.time, recipe.schema.steps, network.kind) == ("series", DATES, "series")


def test_the_days_reach_the_network(tmp_path: Path) -> None:
    task, data = make_task(), world()
    train(task, data, tmp_path, max_epochs=4)
    right = evaluate(task, data, tmp_path)["test/oa"]
    for batch in data.batches["val"]:
        batch["days"] = (batch["days"] + 182) % 365  # the other half of the year
    assert evaluate(task, data, tmp_path)["test/oa"] < 0.2 < 0.9 < right


def test_a_pixel_counts_where_any_date_is_valid() -> None:
    batch = world().batches["val"][0]
    batch["valid"][:, :, 0, 0] = False
    batch["valid"][:, 1:, 1, 1] = False
    batch["valid"][:, 0, 1, 1] = True
    target = make_task().target(batch)
    assert (target[:, 0, 0] == IGNORE).all()
    assert torch.equal(target[:, 1, 1], batch["mask"][:, 1, 1])


def test_a_series_without_days_is_refused(tmp_path: Path) -> None:
    data = world()
    for batch in data.batches["train"]:
        del batch["days"]
    with pytest.raises(ConfigError, match="needs the day of the year of each date; found none"):
        train(make_task(), data, tmp_path, num_sanity_val_steps=0)


def test_data_of_one_date_are_refused() -> None:
    with pytest.raises(ConfigError, match="learns from series of dates.*found scenes of one date. Use Segm"):
        make_task(make_schema())
