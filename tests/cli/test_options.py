import pytest

from eoseg.cli.options import (
    check_class,
    check_keys,
    nested_classes,
    options_of,
    subclasses_of,
    trainer_options,
)
from eoseg.errors import ConfigError


def test_options_are_the_arguments_of_the_constructor() -> None:
    options = options_of("OptimizerConfig")
    assert options is not None
    assert list(options) == ["name", "lr", "args", "average", "ema", "scale_lr"]
    assert options["lr"].default == "0.001"
    assert options["lr"].doc.startswith("Learning rate")


def test_what_the_data_give_is_no_option_of_a_task() -> None:
    options = options_of("eoseg.tasks.SegmentationTask")
    assert options is not None
    assert "arch" in options
    assert not {"schema", "chip_size"} & set(options)


def test_a_class_without_a_constructor_has_that_of_its_base() -> None:
    options = options_of("ChangeTask")
    assert options is not None
    assert options == options_of("SegmentationTask")
    assert options["threshold"].doc.startswith("Of two classes")


def test_subclasses_are_those_that_nothing_builds_upon() -> None:
    assert {"SegmentationTask", "ChangeTask", "RegressionTask"} <= set(subclasses_of("Task"))
    assert "ClassTask" not in subclasses_of("Task")
    assert "SceneData" in subclasses_of("EOData")


def test_a_foreign_class_is_left_to_the_parser() -> None:
    assert options_of("torch.optim.SGD") is None
    check_class("torch.optim.SGD", {"anything": 1}, where="x")


def test_the_trainer_is_lightnings() -> None:
    options = trainer_options()
    assert "max_epochs" in options
    assert "self" not in options


def test_annotations_name_the_nested_classes() -> None:
    assert nested_classes("str | list[LossTerm]") == ["LossTerm"]
    assert nested_classes("dict[str, int] | None") == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encodr": 1}, "no option 'encodr'. Did you mean 'encoder'"),
        ({"optimizer": {"lrr": 1}}, r"'model.init_args.optimizer'.*Did you mean 'lr'"),
        ({"optimizer.lrr": 1}, "Did you mean 'lr'"),
        ({"loss": [{"name": "dice", "weigth": 2}]}, "Did you mean 'weight'"),
    ],
)
def test_a_mistyped_key_names_its_place_and_the_nearest(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_class("SegmentationTask", values, where="model.init_args")


def test_known_keys_pass_at_any_depth() -> None:
    check_class(
        "SegmentationTask",
        {"arch": "unet", "optimizer": {"args": {"momentum": 0.9}}, "loss": [{"name": "dice"}]},
        where="model.init_args",
    )


def test_a_class_named_by_its_path_is_checked_too() -> None:
    callback = {"class_path": "OptimizerConfig", "init_args": {"nme": 1}}
    with pytest.raises(ConfigError, match=r"trainer.callbacks.init_args.*Did you mean 'name'"):
        check_keys(trainer_options(), {"callbacks": [callback]}, where="trainer")
