"""What every entry of MODELS must do; a new model is tested by being in that dictionary."""

import re

import pytest
import torch
from contract_factory import CASES, Case
from network_factory import BANDS, make_image, make_network, shuffle_parameters

from eoseg.errors import BandError, CheckpointError, ConfigError
from eoseg.models import FittedBody, Network

LEARNED = [case for case in CASES if not case.is_fitted]
FITTED = [case for case in CASES if case.is_fitted]
TILEABLE = ("unet", "fcn")


@pytest.fixture(scope="module", autouse=True)
def narrow_dense_layers():
    """Dense layers of AlexNet and VGG with fewer than 4096 units, which take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eoseg.models.classifiers._HIDDEN", 64)
        yield


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    """Of three bands, made when a test first asks for them."""
    return {}


@pytest.fixture
def network(request: pytest.FixtureRequest, networks: dict[str, Network]) -> Network:
    """The network of the test's case, ready for three bands."""
    case = request.getfixturevalue("case")
    if case.key not in networks:
        networks[case.key] = case.ready(3)
    return networks[case.key].eval()


def each(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.key)


def size_of(case: Case, network: Network) -> tuple[int, int]:
    """Of an image that has an inner part and is not square, or of a chip."""
    stride = network.output_stride
    return (64, 64) if case.kind == "classification" else (max(2 * stride, 8), max(3 * stride, 16))


def expected_shape(case: Case, bands: int, size: tuple[int, int]) -> tuple[int, ...]:
    outputs = case.outputs(bands)
    return (2, outputs) if case.kind == "classification" else (2, outputs, *size)


def run(network: Network, *inputs: torch.Tensor | None) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = network(*inputs)
    return logits


@each(CASES)
@pytest.mark.parametrize("bands", [1, 13])
def test_any_number_of_bands_gives_finite_logits(case, bands):
    network = case.ready(bands)
    size = size_of(case, network)
    logits = run(network, *case.images(bands, size))
    assert logits.shape == expected_shape(case, bands, size)
    assert logits.isfinite().all()


@each(CASES)
def test_three_bands_give_finite_logits_for_the_smallest_image_too(case, network):
    for size in (size_of(case, network), case.smallest(network)):
        logits = run(network, *case.images(3, size))
        assert logits.shape == expected_shape(case, 3, size)
        assert logits.isfinite().all()


@each(LEARNED)
def test_gradients_reach_every_parameter_but_unused_stages_of_an_encoder(case):
    network = case.build(3).train()
    shuffle_parameters(network)  # behind weights of zero no gradient passes
    network(*case.images(3, size_of(case, network))).square().sum().backward()
    trained = {name: value.grad for name, value in network.named_parameters() if value.requires_grad}
    frozen = [name for name, value in network.named_parameters() if not value.requires_grad]
    assert trained
    assert [name for name, gradient in trained.items() if gradient is None] == []
    assert [name for name, gradient in trained.items() if not gradient.isfinite().all()] == []
    assert [name for name in frozen if not name.startswith("body.encoder.")] == []


@each(CASES)
def test_a_model_is_fitted_in_one_go_or_learns_by_gradients(case, network):
    assert isinstance(network.body, FittedBody) == case.is_fitted


@each(FITTED)
def test_a_fitted_model_has_learned_its_sample_and_has_no_gradient(case, network):
    image, valid, days, target = case.sample(3)
    logits = run(network, image, valid, days)
    if case.is_regression:
        assert (logits[:, 0] - target).abs().mean() < 0.2
    elif case.name != "post_classification":  # nothing taught the network inside it
        assert (logits.argmax(dim=1) == target).float().mean() > 0.95  # one against the rest cannot do all
    assert [name for name, value in network.named_parameters() if value.requires_grad] == []


@each([case for case in CASES if case.kind != "classification"])
def test_sizes_between_multiples_of_the_stride_are_refused_with_those_that_fit(case, network):
    stride = network.output_stride
    if stride == 1:
        assert run(network, *case.images(3, (7, 5))).shape == expected_shape(case, 3, (7, 5))
        return
    with pytest.raises(ConfigError, match=rf"height {2 * stride + 1}\..* fits: {2 * stride} or {3 * stride}"):
        run(network, *case.images(3, (2 * stride + 1, 2 * stride)))
    with pytest.raises(ConfigError, match=rf"width {stride - 1}\..* fits: {stride}\."):
        run(network, *case.images(3, (stride, stride - 1)))


@each([case for case in CASES if case.kind == "classification"])
def test_chips_of_an_odd_size_are_taken_or_refused_with_a_size_that_fits(case):
    size = 67
    try:
        network = case.build(3, chip_size=size)
    except ConfigError as error:
        size = int(re.search(r"fits: (\d+)", str(error))[1])
        network = case.build(3, chip_size=size)
    if not case.is_fitted:
        assert run(network.eval(), *case.images(3, (size, size))).shape == (2, case.outputs(3))
    else:
        assert run(case.ready(3), *case.images(3, (size, size))).shape == (2, case.outputs(3))


@each(CASES)
def test_another_number_of_bands_is_refused(case, network):
    with pytest.raises(BandError, match=r"3 bands .red, green, blue.*found shape .2, "):
        run(network, *case.images(13, case.smallest(network)))


@each(LEARNED)
def test_one_seed_gives_one_network_and_its_state_dict_carries_everything(case):
    first, twin = case.build(3).eval(), case.build(3).eval()
    images = case.images(3, size_of(case, first))
    expected = run(first, *images)
    assert torch.equal(run(first, *images), expected)
    assert torch.equal(run(twin, *images), expected)
    shuffle_parameters(twin)
    assert not torch.equal(run(twin, *images), expected)
    twin.load_state_dict(first.state_dict())
    assert torch.equal(run(twin, *images), expected)


@each(FITTED)
def test_one_sample_gives_one_fitted_network_and_its_state_dict_carries_everything(case, network):
    images = case.images(3, size_of(case, network))
    expected = run(network, *images)
    assert torch.equal(run(network, *images), expected)
    assert torch.equal(run(case.ready(3), *images), expected)
    empty = case.build(3).eval()
    with pytest.raises(CheckpointError, match=r"never fitted"):
        run(empty, *images)
    empty.load_state_dict(network.state_dict())
    assert torch.equal(run(empty, *images), expected)


@each(CASES)
def test_what_an_invalid_pixel_holds_does_not_matter(case, network):
    image, valid, days = case.images(3, size_of(case, network))
    assert image.isnan().any()
    with_nan = run(network, image, valid, days)
    assert torch.equal(run(network, image.nan_to_num(4321.0), valid, days), with_nan)


@each([case for case in CASES if case.kind == "segmentation"])
def test_no_segmenter_upsamples_from_corner_to_corner(case, network):
    assert not [module for module in network.modules() if getattr(module, "align_corners", False)]


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
    above = run(network, image[:, :, :768], valid[:, :768])
    below = run(network, image[:, :, stride : 768 + stride], valid[:, stride : 768 + stride])
    half = run(
        network, image[:, :, stride // 2 : 768 + stride // 2], valid[:, stride // 2 : 768 + stride // 2]
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


def test_training_on_a_single_chip_says_what_to_do_where_a_model_pools_the_image():
    network = make_network("deeplabv3plus", BANDS[3]).train()
    image, valid = make_image(3, 32, 32, batch=1)
    with pytest.raises(ConfigError, match=r"batch_size of 2 or more"):
        network(image, valid)
