import importlib.util
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
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
from torch import Tensor, nn

from eoseg.models import MODELS, Dimensions
from eoseg.tasks import ClassificationTask, SegmentationTask
from eoseg.tracking.insight import InsightPanel, first_filters, grad_cam, last_convolution


class Corner(nn.Module):
    """Calls a chip of the second class by how bright its first band is, in the upper left quarter alone."""

    output_stride = 1

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.first = nn.Conv2d(dims.channels, 2, 1)
        self.second = nn.Conv2d(2, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(2)[:, :, None, None])
            self.second.weight.copy_(torch.eye(2)[:, :, None, None])
            self.first.bias.zero_()
            self.second.bias.zero_()

    def features(self, image: Tensor) -> Tensor:
        seen = self.relu(self.second(self.relu(self.first(image))))
        half = seen.shape[-1] // 2
        return seen[..., :half, :half].mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        seen = self.features(image)
        return torch.stack([0.1 + 0 * seen[:, 0], seen[:, 0]], dim=1)


@pytest.fixture(autouse=True)
def corner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS["classification"], "corner", Corner)
    seeded()


def task_of() -> ClassificationTask:
    schema = make_schema(("dark", "bright"))
    task = ClassificationTask(schema, 16, arch="corner")
    task.use_statistics(make_statistics(schema))
    return task


def bright(count: int = 2) -> np.ndarray:
    image = np.ones((count, 2, 16, 16))
    image[:, 0, 2:6, 2:6] = 9.0
    return image


def test_grad_cam_looks_where_the_network_looks() -> None:
    pytest.importorskip("captum")
    task = task_of().train()
    heat, answers = grad_cam(task, batch_of(bright(), label=torch.tensor([1, 1])))
    assert answers == [1, 1]
    assert heat.shape == (2, 16, 16)
    assert heat[0, 3, 3] == heat.max() > 0
    # The gradient is of whole channels: all that is bright counts, the more the brighter.
    assert heat[0, 3, 3] > 5 * heat[0, 12, 12]
    assert task.training
    assert all(parameter.grad is None for parameter in task.parameters())
    assert task.network.body.relu.inplace


def test_filters_and_attention_are_shown_at_the_end(tmp_path: Path) -> None:
    pytest.importorskip("captum")
    data = World(
        make_statistics(task_of().schema),
        [batch_of(bright(), label=torch.tensor([0, 1]))],
        [batch_of(bright(), label=torch.tensor([0, 1]))],
        chip_size=16,
    )
    task = task_of()
    panel = InsightPanel(tmp_path, count=2)
    train(task, data, tmp_path / "fit", callbacks=[panel])
    evaluate(task, data, tmp_path / "test", callbacks=[panel])
    pictures = sorted(path.name for path in (tmp_path / "panels").iterdir())
    assert pictures == ["test_grad_cam.png", "val_filters.png", "val_grad_cam.png"]
    assert np.asarray(Image.open(tmp_path / "panels" / "val_filters.png")).shape == (48, 2 * 48 + 3, 3)


def test_without_captum_a_line_says_so_and_filters_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == "captum" else real(name, package),
    )
    caplog.set_level(logging.INFO)
    batch = batch_of(bright(), label=torch.tensor([0, 1]))
    data = World(make_statistics(task_of().schema), [batch], [batch], chip_size=16)
    train(task_of(), data, tmp_path, callbacks=[InsightPanel(tmp_path)])
    assert 'No Grad-CAM: it needs captum (pip install "eoseg[explain]").' in caplog.messages
    assert [path.name for path in (tmp_path / "panels").iterdir()] == ["val_filters.png"]


def test_other_tasks_have_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    schema = make_schema(("a", "b"))
    task = SegmentationTask(schema, 16, arch="local")
    batch = batch_of(np.ones((2, 2, 16, 16)), mask=torch.zeros(2, 16, 16, dtype=torch.long))
    data = World(make_statistics(schema), [batch], [batch], chip_size=16)
    train(task, data, tmp_path, callbacks=[InsightPanel(tmp_path)])
    assert not (tmp_path / "panels").exists()


def test_a_network_without_convolutions_has_no_filters() -> None:
    assert first_filters(nn.Linear(3, 2), ("a", "b", "c")) is None
    assert last_convolution(nn.Linear(3, 2)) is None
    assert last_convolution(nn.Sequential(nn.Conv2d(3, 4, 4), nn.Flatten())) is None  # patches alone
