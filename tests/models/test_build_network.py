import pytest
import torch
from network_factory import BANDS, make_image, make_network

from eoseg.errors import ConfigError
from eoseg.models import MODELS, build_network
from eoseg.models.encoders import resolve_encoder
from eoseg.models.network import Network


def parameters(arch: str, **args: object) -> int:
    network = make_network(arch, BANDS[3], args=args)
    return sum(value.numel() for value in network.body.parameters())


def build(arch: str = "unet", encoder: str = "resnet18", **args: object) -> Network:
    return build_network(arch, bands=BANDS[3], num_classes=3, encoder=encoder, args=args)


def test_an_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no model 'unett'. Did you mean 'unet'"):
        build("unett")


@pytest.mark.parametrize(
    ("arch", "option", "message"),
    [
        ("unet", "chanels", "no option of 'unet' 'chanels'. Did you mean 'channels'.*depth, interpolation"),
        ("fcn", "depth", "no option of 'fcn' 'depth'.*Known: channels, dropout, stride"),
        ("segformer", "encoder_weights", "no option of 'segformer'"),
    ],
)
def test_an_unknown_option_is_refused_with_those_that_exist(arch, option, message):
    with pytest.raises(ConfigError, match=message):
        build(arch, **{option: 1})


@pytest.mark.parametrize(
    ("arch", "args", "message"),
    [
        ("unet", {"depth": 2}, "'unet': depth is a whole number from 3 to 5, found 2"),
        ("unet", {"depth": True}, "found True"),
        ("unet", {"channels": 0}, "channels is a whole number of at least 1"),
        ("unet", {"channels": "16"}, "found '16'"),
        ("unet", {"interpolation": "cubic"}, "interpolation is one of nearest, bilinear, found 'cubic'"),
        ("fcn", {"stride": 4}, "stride is one of 8, 16, 32, found 4"),
        ("fcn", {"dropout": 1.0}, "dropout is a number from 0 to below 1"),
        ("deeplabv3plus", {"stride": 32}, "stride is one of 8, 16"),
        ("deeplabv3plus", {"rate": 0}, "rate is a whole number"),
        ("upernet", {"depth": 6}, "depth is a whole number from 3 to 5"),
        ("segformer", {"channels": 2.5}, "channels is a whole number"),
    ],
)
def test_values_outside_an_options_limits_are_refused(arch, args, message):
    with pytest.raises(ConfigError, match=message):
        build(arch, **args)


def test_no_band_or_no_class_is_refused():
    with pytest.raises(ConfigError, match=r"found 0 bands and 3 classes"):
        build_network("unet", bands=[], num_classes=3)
    with pytest.raises(ConfigError, match=r"1 bands and 0 classes"):
        build_network("unet", bands=["grey"], num_classes=0)


@pytest.mark.parametrize(
    ("name", "near"), [("resnet19", "resnet18"), ("mit_b9", "mit_b"), ("convnext_tinny", "convnext_tiny")]
)
def test_an_unknown_encoder_is_refused_with_near_names(name, near):
    with pytest.raises(ConfigError, match=rf"no encoder '{name}'. Did you mean .*{near}") as error:
        build(encoder=name)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("resnet18", "resnet18"),
        ("tu-resnet18", "tu-resnet18"),
        ("convnext_tiny", "tu-convnext_tiny"),
        ("mobilenetv3_small_050.lamb_in1k", "tu-mobilenetv3_small_050.lamb_in1k"),
    ],
)
def test_encoders_of_both_libraries_are_found(name, resolved):
    assert resolve_encoder(name) == resolved


@pytest.mark.parametrize("arch", ["unet", "fcn"])
@pytest.mark.parametrize("encoder", ["mobilenetv3_small_050", "tu-resnet18"])
def test_encoders_of_timm_work_with_any_bands(arch, encoder):
    network = make_network(arch, BANDS[13], encoder=encoder).eval()
    image, valid = make_image(13, 64, 96, batch=1)
    with torch.inference_mode():
        assert network(image, valid).shape == (1, 4, 64, 96)


