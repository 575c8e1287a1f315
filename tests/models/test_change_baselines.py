"""Thresholds of differences: planted changes are found, and each option does what it says."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.models.change_baselines import change_vector_analysis, image_differencing, otsu
from eoseg.models.dimensions import Dimensions
from eoseg.recipe import IGNORE

FUNCTIONS = [image_differencing, change_vector_analysis]


def make_dims(bands: int = 3) -> Dimensions:
    return Dimensions(bands, 2, chip_size=64, steps=2)


def make_pair(bands: int = 3, *, batch: int = 2, size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Two dates of one textured scene: the second is brighter by half and has a planted square.

    Returns:
        Raw values, valid, and the planted change.
    """
    generator = torch.Generator().manual_seed(0)
    scene = 100 + 20 * torch.randn(batch, 1, bands, size, size, generator=generator)
    noise = torch.randn(batch, 2, bands, size, size, generator=generator)
    image = scene.expand(-1, 2, -1, -1, -1) + noise
    image[:, 1] = 1.5 * image[:, 1] + 30
    target = torch.zeros(batch, size, size, dtype=torch.long)
    target[:, 10:26, 20:36] = 1
    image[:, 1, :, 10:26, 20:36] += 150.0
    return image, torch.ones(batch, 2, size, size, dtype=torch.bool), target


def fitted(body: nn.Module, image: Tensor, valid: Tensor) -> nn.Module:
    body.collect(image, valid, torch.full(valid[:, 0].shape, IGNORE))
    body.fit()
    return body


def f1(logits: Tensor, target: Tensor) -> float:
    found = logits.softmax(dim=1)[:, 1] >= 0.5
    hits = (found & (target == 1)).sum()
    return float(2 * hits / (found.sum() + (target == 1).sum()))


@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_planted_change_is_found_without_labels(function, bands):
    image, valid, target = make_pair(bands)
    logits = fitted(function(make_dims(bands)), image, valid)(image, valid)
    assert logits.shape == (2, 2, 64, 64)
    assert f1(logits, target) > 0.95


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_probability_is_one_half_at_the_threshold(function):
    image, valid, _ = make_pair()
    body = fitted(function(make_dims()), image, valid)
    assert body.has_own_threshold
    assert body.wants_raw
    scaled = (image - body.center[:, :, None, None]) / body.scale[:, :, None, None]
    change = scaled[:, 1] - scaled[:, 0]
    magnitude = change.mean(dim=1).abs() if function is image_differencing else change.norm(dim=1)
    chance = body(image, valid).softmax(dim=1)[:, 1]
    assert torch.equal(chance >= 0.5, magnitude >= body.threshold)
    assert 0.01 < float((chance >= 0.5).float().mean()) < 0.2


def test_what_was_learned_travels_in_the_state_dict():
    image, valid, _ = make_pair()
    body = fitted(change_vector_analysis(make_dims()), image, valid)
    twin = change_vector_analysis(make_dims())
    with pytest.raises(CheckpointError, match=r"never fitted"):
        twin(image, valid)
    twin.load_state_dict(body.state_dict())
    assert torch.equal(twin(image, valid), body(image, valid))


def test_batches_count_like_one_and_are_forgotten_after_the_fit():
    image, valid, target = make_pair()
    whole, parts = change_vector_analysis(make_dims()), change_vector_analysis(make_dims())
    fitted(whole, image, valid)
    for chip in range(2):
        parts.collect(image[chip : chip + 1], valid[chip : chip + 1], target[chip : chip + 1])
    parts.fit()
    torch.testing.assert_close(parts.threshold, whole.threshold)
    with pytest.raises(DataError, match=r"No pixel is valid"):
        parts.fit()


def test_max_samples_bounds_what_is_kept():
    image, valid, target = make_pair()
    few = change_vector_analysis(make_dims(), max_samples=500)
    fitted(few, image, valid)
    all_ = fitted(change_vector_analysis(make_dims()), image, valid)
    assert few.threshold != all_.threshold
    assert few.threshold == pytest.approx(float(all_.threshold), rel=0.25)
    assert f1(few(image, valid), target) > 0.95


