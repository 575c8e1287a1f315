"""Building a network from its names."""

import inspect

import pytest
import torch
from network_factory import BANDS, build, make_network, make_recipe, make_statistics

from eoseg.errors import CheckpointError, ConfigError
from eoseg.models import MODELS, build_from_recipe, build_network, network_config
from eoseg.recipe import Quantity, Recipe, Schema, parse_classes


def test_an_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no model for segmentation 'unett'. Did you mean 'unet'"):
        build("unett")


@pytest.mark.parametrize(
    ("arch", "option", "message"),
    [
        (
            "unet",
            "chanels",
            "no option of 'unet' 'chanels'. Did you mean 'channels'.*depth, encoder, interpolation",
        ),
        ("fcn", "depth", "no option of 'fcn' 'depth'.*Known: channels, dropout, encoder, stride"),
        ("segformer", "encoder_weights", "no option of 'segformer'"),
    ],
)
def test_an_unknown_option_is_refused_with_those_that_exist(arch, option, message):
    with pytest.raises(ConfigError, match=message):
        build(arch, **{option: 1})


def test_no_band_or_no_class_is_refused():
    with pytest.raises(ConfigError, match=r"found 0 bands and 3 classes"):
        build_network("unet", bands=[], num_classes=3)
    with pytest.raises(ConfigError, match=r"1 bands and 0 classes"):
        build_network("unet", bands=["grey"], num_classes=0)


def test_parameters_that_no_gradient_can_reach_are_frozen():
    network = make_network("unet", BANDS[3], args={"depth": 3})  # resnet18 keeps its last two stages
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert frozen
    assert all(name.startswith(("body.encoder.layer3", "body.encoder.layer4")) for name in frozen)


def test_building_leaves_batch_statistics_and_training_mode_as_they_were():
    network = build()
    assert network.training
    assert network.state_dict()["body.encoder.bn1.num_batches_tracked"] == 0


def test_a_model_of_another_kind_is_refused_with_its_own():
    with pytest.raises(
        ConfigError, match=r"'fc_ef' is a model for change, not for segmentation\. Known .*unet"
    ):
        build_network("fc_ef", bands=["grey"], num_classes=2)


def test_an_encoder_is_refused_where_there_is_none():
    with pytest.raises(ConfigError, match=r"'mlp' is not built over an encoder; found encoder 'resnet18'"):
        build("mlp")


def test_what_cannot_be_built_is_one_line_that_names_the_model_and_a_remedy(monkeypatch):
    def broken(dims):
        raise ValueError("no way.")

    monkeypatch.setitem(MODELS["segmentation"], "broken", broken)
    with pytest.raises(ConfigError, match=r"^'broken' cannot be built: no way\. Change its options\.$"):
        build_network("broken", bands=["grey"], num_classes=2)


def test_a_body_that_gives_another_shape_is_found_out(monkeypatch):
    class Half(torch.nn.Conv2d):
        output_stride = 2

    monkeypatch.setitem(MODELS["segmentation"], "half", lambda dims: Half(dims.channels, dims.classes, 2, 2))
    with pytest.raises(ConfigError, match=r"logits have shape \(1, 2, 2, 3\) for an image \(1, 1, 4, 6\)"):
        build_network("half", bands=["grey"], num_classes=2)


@pytest.mark.parametrize(
    ("kind", "arch", "args", "options"),
    [
        ("segmentation", "unet", {"depth": 3, "channels": 4}, {}),
        ("segmentation", "mlp", {"hidden": "8"}, {"num_classes": 1, "regression": True}),
        ("classification", "lenet5", {"activation": "relu"}, {"chip_size": 32}),
        ("change", "fc_ef", {"width": 4}, {"num_classes": 2, "steps": 2}),
        ("series", "tempcnn", {"channels": 8, "hidden": 8}, {"steps": 5}),
    ],
)
def test_a_recipe_builds_the_same_network_again(kind, arch, args, options):
    settings = {"num_classes": 3, "chip_size": 16, "steps": 1, "regression": False, **options}
    network = build_network(arch, kind=kind, bands=BANDS[3], args=args, **settings)
    quantity = Quantity("height", "m") if settings["regression"] else None
    names = [] if quantity else [f"class {number}" for number in range(settings["num_classes"])]
    time = {"change": "pair", "series": "series"}.get(kind, "single")
    recipe = Recipe(
        task="Task",
        schema=Schema(
            tuple(BANDS[3]),
            parse_classes(names) if names else (),
            time=time,
            steps=settings["steps"],
            quantity=quantity,
        ),
        statistics=make_statistics(BANDS[3]),
        network=network_config(network, arch, encoder=None, args=args),
        chip_size=settings["chip_size"],
        output_stride=network.output_stride,
    )
    again = build_from_recipe(recipe)
    again.load_state_dict(network.state_dict())
    assert (again.kind, again.output_stride) == (kind, network.output_stride)
    assert (again.rescale is None) == (quantity is None)


def test_the_encoder_of_a_recipe_is_an_option_like_any():
    network = build("unet", "mobilenet_v2", depth=3)
    config = network_config(network, "unet", encoder="mobilenet_v2", args={"depth": 3})
    assert (config["kind"], config["arch"]) == ("segmentation", "unet")
    assert config["args"].items() >= {"depth": 3, "encoder": "mobilenet_v2"}.items()


def test_a_recipe_names_the_options_that_were_left_at_their_default():
    # so that a checkpoint stays what it is when a later version has another default
    config = network_config(build("unet"), "unet", encoder=None, args=None)
    known = inspect.signature(MODELS["segmentation"]["unet"]).parameters
    assert config["args"] == {name: known[name].default for name in known if name != "dims"}


@pytest.mark.parametrize(
    "config", [{}, {"kind": "segmentation", "arch": "unet"}, {"kind": "song", "arch": "unet", "args": {}}]
)
def test_a_recipe_that_names_no_network_is_refused(config):
    with pytest.raises(CheckpointError, match="does not say which network it is for"):
        build_from_recipe(make_recipe(config))
