"""Classical models of pixels and of series: what they look at, and what they refuse."""

import pytest
import torch
from classical_factory import everywhere, fit_pixels, make_body, quarters

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError, DataError
from eoseg.models.classical_methods import METHODS, REGRESSORS
from eoseg.models.dimensions import Dimensions


def test_a_map_of_any_size_is_local_and_has_no_halo():
    body = fit_pixels("random_forest")
    assert (body.output_stride, body.halo) == (1, 0)
    image, target = quarters()
    assert torch.equal(body(image).argmax(dim=1), target)
    assert torch.equal(body(image[:, :, 3:8, 2:13]), body(image)[:, :, 3:8, 2:13])


@pytest.mark.parametrize("name", METHODS)
def test_a_tile_with_the_halo_has_exactly_the_logits_of_the_whole(name):
    body = fit_pixels(name, features="texture", window=3)
    image = torch.randn(1, 2, 40, 50, generator=torch.Generator().manual_seed(1))
    halo = body.halo
    assert halo == 2
    whole = body(image)[:, :, 10:33, 12:41]
    tile = body(image[:, :, 10 - halo : 33 + halo, 12 - halo : 41 + halo])[:, :, halo:-halo, halo:-halo]
    if name in ("linear_svm", "logistic_regression"):  # products of matrices round by their size
        torch.testing.assert_close(tile, whole, rtol=1e-5, atol=1e-5)
        assert torch.equal(tile.argmax(dim=1), whole.argmax(dim=1))
    else:
        assert torch.equal(tile, whole)


def test_a_large_image_is_mapped_in_strips_with_the_same_result(monkeypatch):
    body = fit_pixels("random_forest", features="texture", window=5)
    images = torch.randn(2, 2, 30, 20, generator=torch.Generator().manual_seed(1))
    whole = body(images)
    monkeypatch.setattr("eoseg.models.classical_body._VALUES", 8 * 20 * 4)  # four rows at a time
    assert torch.equal(body(images), whole)
    monkeypatch.setattr("eoseg.models.classical_body._VALUES", 1)  # never less than a row
    assert torch.equal(body(images), whole)


def test_unlabelled_pixels_and_pixels_without_values_are_not_learned():
    image, target = quarters()
    target, valid = target.clone(), everywhere(target)
    target[:, :8, :8] = IGNORE  # class 0 is nowhere labelled
    valid[:, 8:, 8:] = False  # class 3 has no values
    body = make_body("pixels", "random_forest", Dimensions(2, 4, 16))
    body.collect(image, valid, target)
    body.fit()
    assert body(image).argmax(dim=1).unique().tolist() == [1, 2]


def test_a_batch_without_labels_changes_nothing():
    image, target = quarters()
    body = make_body("pixels", "random_forest", Dimensions(2, 4, 16), features="texture")
    for mask in (torch.full_like(target, IGNORE), target, torch.full_like(target, IGNORE)):
        body.collect(image, everywhere(target), mask)
    body.fit()
    assert torch.equal(body(image), fit_pixels("random_forest", features="texture")(image))


def test_texture_tells_apart_what_the_bands_cannot():
    size = 32
    image = torch.ones(1, 1, size, size)
    image[..., size // 2 :] = (1.0 - 2.0 * (torch.arange(size) % 2))[:, None]  # half of its pixels are 1 too
    target = (torch.arange(size) >= size // 2).long().expand(1, size, size)

    def accuracy(**options):
        body = make_body("pixels", "random_forest", Dimensions(1, 2, size), **options)
        body.collect(image, everywhere(target), target)
        body.fit()
        return (body(image).argmax(dim=1) == target).float().mean().item()

    assert accuracy() == 0.75
    assert accuracy(features="texture", window=5) > 0.97


def test_the_window_changes_what_is_seen():
    image, _ = quarters()
    small = fit_pixels("random_forest", features="texture", window=3)
    large = fit_pixels("random_forest", features="texture", window=7)
    assert (small.halo, large.halo) == (2, 4)
    assert not torch.equal(small(image), large(image))


def test_options_of_features_are_checked():
    with pytest.raises(ConfigError, match="window is for features: texture"):
        make_body("pixels", "rbf_svm", Dimensions(2, 4), window=5)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_learn_a_quantity_from_the_pixels_that_have_one(name):
    ramp = torch.linspace(-2, 2, 400).view(1, 1, 20, 20)
    target = ramp[:, 0].square().clone()
    target[:, ::2] = torch.nan
    body = make_body("pixels", name, Dimensions(1, 1, 20))
    body.collect(ramp, everywhere(target), target)
    body.fit()
    estimate = body(ramp)
    assert estimate.shape == (1, 1, 20, 20)
    assert (estimate[0, 0, 1::2] - ramp[0, 0, 1::2].square()).abs().mean() < 0.1
    with pytest.raises(ConfigError, match=f"{name} estimates one quantity, found 4 classes"):
        make_body("pixels", name, Dimensions(1, 4))


def test_a_classifier_refuses_to_estimate_a_quantity():
    with pytest.raises(
        ConfigError, match="rbf_svm gives classes, found one output. For a quantity take random_f"
    ):
        make_body("pixels", "rbf_svm", Dimensions(3, 1))


def seasons() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two classes that only the second of three dates tells apart; 2 x 8 x 8 pixels of one band."""
    target = (torch.arange(8) % 2).expand(2, 8, 8).contiguous()
    image = torch.zeros(2, 3, 1, 8, 8)
    image[:, 1, 0] = 2.0 * target - 1.0
    image += 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return image, torch.ones(2, 3, 8, 8, dtype=torch.bool), torch.tensor([[10.0, 90.0, 200.0]] * 2), target


def fit_series(name: str = "random_forest"):
    image, valid, days, target = seasons()
    body = make_body("series", name, Dimensions(1, 2, 8, 3))
    body.collect(image, valid, target, days=days)
    body.fit()
    return body


def test_a_series_is_told_by_its_dates():
    image, valid, days, target = seasons()
    body = fit_series()
    assert body.halo == 0
    logits = body(image, valid, days)
    assert logits.shape == (2, 2, 8, 8)
    assert torch.equal(logits.argmax(dim=1), target)
    swapped = body(image[:, [1, 0, 2]], valid, days).argmax(dim=1)
    assert (swapped == target).float().mean() < 0.8


def test_what_an_invalid_date_holds_does_not_matter_and_the_days_do():
    image, valid, days, _ = seasons()
    body = fit_series("rbf_svm")
    valid[:, 1, :4] = False
    other = image.masked_fill(~valid[:, :, None], float("nan"))
    assert torch.equal(body(image, valid, days), body(other, valid, days))
    image[:, 2] = 1.0
    late = torch.tensor([[10.0, 199.0, 200.0]] * 2)  # a gap is filled by what is nearest in time
    assert not torch.equal(body(image, valid, days), body(image, valid, late))


def test_pixels_that_were_never_seen_are_not_learned():
    image, valid, days, target = seasons()
    valid[:, :, :, 1::2] = False  # all pixels of class 1
    body = make_body("series", "random_forest", Dimensions(1, 2, 8, 3))
    body.collect(image, valid, target, days=days)
    with pytest.raises(DataError, match="found class 0 alone"):
        body.fit()


def test_another_number_of_dates_is_refused():
    image, valid, days, target = seasons()
    body = fit_series()
    with pytest.raises(ConfigError, match="takes series of 3 dates with their days, found 2 dates"):
        body(image[:, :2], valid[:, :2], days[:, :2])
    with pytest.raises(ConfigError, match="found 3 dates without days"):
        body.collect(image, valid, target)
