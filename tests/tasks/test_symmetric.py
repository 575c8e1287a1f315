"""The mean over turned and mirrored chips: by hand, and for each task that `eoseg predict --tta` maps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from task_worlds import HEIGHT, World, batch_of, evaluate, make_schema, make_statistics, seeded, train
from torch import Tensor, nn

from eoseg.batch import Batch
from eoseg.metrics import confusion_matrix
from eoseg.models import MODELS, Dimensions
from eoseg.recipe import BandStatistics, Schema
from eoseg.tasks import ChangeTask, ClassificationTask, RegressionTask, SegmentationTask, SeriesTask, Task
from eoseg.tasks.symmetric import symmetric_logits

SIZE = 8


class Leaning(nn.Module):
    """What it gives rises to the right and, half as steeply, downwards: no symmetry leaves it as it is."""

    output_stride = 1

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(1, 2, dims.classes))
        self.dates = dims.classes  # only so that the body has something of its own

    def forward(self, image: Tensor, valid: Tensor | None = None, days: Tensor | None = None) -> Tensor:
        flat = image if image.ndim == 4 else image[:, -1]
        down, right = (torch.linspace(-1, 1, side) for side in flat.shape[-2:])
        slope = right[None, :] + down[:, None] / 2
        return 3 * self.weight[:, None, None] * (flat[:, :1] + slope)  # (B, K, H, W)


class LeaningChip(Leaning):
    """The same for a chip, by its upper left quarter."""

    def features(self, image: Tensor) -> Tensor:
        height, width = (side // 2 for side in image.shape[-2:])
        return super().forward(image)[..., :height, :width].mean(dim=(2, 3))

    def forward(self, image: Tensor, valid: Tensor | None = None, days: Tensor | None = None) -> Tensor:
        return self.features(image)


@pytest.fixture(autouse=True)
def leaning(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("segmentation", "change", "series"):
        monkeypatch.setitem(MODELS[kind], "leaning", Leaning)
    monkeypatch.setitem(MODELS["classification"], "leaning", LeaningChip)


def turned(image: Tensor) -> list[Tensor]:
    """The eight by numpy's own functions."""
    return [
        torch.from_numpy(np.rot90(part.numpy(), turns, axes=(-2, -1)).copy())
        for part in (image, image.transpose(-2, -1))
        for turns in range(4)
    ]


def turned_back(results: list[Tensor]) -> list[Tensor]:
    back = [
        torch.from_numpy(np.rot90(part.numpy(), -(place % 4), axes=(-2, -1)).copy())
        for place, part in enumerate(results)
    ]
    return [part if place < 4 else part.transpose(-2, -1) for place, part in enumerate(back)]


def mean_of(task: Task, batch: Batch, scores: Callable[[Tensor], Tensor]) -> Tensor:
    """Scores of the mean, one image after the other and with nothing of what is tested."""
    with torch.no_grad():
        found = [
            scores(task(image, valid, batch.get("days")))
            for image, valid in zip(turned(batch["image"]), turned(batch["valid"]), strict=True)
        ]
    return torch.stack(found if task.kind == "classification" else turned_back(found)).mean(dim=0)


def make(kind: type[Task], schema: Schema, **options: object) -> Task:
    seeded()
    task = kind(schema, SIZE, arch="leaning", **options)  # type: ignore[arg-type]
    target = BandStatistics("height", 0, 1, -3, -2, 2, 3) if schema.quantity else None
    task.use_statistics(
        make_statistics(schema, class_pixels=(100,) * max(1, len(schema.classes)), target=target)
    )
    return task.eval()


CASES: dict[str, tuple[type[Task], Schema, dict[str, object]]] = {
    "segmentation": (SegmentationTask, make_schema(("a", "b", "c")), {}),
    "change": (ChangeTask, make_schema(time="pair", steps=2), {"threshold": 0.6}),
    "series": (SeriesTask, make_schema(("a", "b", "c"), time="series", steps=3), {}),
    "classification": (ClassificationTask, make_schema(), {}),
    "several labels": (ClassificationTask, make_schema(multilabel=True), {}),
    "regression": (RegressionTask, HEIGHT, {}),
}


