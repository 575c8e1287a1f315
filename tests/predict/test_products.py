"""From logits to what is written: classes, labels and quantities."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from raster_factory import write_layer
from rasterio.crs import CRS

from eoseg.errors import CheckpointError
from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import map_kind
from eoseg.geo.valuefile import read_value_info
from eoseg.predict.options import ValueRange
from eoseg.predict.product import Layers, Product, Summary
from eoseg.predict.products import ClassProduct, LabelProduct, ValueProduct
from eoseg.recipe import Quantity, parse_classes

GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 2, 3)
VALID = np.array([[True, True, False], [True, True, True]])
TWO = parse_classes(["no", "yes"])
HEIGHT = Quantity("height", "m")


def logits(*rows: list[list[float]]) -> torch.Tensor:
    """`(K, 2, 3)`: a class after the other."""
    return torch.tensor(rows, dtype=torch.float32)


# Logarithms of odds of the second class: its probability is 0.5, 0.7, 0.3; 0.2, 0.9 and 0.6.
ODDS = torch.logit(torch.tensor([[0.5, 0.7, 0.3], [0.2, 0.9, 0.6]]))
BINARY = torch.stack([torch.zeros_like(ODDS), ODDS])


def written(product: Product, layers: Layers, folder: Path) -> tuple[list[np.ndarray], Summary]:
    """Write one tile that is the whole scene, and read all files."""
    paths, found = product.paths(folder / "map.tif"), []
    for path, layer, values in zip(paths, product.layers(), layers, strict=True):
        counts = write_layer(path, GRID, layer, values).counts[0]
        if path == paths[0]:
            summary = product.summary(counts)
        with rasterio.open(path) as dataset:
            found.append(dataset.read())
    return found, summary


def test_the_class_is_the_likeliest() -> None:
    (classes,) = ClassProduct(parse_classes(["a", "b", "c"])).decode(
        logits([[0, 5, 5], [0, 1, 0]], [[1, 0, 0], [2, 2, 0]], [[0, 0, 0], [3, 0, 1]]), VALID
    )
    assert classes.tolist() == [[1, 0, 255], [2, 1, 2]]
    assert classes.dtype == np.uint8


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (None, [[0, 1, 255], [0, 1, 1]]),  # a tie goes to the first
        (0.65, [[0, 1, 255], [0, 1, 0]]),
        (0.15, [[1, 1, 255], [1, 1, 1]]),
        (0.95, [[0, 0, 255], [0, 0, 0]]),
    ],
)
def test_the_second_class_is_mapped_from_its_threshold_on(
    threshold: float | None, expected: list[list[int]]
) -> None:
    (classes,) = ClassProduct(TWO, threshold=threshold).decode(BINARY, VALID)
    assert classes.tolist() == expected


def test_the_threshold_itself_belongs_to_the_second_class() -> None:
    (classes,) = ClassProduct(TWO, threshold=0.5).decode(BINARY, VALID)
    assert classes[0, 0] == 1


def test_probabilities_go_beside_the_classes(tmp_path: Path) -> None:
    product = ClassProduct(TWO, threshold=0.65, probabilities=True)
    (classes, shares), summary = written(product, product.decode(BINARY, VALID), tmp_path)
    assert classes[0].tolist() == [[0, 1, 255], [0, 1, 0]]
    np.testing.assert_allclose(shares[1][VALID] / 250, [0.5, 0.7, 0.2, 0.9, 0.6], atol=0.0021)
    assert (shares[:, ~VALID] == 255).all()
    assert summary == Summary(5, (3, 2))


def test_each_label_holds_on_its_own(tmp_path: Path) -> None:
    product = LabelProduct(parse_classes(["a", "b", "c"]), probabilities=True)
    chances = torch.tensor(
        [[[0.9, 0.1, 0.9], [0.6, 0.4, 0.2]], [[0.8, 0.2, 0.9], [0.1, 0.1, 0.1]], [[0.1, 0.1, 0.1]] * 2]
    )
    (labels, shares), summary = written(product, product.decode(torch.logit(chances), VALID), tmp_path)
    assert labels[0].tolist() == [[1, 0, 255], [1, 0, 0]]
    assert labels[1].tolist() == [[1, 0, 255], [0, 0, 0]]
    assert labels[2].tolist() == [[0, 0, 255], [0, 0, 0]]
    np.testing.assert_allclose(shares[:, VALID] / 250, chances.numpy()[:, VALID], atol=0.0021)
    assert summary == Summary(5, (2, 1, 0))
    assert map_kind(tmp_path / "map.tif") == "labels"


def test_a_quantity_is_written_as_it_is(tmp_path: Path) -> None:
    product = ValueProduct(HEIGHT, tolerance=0.5)
    values = torch.tensor([[[1.5, -2.25, 99.0], [0.0, 3.5, 7.25]]])
    (found,), summary = written(product, product.decode(values, VALID), tmp_path)
    np.testing.assert_array_equal(found[0], [[1.5, -2.25, np.nan], [0.0, 3.5, 7.25]])
    assert summary == Summary(5, values=ValueRange(HEIGHT, -2.25, 2.0, 7.25))
    assert read_value_info(tmp_path / "map.tif").quantity == HEIGHT


@pytest.mark.parametrize("make", [ClassProduct, LabelProduct])
@pytest.mark.parametrize("probabilities", [False, True])
def test_an_empty_core_has_nodata_in_all_files(tmp_path: Path, make: type, probabilities: bool) -> None:
    product = make(TWO, probabilities=probabilities)
    found, summary = written(product, product.empty(2, 3), tmp_path)
    assert len(found) == 1 + probabilities
    assert all((layer == 255).all() for layer in found)
    assert summary.valid_pixels == 0


def test_an_empty_core_of_a_quantity_is_nan(tmp_path: Path) -> None:
    product = ValueProduct(HEIGHT, tolerance=0.5)
    (found,), summary = written(product, product.empty(2, 3), tmp_path)
    assert np.isnan(found).all()
    assert summary == Summary(0)


def check_comparison(
    product: Product, first: np.ndarray, second: np.ndarray, *, known: list[int], differs: list[int]
) -> None:
    assert product.known(first).astype(int).tolist() == [known]
    assert product.differs(first, second).astype(int).tolist() == [differs]


def test_maps_of_classes_are_compared_where_there_is_a_class() -> None:
    first, second = np.array([[[0, 1, 255, 1]]]), np.array([[[0, 0, 255, 1]]])
    check_comparison(ClassProduct(TWO), first, second, known=[1, 1, 0, 1], differs=[0, 1, 0, 0])


def test_maps_of_labels_are_compared_pixel_by_pixel() -> None:
    first = np.array([[[0, 1, 255]], [[0, 1, 255]]])
    second = np.array([[[1, 1, 255]], [[0, 1, 255]]])
    check_comparison(LabelProduct(TWO), first, second, known=[1, 1, 0], differs=[1, 0, 0])


def test_values_are_compared_up_to_the_tolerance() -> None:
    first, second = np.array([[[0.0, 1.0, np.nan, 3.0]]]), np.array([[[0.4, 1.6, np.nan, 3.0]]])
    product = ValueProduct(HEIGHT, tolerance=0.5)
    check_comparison(product, first, second, known=[1, 1, 0, 1], differs=[0, 1, 0, 0])
    assert not product.ties(torch.zeros(1, 2, 3), 0.1).any()


def test_classes_tie_where_their_probabilities_are_close() -> None:
    logits = torch.tensor([[[0.0, 0.0, 0.0]], [[1e-5, 0.01, -1e-5]]])
    assert ClassProduct(TWO).ties(logits, 1e-4).tolist() == [[True, False, True]]
    assert ClassProduct(TWO, threshold=0.5025).ties(logits, 1e-4).tolist() == [[False, True, False]]
    assert LabelProduct(TWO).ties(logits[1:].expand(2, -1, -1), 1e-4).tolist() == [[True, False, True]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("product", [ClassProduct(TWO), LabelProduct(TWO)])
def test_logits_that_are_no_numbers_are_refused(product: Product, value: float) -> None:
    with pytest.raises(CheckpointError, match="no finite numbers"):
        product.decode(torch.full((2, 2, 3), value), VALID)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_an_estimate_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(CheckpointError, match="no finite numbers"):
        ValueProduct(HEIGHT, tolerance=1).decode(torch.full((1, 2, 3), value), VALID)


@pytest.mark.parametrize(
    ("product", "outputs"),
    [
        (ClassProduct(parse_classes(["a", "b", "c"])), 3),
        (LabelProduct(parse_classes(["a", "b", "c"])), 3),
        (ValueProduct(HEIGHT, tolerance=0.5), 1),
    ],
)
def test_scores_become_logits_that_have_these_scores(product: Product, outputs: int) -> None:
    given = 3 * torch.randn(2, outputs, 4, 5, generator=torch.Generator().manual_seed(0))
    scores = product.scores(given)
    torch.testing.assert_close(product.scores(product.logits(scores)), scores)
    for before, after in zip(
        product.decode(given[0], np.ones((4, 5), np.bool_)),
        product.decode(product.logits(scores)[0], np.ones((4, 5), np.bool_)),
        strict=True,
    ):
        np.testing.assert_allclose(before, after, rtol=1e-5)


def test_scores_of_classes_sum_to_one_and_a_probability_of_nought_has_a_logit() -> None:
    product = ClassProduct(TWO)
    certain = torch.tensor([1.0, 0.0]).view(2, 1, 1)
    torch.testing.assert_close(product.scores(200 * certain), certain)
    assert product.logits(certain).isfinite().all()
    assert LabelProduct(TWO).logits(certain).isfinite().all()
