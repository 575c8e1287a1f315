"""What all classical models do with samples, labels and bytes."""

import logging

import pytest
import torch
from classical_factory import everywhere, fit_pixels, make_body, quarters
from skops import io

from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.models.classical_methods import METHODS
from eoseg.models.dimensions import Dimensions


def collected(name: str, target: torch.Tensor | None = None, **options: object):
    image, known = quarters()
    body = make_body("pixels", name, Dimensions(2, 4, 16), **options)
    body.collect(image, everywhere(known), known if target is None else target)
    return body


def test_nothing_labelled_is_told():
    body = make_body("pixels", "random_forest", Dimensions(2, 4, 16))
    with pytest.raises(DataError, match="random_forest found nothing labelled to learn from"):
        body.fit()


def test_a_single_class_is_told():
    body = collected("linear_svm", torch.full((1, 16, 16), 2))
    with pytest.raises(DataError, match="samples of at least two classes, found class 2 alone"):
        body.fit()


def test_a_class_beyond_the_last_is_told():
    body = collected("random_forest", quarters()[1] + 1)
    with pytest.raises(DataError, match="built for the classes 0 to 3, found class 4 among the labels"):
        body.fit()


def test_fewer_samples_than_neighbours_are_told():
    body = collected("nearest_neighbours", neighbours=300)
    with pytest.raises(DataError, match="needs at least 300 samples with these options, found 256"):
        body.fit()


def test_class_weights_move_the_border():
    image = torch.linspace(-1, 1, 200).view(1, 1, 1, 200)
    generator = torch.Generator().manual_seed(0)
    target = (image[:, 0] + torch.randn(1, 1, 200, generator=generator) * 0.5 > 0).long()
    for name in METHODS:
        shares = []
        for weights in ([1.0, 1.0], [1.0, 20.0]):
            body = make_body(
                "pixels", name, Dimensions(1, 2, 1), **({"max_depth": 3} if "forest" in name else {})
            )
            body.collect(image, everywhere(target), target)
            if name == "nearest_neighbours":
                with pytest.raises(ConfigError, match="nearest_neighbours takes no class weights"):
                    body.fit(weights)
                continue
            body.fit(weights)
            shares.append((body(image).argmax(dim=1) == 1).float().mean().item())
        assert not shares or shares[1] > shares[0] + 0.1, name


@pytest.mark.parametrize("name", METHODS)
def test_a_class_that_was_not_seen_is_never_chosen(name):
    image, target = quarters()
    target = torch.where(target == 1, 3, target)  # class 1 is missing, class 3 is twice there
    body = make_body("pixels", name, Dimensions(2, 5, 16))
    body.collect(image, everywhere(target), target)
    body.fit()
    logits = body(image)
    assert logits.isfinite().all()
    assert torch.equal(logits.argmax(dim=1), target)
    assert logits.softmax(dim=1)[:, [1, 4]].max() < 1e-6


@pytest.mark.parametrize(
    "name", ["random_forest", "gradient_boosting", "nearest_neighbours", "logistic_regression"]
)
def test_logits_are_logarithms_of_probabilities(name):
    body = fit_pixels(name)
    image, _ = quarters()
    rows = image.permute(0, 2, 3, 1).flatten(0, 2)
    expected = body._unpack()[0].predict_proba(rows.numpy())
    softmax = body(image).softmax(dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(softmax.double(), torch.from_numpy(expected).double(), atol=1e-5, rtol=1e-4)


def test_two_classes_of_a_support_vector_machine_part_at_zero():
    image, target = quarters()
    body = make_body("pixels", "rbf_svm", Dimensions(2, 2, 16))
    body.collect(image, everywhere(target), target % 2)
    body.fit()
    assert body(image)[:, 0].abs().max() == 0.0
    assert torch.equal(body(image).argmax(dim=1), target % 2)


def test_threads_do_not_change_the_result(monkeypatch):
    body = fit_pixels("random_forest")
    image = torch.randn(1, 2, 30, 30, generator=torch.Generator().manual_seed(0))
    whole = body(image)
    monkeypatch.setattr("eoseg.models.classical_body._CHUNK", 100)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    assert torch.equal(body(image), whole)


def test_what_was_learned_last_counts_and_the_log_says_from_how_much(caplog):
    image, target = quarters()
    body = fit_pixels("random_forest", max_samples=100)
    body.collect(image, everywhere(target), 3 - target)
    with caplog.at_level(logging.INFO):
        body.fit()
    assert "random_forest was fitted to 100 of 256 samples with 2 features in" in caplog.text
    assert (body(image).argmax(dim=1) == 3 - target).float().mean() > 0.9


def test_a_state_that_is_loaded_replaces_what_was_unpacked():
    image, target = quarters()
    first = fit_pixels("random_forest")
    first(image)
    second = collected("random_forest", 3 - target)
    second.fit()
    first.load_state_dict(second.state_dict())
    assert torch.equal(first(image), second(image))


def test_a_stored_model_of_another_kind_is_told():
    body = fit_pixels("random_forest")
    other = make_body("pixels", "rbf_svm", Dimensions(2, 4, 16))
    other.load_state_dict(body.state_dict())
    with pytest.raises(CheckpointError, match="The stored model is no rbf_svm of 4 classes"):
        other(quarters()[0])


def test_a_checkpoint_with_a_strange_type_is_told_when_it_is_used():
    class Stranger:
        pass

    body = fit_pixels("random_forest")
    state = body.state_dict()
    globals()["Stranger"] = Stranger
    Stranger.__qualname__ = "Stranger"
    state["stored"] = torch.frombuffer(bytearray(io.dumps([Stranger()])), dtype=torch.uint8)
    body.load_state_dict(state)
    with pytest.raises(CheckpointError, match="Stranger, which none of eoseg's models has"):
        body(quarters()[0])
