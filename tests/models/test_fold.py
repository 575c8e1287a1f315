"""Folding changes how logits are computed, not what they are."""

import pytest
import torch
from contract_factory import CASES, STEPS, Case
from network_factory import BANDS, make_image, make_statistics
from torch import Tensor, nn
from torch.nn import functional

from eoseg.models import Network
from eoseg.models.fold import count_batch_norms, fold_batch_norm


@pytest.fixture(scope="module", autouse=True)
def narrow_dense_layers():
    """Dense layers of AlexNet and VGG with fewer than 4096 units, which take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eoseg.models.classifiers._HIDDEN", 64)
        yield


def shuffle_norms(network: nn.Module) -> None:
    """Give batch normalisations the statistics and weights of a trained network: not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.running_mean.copy_(0.3 * torch.randn(norm.num_features, generator=generator))
                norm.running_var.copy_(0.5 + torch.rand(norm.num_features, generator=generator))
                if norm.affine:
                    norm.weight.copy_(0.5 + torch.rand(norm.num_features, generator=generator))
                    norm.bias.copy_(0.3 * torch.randn(norm.num_features, generator=generator))


def make(body: nn.Module) -> Network:
    """A network of three bands around a body."""
    torch.manual_seed(0)
    network = Network(body, bands=BANDS[3], output_stride=1)
    network.normalize.set_statistics(make_statistics(BANDS[3]))
    shuffle_norms(network)
    return network.eval()


def run(network: Network, *inputs: Tensor | None) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = network(*inputs)
    return logits


def require_same_logits(network: Network, folded: Network, *inputs: Tensor | None) -> None:
    expected = run(network, *inputs)
    assert expected.std() > 0
    difference = (run(folded, *inputs) - expected).abs().max()
    assert difference <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("case", [case for case in CASES if not case.is_fitted], ids=lambda case: case.key)
def test_every_model_gives_the_same_logits_with_fewer_batch_normalisations(case: Case):
    network = case.ready(3)
    shuffle_norms(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold_batch_norm(network, steps={"change": 2, "series": STEPS}.get(case.kind, 1))
    stride = network.output_stride
    size = (64, 64) if case.kind == "classification" else (2 * stride, 3 * stride)
    assert count_batch_norms(folded) < count_batch_norms(network) or count_batch_norms(network) == 0
    if count_batch_norms(network):
        require_same_logits(network, folded, *case.images(3, size))
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_whole_network_is_folded_and_keeps_its_layout_in_memory():
    network = next(case for case in CASES if case.key == "segmentation/plain_unet").ready(3)
    shuffle_norms(network)
    folded = fold_batch_norm(network)
    assert count_batch_norms(network) == 14
    assert count_batch_norms(folded) == 0
    weights = [value for value in folded.parameters() if value.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_a_network_without_batch_normalisation_is_given_back():
    network = make(nn.Conv2d(3, 4, 1))
    assert fold_batch_norm(network) is network


class Body(nn.Module):
    """A convolution and a batch normalisation that can be folded, and two more of each."""

    def __init__(self) -> None:
        super().__init__()
        self.foldable = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.conv, self.other = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image: Tensor) -> Tensor:
        return self.rest(self.foldable(image))

    def rest(self, features: Tensor) -> Tensor:
        raise NotImplementedError


class UsedTwice(Body):
    def rest(self, features: Tensor) -> Tensor:
        features = self.conv(features)
        return self.norm(features) + features


class ChangedInPlace(Body):
    def rest(self, features: Tensor) -> Tensor:
        return self.norm(functional.relu_(self.conv(features)))


class NormalisedFirst(Body):
    def rest(self, features: Tensor) -> Tensor:
        return self.conv(functional.relu(self.norm(features.sin())))


class NormOfTwo(Body):
    def rest(self, features: Tensor) -> Tensor:
        return self.norm(self.conv(features)) + self.norm(self.other(features))


class ConvolutionTwice(Body):
    def rest(self, features: Tensor) -> Tensor:
        return self.norm(self.conv(features)) + self.conv(features.sin())


class SeenThroughAView(Body):
    def rest(self, features: Tensor) -> Tensor:
        return self.norm(self.conv(features).transpose(2, 3))


class ChannelsElsewhere(Body):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)

    def rest(self, features: Tensor) -> Tensor:
        rows = features[0, 0, :, :8]  # (H, 8)
        return features + self.norm(self.conv(rows[:8].unsqueeze(0))).sum()


@pytest.mark.parametrize(
    "body",
    [
        UsedTwice,
        ChangedInPlace,
        NormalisedFirst,
        NormOfTwo,
        ConvolutionTwice,
        SeenThroughAView,
        ChannelsElsewhere,
    ],
)
def test_what_others_use_too_is_not_folded_while_the_rest_is(body: type[Body]):
    network = make(body())
    folded = fold_batch_norm(network)
    assert count_batch_norms(network) == 2
    assert count_batch_norms(folded) == 1
    assert isinstance(folded.body.foldable[1], nn.Identity)
    require_same_logits(network, folded, *make_image(3, 16, 16))


class OfOtherLayers(nn.Module):
    """Layers of all kinds, in front of a batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.ConvTranspose2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, affine=False))
        self.line = nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4))
        self.dense = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, affine=False))
        self.grouped = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.BatchNorm2d(4))

    def forward(self, image: Tensor) -> Tensor:
        features = self.up(image)
        features = self.line(features.flatten(2)).view_as(features)
        dense = self.dense(features.mean(dim=(2, 3)))
        return self.grouped(features) + dense[..., None, None]


def test_other_layers_are_folded_as_well():
    network = make(OfOtherLayers())
    folded = fold_batch_norm(network)
    assert count_batch_norms(folded) == 0
    require_same_logits(network, folded, *make_image(3, 8, 8))


def test_a_grouped_transposed_convolution_keeps_its_batch_normalisation():
    network = make(nn.Sequential(nn.ConvTranspose2d(3, 6, 1, groups=3), nn.BatchNorm2d(6)))
    assert count_batch_norms(fold_batch_norm(network)) == 1


def test_a_layer_that_is_run_twice_with_its_batch_normalisation_is_folded_once():
    class Twice(Body):
        def rest(self, features: Tensor) -> Tensor:
            return self.norm(self.conv(features)) + self.norm(self.conv(features.sin()))

    network = make(Twice())
    folded = fold_batch_norm(network)
    assert count_batch_norms(folded) == 0
    require_same_logits(network, folded, *make_image(3, 8, 8))


def test_weights_that_a_layer_computes_anew_are_left_alone():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1))
    network = make(nn.Sequential(conv, nn.BatchNorm2d(4)))
    assert count_batch_norms(fold_batch_norm(network)) == 1


def test_a_copy_with_other_logits_is_not_given_back():
    class Standardised(nn.Conv2d):
        def forward(self, image: Tensor) -> Tensor:
            weight = self.weight / self.weight.std()  # takes out again what was folded in
            return functional.conv2d(image, weight, self.bias)

    network = make(nn.Sequential(Standardised(3, 4, 1), nn.BatchNorm2d(4)))
    assert fold_batch_norm(network) is network
