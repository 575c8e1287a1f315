import numpy as np
import pytest
import torch
from task_worlds import HEIGHT, World, batch_of, make_schema, make_statistics, seeded, use_local_models
from tracking_fakes import FakeData, FakeTask, chips

from eoseg.batch import IGNORE, Batch
from eoseg.errors import ConfigError
from eoseg.figures import DETECTIONS, ERRORS, NO_LABEL, difference_image, value_image
from eoseg.recipe import BandStatistics, Schema, Statistics
from eoseg.tasks import ChangeTask, ClassificationTask, RegressionTask, SeriesTask
from eoseg.tracking.panels import error_classes, make_panels, value_scales

TARGET = BandStatistics("height", 20.0, 5.0, 0.0, 10.0, 30.0, 40.0)


@pytest.fixture
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    seeded()


def source_of(batch: Batch, schema: Schema, **statistics: object) -> World:
    return World(make_statistics(schema, **statistics), [], [batch])


def set_layer(task, weight: list[list[float]], bias: list[float]) -> None:
    """Give a network the weights of a known answer."""
    layer = task.network.body.layer
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight).view_as(layer.weight))
        layer.bias.copy_(torch.tensor(bias))


def test_panels_hold_image_truth_prediction_and_errors() -> None:
    panels = make_panels(FakeTask(), FakeData(), "val", 3)
    assert [panel.id for panel in panels] == chips("val", 3)["id"]
    panel = panels[1]
    assert list(panel.images) == ["image"]
    assert list(panel.results) == ["truth", "prediction", "errors"]
    assert panel.images["image"][4, 4].tolist() == [0, 0, 0]
    assert panel.images["image"][4, 12].tolist() == [255, 255, 255]
    assert panel.masks["truth"][4, [0, 12, 15]].tolist() == [0, 1, IGNORE]
    assert panel.masks["prediction"][[4, 12], 3].tolist() == [0, 1]
    assert (panel.masks["prediction"][:, 15] == IGNORE).all()
    assert panel.masks["error"][12, [3, 12]].tolist() == [1, 0]
    assert (panel.masks["error"][0] == IGNORE).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_network_runs_in_evaluation_mode_and_gets_its_mode_back(training: bool) -> None:
    task = FakeTask()
    task.train(training)
    make_panels(task, FakeData(), "val", 3)
    assert task.training is training
    assert task.modes == [False, False]  # three chips in batches of two


def test_the_chips_of_the_asked_split_are_shown() -> None:
    data = FakeData()
    make_panels(FakeTask(), data, "test", 5)
    assert data.asked == [("test", 5)]


def test_chips_without_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = FakeData()
    batch = chips("val", 1)
    del batch["mask"]
    monkeypatch.setattr(data, "panel_chips", lambda *_: batch)
    with pytest.raises(ConfigError, match="these chips have no labels. Set run.panels_every to 0"):
        make_panels(FakeTask(), data, "val", 1)


@pytest.mark.usefixtures("local_models")
def test_a_change_shows_both_dates_and_what_was_found_missed_and_imagined() -> None:
    schema = make_schema(("unchanged", "changed"), time="pair", steps=2)
    image = np.full((2, 2, 2, 8, 8), -9.0)
    image[:, 1, :, :, 2:4] = 9.0  # what looks changed
    mask = torch.zeros(2, 8, 8, dtype=torch.int64)
    mask[:, :, 3:5] = 1  # what is
    batch = batch_of(image, mask=mask)
    batch["valid"][:, 0, :, 7] = False
    task = ChangeTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    set_layer(task, [[0.0, 0.0], [1.0, 1.0]], [0.0, -5.0])
    panel = make_panels(task, source_of(batch, schema), "val", 2)[1]
    assert list(panel.images) == ["before", "after"]
    assert panel.images["before"][0, 2].tolist() == [0, 0, 0]
    assert panel.images["after"][0, 2].tolist() == [255, 255, 255]
    assert panel.images["before"][0, 7].tolist() == [255, 255, 255]  # no value
    names = [DETECTIONS[place].name for place in panel.masks["error"][0, :5]]
    assert names == ["unchanged, right"] * 2 + ["false alarm", "change found", "change missed"]
    assert panel.masks["error"][0, 7] == IGNORE
    assert tuple(panel.results["errors"][0, 4].tolist()) == DETECTIONS[3].color


def test_kinds_of_change_are_right_or_wrong() -> None:
    assert error_classes(make_schema("abc", time="pair", steps=2), "change") is ERRORS
    assert error_classes(make_schema("ab", time="pair", steps=2), "change") is DETECTIONS
    assert error_classes(make_schema("ab"), "segmentation") is ERRORS