def test_a_windowed_transformer_takes_any_image_size():
    network = make_network(
        "upernet", BANDS[3], encoder="swin_tiny_patch4_window7_224", args={"channels": 16}
    ).eval()
    image, valid = make_image(3, 96, 64, batch=1)
    with torch.inference_mode():
        assert network(image, valid).shape == (1, 4, 96, 64)


@pytest.mark.parametrize(("arch", "encoder"), [("deeplabv3plus", "vgg11"), ("unet", "vit_tiny_patch16_224")])
def test_an_encoder_that_an_architecture_cannot_use_is_refused_in_one_line(arch, encoder):
    with pytest.raises(
        ConfigError, match=rf"'{arch}' cannot be built over the encoder '{encoder}': .*Choose another"
    ) as error:
        build(arch, encoder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arch", "args", "stride"),
    [
        ("unet", {}, 32),
        ("unet", {"depth": 3}, 8),
        ("fcn", {"stride": 16}, 32),
        ("deeplabv3plus", {}, 16),
        ("deeplabv3plus", {"stride": 8}, 8),
        ("upernet", {"depth": 4}, 16),
        ("segformer", {}, 32),
    ],
)
def test_the_output_stride_follows_from_the_options(arch, args, stride):
    assert make_network(arch, BANDS[3], args=args).output_stride == stride


@pytest.mark.parametrize("arch", sorted(MODELS))
def test_fewer_channels_make_a_smaller_model(arch):
    assert parameters(arch, channels=8) < parameters(arch)


@pytest.mark.parametrize(
    ("arch", "args"),
    [
        ("unet", {"interpolation": "bilinear"}),
        ("fcn", {"stride": 16}),
        ("deeplabv3plus", {"rate": 2}),
    ],
)
def test_an_option_changes_the_output_of_the_same_weights(arch, args):
    usual, other = make_network(arch, BANDS[3]).eval(), make_network(arch, BANDS[3], args=args).eval()
    other.load_state_dict(usual.state_dict(), strict=False)
    image, valid = make_image(3, 96, 96, batch=1)
    with torch.inference_mode():
        assert not torch.allclose(usual(image, valid), other(image, valid))


@pytest.mark.parametrize("arch", ["fcn", "deeplabv3plus"])
def test_dropout_makes_training_random_unless_it_is_zero(arch):
    image, valid = make_image(3, 64, 64)
    for dropout, random in ((0.5, True), (0.0, False)):
        network = make_network(arch, BANDS[3], args={"dropout": dropout})
        first, second = network(image, valid), network(image, valid)
        assert torch.equal(first, second) is not random


def test_parameters_that_no_gradient_can_reach_are_frozen():
    network = make_network("unet", BANDS[3], args={"depth": 3})  # resnet18 keeps its last two stages
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert frozen
    assert all(name.startswith(("body.encoder.layer3", "body.encoder.layer4")) for name in frozen)


def test_building_leaves_batch_statistics_and_training_mode_as_they_were():
    network = build()
    assert network.training
    assert network.state_dict()["body.encoder.bn1.num_batches_tracked"] == 0


def test_fcn_starts_from_the_scores_of_its_coarsest_level():
    fine, coarse = (
        make_network("fcn", BANDS[3]).eval(),
        make_network("fcn", BANDS[3], args={"stride": 32}).eval(),
    )
    coarse.load_state_dict(fine.state_dict(), strict=False)
    image, valid = make_image(3, 96, 96, batch=1)
    with torch.inference_mode():
        difference = fine(image, valid) - coarse(image, valid)
    assert difference.abs().max() < fine(image, valid).std()  # two steps of interpolation against one


def test_an_output_stride_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"positive number of pixels, found 0"):
        Network(torch.nn.Identity(), bands=["grey"], output_stride=0)


def test_a_value_error_of_another_kind_is_passed_on():
    class Broken(torch.nn.Module):
        def forward(self, image):
            raise ValueError("something else")

    network = make_network("unet", ["grey"])
    network.body = Broken()
    with pytest.raises(ValueError, match=r"something else"):
        network(*make_image(1, 32, 32))