def test_only_pixels_valid_on_both_dates_count():
    image, valid, _ = make_pair()
    expected = fitted(change_vector_analysis(make_dims()), image[..., 8:], valid[..., 8:])
    image[:, 0, ..., :4], image[:, 1, ..., 4:8] = float("nan"), 1e6
    valid[:, 0, ..., :4], valid[:, 1, ..., 4:8] = False, False
    body = fitted(change_vector_analysis(make_dims()), image, valid)
    torch.testing.assert_close(body.threshold, expected.threshold)
    torch.testing.assert_close(body.center, expected.center)
    logits = body(image, valid)
    assert logits.isfinite().all()


def test_the_mean_filter_leaves_out_pixels_that_are_not_valid():
    image, valid, _ = make_pair()
    valid[:, :, 30:34, 30:34] = False
    body = fitted(change_vector_analysis(make_dims(), window=3), image, valid)
    other = image.clone()
    other[:, :, :, 30:34, 30:34] = float("nan")
    assert torch.equal(body(other, valid), body(image, valid))


def test_a_window_is_the_mean_of_the_pixels_around():
    image, valid, _ = make_pair(1, size=16)
    body = fitted(change_vector_analysis(make_dims(1), window=3, standardize=False), image, valid)
    logits = body(image, valid)
    means = image[0, :, 0, 4:7, 7:10].mean(dim=(1, 2))  # around row 5, column 8
    corner = image[0, :, 0, :2, :2].mean(dim=(1, 2))
    for (before, after), place in ((means, (5, 8)), (corner, (0, 0))):
        expected = body.slope * ((after - before).abs() - body.threshold)
        torch.testing.assert_close(logits[0, 1][place], expected, rtol=1e-4, atol=1e-4)


def test_speckle_is_no_change_where_a_window_is_taken():
    generator = torch.Generator().manual_seed(0)
    speckle = torch.empty(1, 2, 1, 128, 128).exponential_(generator=generator)
    target = torch.zeros(1, 128, 128, dtype=torch.long)
    target[:, 32:96, 32:96] = 1
    image = speckle * 10.0
    image[:, 1, :, 32:96, 32:96] *= 20.0
    valid = torch.ones(1, 2, 128, 128, dtype=torch.bool)
    options = {"difference": "log_ratio", "standardize": False}
    scores = [
        f1(
            fitted(change_vector_analysis(make_dims(1), window=window, **options), image, valid)(image),
            target,
        )
        for window in (1, 5)
    ]
    assert scores[1] > 0.95 > scores[0]


def test_a_log_ratio_is_the_same_at_every_brightness():
    image = torch.tensor([1.0, 10.0, 100.0, 100.0]).view(1, 1, 1, 1, 4).repeat(1, 2, 1, 1, 1)
    image[:, 1, ..., :3] *= 3.0
    valid = torch.ones(1, 2, 1, 4, dtype=torch.bool)
    body = change_vector_analysis(make_dims(1), difference="log_ratio", standardize=False)
    changed = fitted(body, image, valid)(image, valid)[0, 1, 0]
    torch.testing.assert_close(changed[:3], changed[:1].expand(3), rtol=1e-4, atol=1e-4)
    assert changed[0] > 0 > changed[3]


def test_black_pixels_have_a_finite_log_ratio():
    image, valid, _ = make_pair(1)
    image[:, 0, :, 40:44] = 0.0
    body = fitted(change_vector_analysis(make_dims(1), difference="log_ratio"), image.clamp(min=0), valid)
    assert body(image.clamp(min=0), valid).isfinite().all()


def test_one_band_is_compared_where_it_is_named():
    image, valid, target = make_pair()
    image[:, 1, 1:, 10:26, 20:36] -= 150.0  # the square now is in the first band alone
    assert f1(fitted(image_differencing(make_dims(), band=1), image, valid)(image, valid), target) > 0.95
    assert f1(fitted(image_differencing(make_dims(), band=2), image, valid)(image, valid), target) < 0.3