@pytest.mark.usefixtures("local_models")
def test_a_series_shows_some_dates_that_have_a_value() -> None:
    schema = make_schema(time="series", steps=10)
    image = np.zeros((1, 10, 2, 8, 8)) + np.linspace(-2, 2, 10)[None, :, None, None, None]
    days = np.linspace(1, 361, 10)[None].astype(np.float32)
    batch = batch_of(image, mask=torch.zeros(1, 8, 8).long(), days=days)
    batch["valid"][:, :3] = False  # clouds over all of the first dates
    task = SeriesTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    (panel,) = make_panels(task, source_of(batch, schema), "val", 1)
    assert list(panel.images) == ["date 4, day 121", "date 6, day 201", "date 8, day 281", "date 10, day 361"]
    greys = [int(picture[0, 0, 0]) for picture in panel.images.values()]
    assert greys == sorted(greys)
    assert panel.masks["truth"].shape == (8, 8)


@pytest.mark.usefixtures("local_models")
def test_a_series_under_clouds_alone_is_shown_white() -> None:
    schema = make_schema(time="series", steps=2)
    batch = batch_of(np.zeros((1, 2, 2, 8, 8)), mask=torch.zeros(1, 8, 8).long(), days=np.float32([[1, 9]]))
    batch["valid"][:] = False
    task = SeriesTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    (panel,) = make_panels(task, source_of(batch, schema), "val", 1)
    assert len(panel.images) == 2
    assert (panel.images["date 1, day 1"] == 255).all()
    assert (panel.masks["prediction"] == IGNORE).all()


@pytest.mark.usefixtures("local_models")
def test_a_quantity_is_shown_on_scales_of_the_training_labels() -> None:
    value = torch.full((1, 8, 8), 25.0)
    value[:, 0] = torch.nan
    batch = batch_of(np.zeros((1, 2, 8, 8)), value=value)
    batch["valid"][:, :, 0] = False
    task = RegressionTask(HEIGHT, 8, arch="local")
    statistics: Statistics = make_statistics(HEIGHT, class_pixels=(1,), target=TARGET)
    task.use_statistics(statistics)
    set_layer(task, [[0.0, 0.0]], [-0.2])  # 20 m - 0.2 * 5 m
    assert value_scales(statistics) == (10.0, 30.0, 10.0)
    (panel,) = make_panels(task, World(statistics, [], [batch]), "val", 1)
    assert list(panel.results) == ["truth", "estimate", "error"]
    assert panel.results["truth"][4, 4].tolist() == value_image(np.array([[25.0]]), 10, 30)[0, 0].tolist()
    assert panel.results["estimate"][0, 4].tolist() == value_image(np.array([[19.0]]), 10, 30)[0, 0].tolist()
    assert panel.results["error"][4, 4].tolist() == difference_image(np.array([[-6.0]]), 10)[0, 0].tolist()
    for name, place in (("truth", (0, 4)), ("estimate", (4, 0)), ("error", (0, 4)), ("error", (4, 0))):
        assert tuple(panel.results[name][place].tolist()) == NO_LABEL
    assert not panel.masks


@pytest.mark.usefixtures("local_models")
def test_a_chip_has_the_names_of_its_class_and_of_the_answer() -> None:
    schema = make_schema(("low", "high"))
    image = np.array([-1.0, 1.0, 1.0, -1.0])[:, None, None, None] * np.ones((4, 2, 8, 8))
    batch = batch_of(image, label=torch.tensor([0, 1, 0, IGNORE]))
    task = ClassificationTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    set_layer(task, [[-1.0, 0.0], [1.0, 0.0]], [0.0, 0.0])
    panels = make_panels(task, source_of(batch, schema), "val", 4)
    assert [panel.answer for panel in panels] == [
        ("low", "low"),
        ("high", "high"),
        ("low", "high"),
        ("", "low"),
    ]
    assert panels[0].images["image"].shape == (8, 8, 3)


@pytest.mark.usefixtures("local_models")
def test_a_chip_with_several_labels_has_all_their_names() -> None:
    schema = make_schema("abc", multilabel=True)
    batch = batch_of(np.ones((2, 2, 8, 8)), label=torch.tensor([[1, 0, 1], [0, 0, 0]]))
    task = ClassificationTask(schema, 8, arch="local")
    task.use_statistics(make_statistics(schema))
    set_layer(task, [[0.0, 0.0]] * 3, [1.0, 1.0, -1.0])
    panels = make_panels(task, source_of(batch, schema), "val", 2)
    assert [panel.answer for panel in panels] == [("a, c", "a, b"), ("none", "a, b")]
