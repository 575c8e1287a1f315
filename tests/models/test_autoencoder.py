"""An encoder taught without labels, and what starts from it."""

import pytest
import torch
from network_factory import shuffle_parameters
from torch import Tensor

from eoseg.errors import ConfigError
from eoseg.models.autoencoder import autoencoder
from eoseg.models.dimensions import Dimensions


def make(bands: int = 3, chip_size: int = 64, **options):
    torch.manual_seed(0)
    return autoencoder(Dimensions(bands, 2, chip_size), **{"depth": 3, "channels": 4, **options})


def waves(count: int, *, seed: int, size: int = 32) -> Tensor:
    """Two bands of stripes whose direction, phase and width differ from image to image; standardised."""
    generator = torch.Generator().manual_seed(seed)
    angle, phase, width = (
        torch.rand(3, count, 1, 1, generator=generator) * torch.tensor([3.14, 6.28, 0.2]).view(3, 1, 1, 1)
    ).unbind()
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    wave = torch.sin((width + 0.15) * (rows * angle.sin() + cols * angle.cos()) + phase)
    image = torch.stack([wave, -wave], dim=1)
    return image / image.std()


@pytest.mark.parametrize("channels", [1, 3, 13])
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_it_gives_what_it_takes_with_a_gradient_for_every_parameter(channels, ratio):
    network = make(channels, mask_ratio=ratio, depth=5).train()
    image = torch.randn(2, channels, 64, 96)
    again, judged = network.reconstruct(image)
    assert again.shape == image.shape
    assert judged.shape == (2, 1, 64, 96)
    assert judged.dtype == torch.bool
    ((again - image).square() * judged).sum().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None] == []


def test_without_hidden_patches_the_whole_image_is_judged():
    network = make(mask_ratio=0.0).eval()
    image = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        again, judged = network.reconstruct(image)
        assert torch.equal(again, network(image))
    assert judged.all()


@pytest.mark.parametrize(
    ("ratio", "patch", "hidden"), [(0.5, 16, 8), (0.6, 16, 10), (0.01, 16, 1), (0.99, 16, 15), (0.5, 32, 2)]
)
def test_the_asked_for_share_of_whole_patches_is_hidden_in_each_image(ratio, patch, hidden):
    network = make(mask_ratio=ratio, mask_patch=patch).eval()
    _, judged = network.reconstruct(torch.randn(5, 3, 64, 64))
    blocks = (
        judged.view(5, 64 // patch, patch, 64 // patch, patch).float().mean(dim=(2, 4))
    )  # (5, rows, cols)
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
    assert blocks.sum(dim=(1, 2)).tolist() == [hidden] * 5
    assert any(not torch.equal(judged[0], other) for other in judged[1:])


def test_patches_that_the_edge_cuts_are_hidden_too():
    _, judged = make(mask_ratio=0.9, mask_patch=24).eval().reconstruct(torch.randn(4, 3, 64, 40))
    assert judged.shape == (4, 1, 64, 40)
    assert judged[..., 48:, 24:].any()


def test_what_is_hidden_does_not_matter_and_the_generator_chooses_it():
    network = make(mask_ratio=0.5).eval()
    shuffle_parameters(network)
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        first, judged = network.reconstruct(image, torch.Generator().manual_seed(4))
        other = torch.where(judged, torch.full_like(image, 9.0), image)
        second, same = network.reconstruct(other, torch.Generator().manual_seed(4))
        _, different = network.reconstruct(image, torch.Generator().manual_seed(5))
    assert torch.equal(judged, same)
    assert torch.equal(first, second)
    assert not torch.equal(judged, different)


@pytest.mark.parametrize("ratio", [0.0, 0.4])
def test_it_learns_to_reconstruct_what_has_structure(ratio):
    network = make(2, 32, mask_ratio=ratio, mask_patch=8).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    torch.manual_seed(0)
    for step in range(40):
        image = waves(8, seed=step)
        again, judged = network.reconstruct(image)
        optimizer.zero_grad()
        ((again - image).square() * judged).sum().div(2 * judged.sum()).backward()
        optimizer.step()
    image = waves(64, seed=1000)
    with torch.inference_mode():
        again, judged = network.eval().reconstruct(image, torch.Generator().manual_seed(0))
        hidden = judged.expand_as(image)
        error = (again - image)[hidden].square().mean()
        mean = (image[hidden] - image[hidden].mean()).square().mean()
    assert error < 0.6 * mean


def test_a_descriptor_is_the_mean_of_the_deepest_features():
    network = make().eval()
    with torch.inference_mode():
        image = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(network.features(image), network.encoder(image)[-1].mean(dim=(2, 3)))


def test_a_state_dict_carries_everything():
    first, second = make().eval(), make().eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(first(image), second(image))
        shuffle_parameters(second)
        assert not torch.equal(first(image), second(image))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(image), second(image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 6}, r"depth is a whole number from 3 to 5, found 6"),
        ({"channels": 0}, r"channels is a whole number of at least 1, found 0"),
        ({"mask_ratio": 1.0}, r"mask_ratio is a number from 0 to below 1, found 1.0"),
        ({"mask_patch": 0}, r"mask_patch is a whole number of at least 1, found 0"),
        (
            {"mask_patch": 64},
            r"mask_patch is smaller than a chip, .* found 64 for a chip_size of 64.*at most 32",
        ),
        ({"encoder": "resnet17"}, r"no encoder 'resnet17'"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


@pytest.mark.parametrize("options", [{"depth": 4}, {"channels": 8}])
def test_options_shape_the_decoder(options):
    network = make(**options)
    assert network.encoder.output_stride == 2 ** options.get("depth", 3)
    assert network.decoder[-1].in_channels == options.get("channels", 4)
