"""What every entry of MODELS must do; a new model is tested by being in that dictionary."""

import pytest
import torch
from network_factory import BANDS, make_image, make_network, shuffle_parameters

from eoseg.errors import BandError, ConfigError
from eoseg.models import MODELS, Network

CLASSES = 4
TILEABLE = ("unet", "fcn")


@pytest.fixture(scope="module", params=sorted(MODELS))
def network(request: pytest.FixtureRequest) -> Network:
    return make_network(request.param, BANDS[3])


@pytest.mark.parametrize("bands", [1, 13])
@pytest.mark.parametrize("arch", sorted(MODELS))
def test_any_number_of_bands_gives_one_logit_per_class_and_pixel(arch, bands):
    network = make_network(arch, BANDS[bands]).eval()
    image, valid = make_image(bands, 64, 96)
    with torch.inference_mode():
        logits = network(image, valid)
    assert logits.shape == (2, CLASSES, 64, 96)
    assert logits.isfinite().all()


def test_three_bands_give_one_logit_per_class_and_pixel(network):
    image, valid = make_image(3, 96, 64)
    with torch.inference_mode():
        assert network.eval()(image, valid).shape == (2, CLASSES, 96, 64)


def test_the_smallest_image_is_one_output_stride(network):
    size = network.output_stride
    image, valid = make_image(3, size, size)
    with torch.inference_mode():
        assert network.eval()(image, valid).shape == (2, CLASSES, size, size)


def test_gradients_reach_every_trained_parameter(network):
    network.train().zero_grad()
    image, valid = make_image(3, 64, 64)
    network(image, valid).square().sum().backward()
    without = [
        name for name, value in network.named_parameters() if value.grad is None and value.requires_grad
    ]
    dead = [
        name
        for name, value in network.named_parameters()
        if value.grad is not None and not value.isfinite().all()
    ]
    assert not without
    assert not dead
    network.zero_grad()


def test_sizes_between_multiples_are_refused_with_those_that_fit(network):
    stride = network.output_stride
    image, valid = make_image(3, 2 * stride + 1, 2 * stride)
    with pytest.raises(ConfigError, match=rf"height {2 * stride + 1}\..* fits: {2 * stride} or {3 * stride}"):
        network(image, valid)
    image, valid = make_image(3, stride, stride - 1)
    with pytest.raises(ConfigError, match=rf"width {stride - 1}\..* fits: {stride}\."):
        network(image, valid)


def test_another_number_of_bands_is_refused(network):
    image, valid = make_image(4, 64, 64)
    with pytest.raises(BandError, match=r"3 bands .red, green, blue.*found shape .2, 4, 64, 64."):
        network(image, valid)


def test_a_state_dict_carries_everything_that_shapes_the_output(network, request):
    arch = request.node.callspec.params["network"]
    network.eval()
    twin = make_network(arch, BANDS[3])
    shuffle_parameters(twin)
    image, valid = make_image(3, 64, 64)
    with torch.inference_mode():
        expected = network(image, valid)
        assert not torch.equal(twin.eval()(image, valid), expected)
        twin.load_state_dict(network.state_dict())
        assert torch.equal(twin(image, valid), expected)


def test_the_same_seed_gives_the_same_network_and_output(network, request):
    arch = request.node.callspec.params["network"]
    first, second = make_network(arch, BANDS[3]).eval(), make_network(arch, BANDS[3]).eval()
    image, valid = make_image(3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(first(image, valid), second(image, valid))
        assert torch.equal(first(image, valid), first(image, valid))


def test_what_an_invalid_pixel_holds_does_not_matter(network):
    image, valid = make_image(3, 64, 64)
    with torch.inference_mode():
        with_nan = network.eval()(image, valid)
        with_number = network(image.nan_to_num(4321.0), valid)
    assert torch.equal(with_nan, with_number)


@pytest.mark.parametrize(
    ("arch", "options"),
    [("unet", {"depth": 3}), ("unet", {"interpolation": "bilinear"}), ("fcn", {}), ("fcn", {"stride": 32})],
)
def test_shifting_by_the_output_stride_shifts_the_inner_output(arch, options):
    network = make_network(arch, BANDS[3], args={"channels": 4, **options}).eval()
    shuffle_parameters(network)
    stride = network.output_stride
    image, valid = make_image(
        3, 800, 2 * stride, batch=1
    )  # a strip: long where it is shifted, cheap otherwise
    with torch.inference_mode():
        above = network(image[:, :, :768], valid[:, :768])
        below = network(image[:, :, stride : 768 + stride], valid[:, stride : 768 + stride])
        half = network(
            image[:, :, stride // 2 : 768 + stride // 2], valid[:, stride // 2 : 768 + stride // 2]
        )
    inner = slice(360, 408)  # more than the radius of the receptive field from both ends
    expected = above[:, :, inner]
    assert expected.std() > 1e-4
    moved = below[:, :, inner.start - stride : inner.stop - stride]
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    # and not for less: the stride is as small as it can be
    between = half[:, :, inner.start - stride // 2 : inner.stop - stride // 2]
    assert (between - expected).abs().max() > 1e-2 * expected.std()


@pytest.mark.parametrize("arch", TILEABLE)
def test_tileable_models_hold_no_layer_that_looks_at_the_whole_image(arch):
    network = make_network(arch, BANDS[3])
    global_layers = (torch.nn.AdaptiveAvgPool2d, torch.nn.GroupNorm, torch.nn.InstanceNorm2d)
    assert not [module for module in network.modules() if isinstance(module, global_layers)]


def test_no_model_upsamples_from_corner_to_corner(network):
    assert not [module for module in network.modules() if getattr(module, "align_corners", False)]


def test_training_on_a_single_chip_says_what_to_do_where_a_model_pools_the_image():
    network = make_network("deeplabv3plus", BANDS[3]).train()
    image, valid = make_image(3, 32, 32, batch=1)
    with pytest.raises(ConfigError, match=r"batch_size of 2 or more"):
        network(image, valid)