def world(case: str) -> tuple[Task, Batch]:
    kind, schema, options = CASES[case]
    task, rng = make(kind, schema, **options), np.random.default_rng(1)
    dates = () if schema.time == "single" else (schema.steps,)
    values: dict[str, object] = {"mask": rng.integers(0, max(2, len(schema.classes)), (4, SIZE, SIZE))}
    if case == "classification":
        values = {"label": rng.integers(0, 2, 4)}
    elif case == "several labels":
        values = {"label": rng.integers(0, 2, (4, 2))}
    elif case == "regression":
        values = {"value": rng.normal(0, 1, (4, SIZE, SIZE)).astype(np.float32)}
    if schema.time == "series":
        values["days"] = np.tile(np.float32([10, 100, 200]), (4, 1))
    return task, batch_of(rng.normal(0, 1, (4, *dates, 2, SIZE, SIZE)), **values)


@pytest.mark.parametrize("case", CASES)
def test_the_logits_are_those_of_the_mean(case: str) -> None:
    task, batch = world(case)
    scores = {
        "regression": lambda found: found,
        "several labels": torch.sigmoid,
    }.get(case, lambda found: found.softmax(dim=1))
    with torch.no_grad():
        found = scores(
            symmetric_logits(
                task, batch["image"], batch["valid"], batch.get("days"), kind=task.kind, schema=task.schema
            )
        )
        alone = scores(task(batch["image"], batch["valid"], batch.get("days")))
    torch.testing.assert_close(found, mean_of(task, batch, scores), atol=1e-5, rtol=1e-5)
    assert (found - alone).abs().max() > 0.05  # the network leans


@pytest.mark.parametrize("case", CASES)
def test_a_test_has_the_figures_of_the_mean_and_a_validation_those_of_the_chip(
    case: str, tmp_path: Path
) -> None:
    task, batch = world(case)
    assert task.statistics is not None
    data = World(task.statistics, [batch], [batch])
    alone = evaluate(task, data, tmp_path)
    validated = evaluate(task, data, tmp_path, "validate")
    task.tta = True
    augmented = evaluate(task, data, tmp_path)
    assert evaluate(task, data, tmp_path, "validate") == validated
    name = {"regression": "test/rmse", "several labels": "test/loss"}.get(case, "test/nll")
    assert augmented[name] != pytest.approx(alone[name], abs=1e-4)
    if case in ("segmentation", "series"):
        mapped = mean_of(task, batch, lambda found: found.softmax(dim=1)).argmax(dim=1)
        expected = confusion_matrix(batch["mask"].numpy(), mapped.numpy(), 3)
        assert (task.matrix("test") == expected).all()  # type: ignore[attr-defined]
    if case == "regression":
        error = mean_of(task, batch, lambda found: found)[:, 0] - batch["value"]
        assert augmented[name] == pytest.approx(float(error.square().mean().sqrt()), rel=1e-5)


def test_a_training_looks_at_each_chip_once(tmp_path: Path) -> None:
    weights = []
    for tta in (False, True):
        task, batch = world("segmentation")
        task.tta = tta
        assert task.statistics is not None
        train(task, World(task.statistics, [batch], [batch]), tmp_path / str(tta))
        weights.append(task.network.body.weight.detach())  # type: ignore[union-attr, operator]
    assert torch.equal(*weights)


def test_a_network_without_a_preference_gives_what_it_gives_alone() -> None:
    image = torch.randn(2, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, SIZE, SIZE, dtype=torch.bool)

    def run(image: Tensor, valid: Tensor, days: Tensor | None) -> Tensor:
        return 4 * image

    found = symmetric_logits(run, image, valid, None, kind="segmentation", schema=make_schema())
    torch.testing.assert_close(found.softmax(dim=1), run(image, valid, None).softmax(dim=1))
