"""Entropy and margin, of classes and of labels."""

import numpy as np
import pytest
import torch

from eoseg.predict.uncertainty import (
    class_entropy,
    class_uncertainty,
    label_entropy,
    label_uncertainty,
    mutual_information,
)


def pixel(*chances: float) -> torch.Tensor:
    return torch.tensor(chances).view(-1, 1, 1)


@pytest.mark.parametrize(
    ("chances", "entropy", "margin"),
    [
        ((1.0, 0.0, 0.0, 0.0), 0.0, 1.0),
        ((0.25, 0.25, 0.25, 0.25), 1.0, 0.0),
        ((0.5, 0.5, 0.0, 0.0), 0.5, 0.0),  # one bit of two
        ((0.0, 0.5, 0.25, 0.25), 0.75, 0.25),
        ((0.5, 0.5), 1.0, 0.0),
        ((1.0,), 0.0, 1.0),
    ],
)
def test_classes_of_known_entropy_and_margin(
    chances: tuple[float, ...], entropy: float, margin: float
) -> None:
    assert class_uncertainty(pixel(*chances)).flatten().tolist() == pytest.approx([entropy, margin], abs=1e-6)


@pytest.mark.parametrize(
    ("chances", "entropy", "margin"),
    [
        ((0.0, 1.0, 0.0), 0.0, 1.0),
        ((0.5, 0.5, 0.5), 1.0, 0.0),
        ((1.0, 0.5, 0.0, 1.0), 0.25, 0.0),
        ((0.9, 0.2), (0.468996 + 0.721928) / 2, 0.6),
    ],
)
def test_labels_of_known_entropy_and_margin(
    chances: tuple[float, ...], entropy: float, margin: float
) -> None:
    assert label_uncertainty(pixel(*chances)).flatten().tolist() == pytest.approx([entropy, margin], abs=1e-6)


def test_each_pixel_is_measured_on_its_own_and_stays_within_bounds() -> None:
    chances = torch.rand(5, 7, 9, generator=torch.Generator().manual_seed(0)).softmax(dim=0)
    found = class_uncertainty(chances).numpy()
    array = chances.numpy().astype(float)
    ordered = np.sort(array, axis=0)
    np.testing.assert_allclose(found[0], -(array * np.log(array)).sum(axis=0) / np.log(5), atol=1e-6)
    np.testing.assert_allclose(found[1], ordered[-1] - ordered[-2], atol=1e-6)
    assert ((found >= 0) & (found <= 1)).all()


def test_entropies_of_batches_are_those_of_each_image() -> None:
    chances = torch.rand(2, 5, 7, 9, generator=torch.Generator().manual_seed(0))
    classes = chances.softmax(dim=1)
    for found, each in (
        (class_entropy(classes), [class_uncertainty(one)[:1] for one in classes]),
        (label_entropy(chances), [label_uncertainty(one)[:1] for one in chances]),
    ):
        assert found.shape == (2, 1, 7, 9)
        torch.testing.assert_close(found, torch.stack(each))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([(1.0, 0.0), (0.0, 1.0)], 1.0),  # each is sure, of another class
        ([(0.5, 0.5), (0.5, 0.5)], 0.0),  # all are unsure alike: no network knows more
        ([(1.0, 0.0), (1.0, 0.0)], 0.0),
        ([(1.0, 0.0), (0.5, 0.5)], 0.811278 - 0.5),
    ],
)
def test_mutual_information_is_what_networks_disagree_about(
    members: list[tuple[float, float]], expected: float
) -> None:
    each = torch.stack([pixel(*chances) for chances in members])
    found = mutual_information(class_entropy(each.mean(dim=0)), class_entropy(each).mean(dim=0))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_rounding_gives_no_negative_information() -> None:
    assert mutual_information(torch.tensor([0.5, 2.0]), torch.tensor([0.6, 0.5])).tolist() == [0.0, 1.0]