def test_a_gain_between_the_dates_is_no_change_once_each_is_standardized():
    image, valid, target = make_pair()
    image[:, 1] *= 4
    image[:, 1, :, 10:26, 20:36] -= 500.0  # of 600: the gain now changes the texture as much as the square
    scores = [
        f1(fitted(change_vector_analysis(make_dims(), standardize=flag), image, valid)(image, valid), target)
        for flag in (True, False)
    ]
    assert scores[0] > 0.95
    assert scores[1] < 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"band": 4}, "band is a whole number from 0 to 3, found 4"),
        ({"difference": "ratio"}, "difference is one of difference, log_ratio, found 'ratio'"),
        ({"standardize": 1}, "standardize is true or false"),
        ({"window": 4}, "window is an odd number of pixels, found 4. Take 5."),
        ({"window": 0}, "window is a whole number"),
        ({"max_samples": 1}, "max_samples is a whole number of at least 2"),
    ],
)
def test_values_outside_an_options_limits_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        image_differencing(make_dims(), **options)


def test_other_dates_or_classes_are_refused():
    with pytest.raises(ConfigError, match=r"takes 2 dates, found 1"):
        change_vector_analysis(Dimensions(3, 2))
    with pytest.raises(ConfigError, match=r"2 classes apart .unchanged, changed., found 4"):
        change_vector_analysis(Dimensions(3, 4, steps=2))


def test_class_weights_are_refused():
    image, valid, target = make_pair()
    body = change_vector_analysis(make_dims())
    body.collect(image, valid, target)
    with pytest.raises(ConfigError, match=r"takes no class weights"):
        body.fit([1.0, 2.0])


def test_a_log_ratio_of_decibels_is_refused():
    image, valid, target = make_pair()
    body = change_vector_analysis(make_dims(), difference="log_ratio")
    with pytest.raises(DataError, match=r"values of at least 0, found -"):
        body.collect(image - 200, valid, target)


def test_two_equal_dates_have_no_threshold():
    image, valid, target = make_pair()
    body = change_vector_analysis(make_dims())
    body.collect(image[:, :1].expand(-1, 2, -1, -1, -1), valid, target)
    with pytest.raises(DataError, match=r"differ by the same amount"):
        body.fit()


def test_otsu_cuts_between_two_groups():
    low, high = torch.linspace(0.0, 1.0, 300), torch.linspace(9.0, 10.0, 100)
    threshold, slope = otsu(torch.cat([low, high]))
    assert 0.9 < threshold < 9.0
    # distance of the means over the variance within: 9 / (1 / 12)
    assert slope == pytest.approx(9 * 12, rel=0.05)


def test_otsu_is_the_cut_with_the_largest_variance_between():
    generator = torch.Generator().manual_seed(3)
    values = torch.cat(
        [torch.randn(500, generator=generator), 3 + 2 * torch.randn(300, generator=generator)]
    ).double()
    threshold, _ = otsu(values)

    def between(cut: float) -> float:
        below, above = values[values < cut], values[values >= cut]
        return float(len(below) * len(above) * (below.mean() - above.mean()) ** 2)

    best = max(between(float(cut)) for cut in values.sort().values[1:])
    assert between(threshold) > 0.98 * best


@pytest.mark.real
def test_landsat_taizhou_reaches_its_reference():
    rasterio = pytest.importorskip("rasterio")
    root = os.environ.get("EOSEG_REAL_DATA")
    folder = Path(root or Path(__file__).parents[3] / "shared" / "data") / "landsat_taizhou"
    if not folder.is_dir():
        pytest.skip("no real data here")

    def read(name: str) -> np.ndarray:
        with rasterio.open(folder / name) as file:
            return file.read()

    image = torch.from_numpy(np.stack([read("t1.tif"), read("t2.tif")])[None].astype(np.float32))
    labels = read("label_0unch_1ch_255ignore.tif")[0]
    valid = torch.ones(1, 2, *image.shape[-2:], dtype=torch.bool)
    body = fitted(change_vector_analysis(make_dims(6)), image, valid)
    found = body(image, valid).argmax(dim=1)[0].numpy()[labels != IGNORE]
    true = labels[labels != IGNORE]
    agreement = (found == true).mean()
    chance = (found == 1).mean() * (true == 1).mean() + (found == 0).mean() * (true == 0).mean()
    assert (agreement - chance) / (1 - chance) == pytest.approx(0.897, abs=0.002)  # kappa
