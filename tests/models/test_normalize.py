import pytest
import torch
from network_factory import make_statistics

from eoseg.errors import BandError, CheckpointError, ConfigError
from eoseg.models import Normalize

BANDS = ["red", "nir"]


@pytest.fixture
def layer() -> Normalize:
    layer = Normalize(BANDS)
    layer.set_statistics(make_statistics(BANDS, [10.0, 1000.0], [2.0, 100.0]))
    return layer


def test_values_become_standard_deviations_from_the_mean(layer):
    image = torch.tensor([14.0, 700.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    result = layer(image, torch.ones(1, 4, 4, dtype=torch.bool))
    assert (result[0, :, 0, 0] == torch.tensor([2.0, -3.0])).all()


def test_statistics_are_taken_by_name_and_not_by_place():
    layer = Normalize(BANDS)
    layer.set_statistics(make_statistics(["nir", "blue", "red"], [1000.0, 5.0, 10.0], [100.0, 5.0, 2.0]))
    assert layer.mean.tolist() == [10.0, 1000.0]
    assert layer.std.tolist() == [2.0, 100.0]


def test_invalid_pixels_become_zero_whatever_they_hold(layer):
    image = torch.full((1, 2, 2, 2), float("nan"))
    image[..., 0, 0] = torch.tensor([12.0, 1100.0])
    valid = torch.tensor([[[True, False], [False, False]]])
    result = layer(image, valid)
    assert result[0, :, 0, 0].tolist() == [1.0, 1.0]
    assert result.sum() == 2


def test_a_series_is_normalised_date_by_date(layer):
    image = torch.full((2, 3, 2, 4, 4), 10.0)
    valid = torch.ones(2, 3, 4, 4, dtype=torch.bool)
    valid[:, 1] = False
    result = layer(image, valid)
    assert result.shape == image.shape
    assert (result[:, 0, 1] == -9.9).all()
    assert (result[:, 1] == 0).all()


def test_a_constant_band_is_centred_and_not_divided():
    layer = Normalize(["flat"])
    layer.set_statistics(make_statistics(["flat"], [7.0], [0.0]))
    assert layer(torch.full((1, 1, 1, 1), 9.0), torch.ones(1, 1, 1, dtype=torch.bool)).item() == 2


def test_the_image_itself_is_left_alone(layer):
    image = torch.full((1, 2, 2, 2), 10.0)
    layer(image, torch.zeros(1, 2, 2, dtype=torch.bool))
    assert (image == 10).all()


def test_integers_and_half_precision_networks_are_taken(layer):
    image = torch.full((1, 2, 1, 1), 60000, dtype=torch.int32)
    valid = torch.ones(1, 1, 1, dtype=torch.bool)
    assert layer(image, valid).dtype == torch.float32
    halved = layer.half()(image, valid)
    assert halved.dtype == torch.float16
    assert halved[0, 1].item() == pytest.approx(590, rel=1e-3)


def test_unset_statistics_are_an_error_when_used():
    with pytest.raises(CheckpointError, match=r"no band statistics"):
        Normalize(BANDS)(torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool))


def test_whether_statistics_are_set_travels_in_the_state_dict(layer):
    image, valid = torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool)
    fresh = Normalize(BANDS)
    unset = Normalize(BANDS).state_dict()
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(image, valid), layer(image, valid))
    fresh.load_state_dict(unset)
    with pytest.raises(CheckpointError, match=r"no band statistics"):
        fresh(image, valid)


@pytest.mark.parametrize(("mean", "std"), [(float("nan"), 1.0), (1.0, float("inf")), (1.0, -1.0)])
def test_statistics_that_are_no_numbers_are_refused(mean, std):
    with pytest.raises(BandError, match=r"Band 'nir' has mean"):
        Normalize(BANDS).set_statistics(make_statistics(BANDS, [1.0, mean], [1.0, std]))


def test_a_band_without_statistics_is_refused():
    with pytest.raises(BandError, match=r"training statistics has the bands red, but 'nir' is needed"):
        Normalize(BANDS).set_statistics(make_statistics(["red"]))


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 4, 4), (1, 2, 3, 4, 4)])
def test_another_number_of_channels_is_refused(layer, shape):
    with pytest.raises(BandError, match=r"takes 2 bands .red, nir."):
        layer(torch.zeros(shape), torch.ones(1, 4, 4, dtype=torch.bool))


@pytest.mark.parametrize(
    "valid",
    [torch.ones(1, 4, 5, dtype=torch.bool), torch.ones(1, 4, 4), torch.ones(1, 2, 4, 4, dtype=torch.bool)],
)
def test_a_valid_that_does_not_belong_to_the_image_is_refused(layer, valid):
    with pytest.raises(ConfigError, match=r"valid must be bool"):
        layer(torch.zeros(1, 2, 4, 4), valid)
