import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eoseg.errors import DataError
from eoseg.metrics import confusion_matrix, score, score_labels, score_values
from eoseg.recipe import IGNORE

NAMES = ["water", "wood", "field", "town"]


def slow_matrix(reference, predicted, num_classes):
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    for row, column in zip(reference.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        if row != IGNORE and column != IGNORE:
            matrix[row, column] += 1
    return matrix


labels = st.sampled_from([0, 1, 2, 3, IGNORE])
maps = hnp.arrays(np.uint8, st.tuples(st.integers(0, 12), st.integers(1, 12)), elements=labels)


@st.composite
def pairs(draw):
    reference = draw(maps)
    return reference, draw(hnp.arrays(np.uint8, reference.shape, elements=labels))


@given(pairs())
def test_counts_equal_a_loop_over_pixels(pair):
    matrix = confusion_matrix(*pair, 4)
    assert matrix.dtype == np.int64
    assert np.array_equal(matrix, slow_matrix(*pair, 4))


@given(pairs(), st.integers(0, 12))
def test_counts_of_two_parts_add_up_to_those_of_the_whole(pair, cut):
    reference, predicted = pair
    parts = [confusion_matrix(reference[rows], predicted[rows], 4) for rows in (slice(cut), slice(cut, None))]
    assert np.array_equal(sum(parts), confusion_matrix(reference, predicted, 4))


@settings(deadline=None)
@given(pairs())
def test_figures_equal_those_of_scikit_learn(pair):
    from sklearn import metrics as sk

    known = (pair[0] != IGNORE) & (pair[1] != IGNORE)
    reference, predicted = (array[known] for array in pair)
    scores = score(confusion_matrix(*pair, 4), NAMES)
    if reference.size == 0:
        assert scores.overall_accuracy is None
        return
    assert scores.overall_accuracy == pytest.approx(sk.accuracy_score(reference, predicted))
    occurring = np.unique(reference)  # scikit-learn's means, over the classes of the reference alone
    options = {"labels": occurring, "average": None, "zero_division": 0}
    assert scores.mean_iou == pytest.approx(np.mean(sk.jaccard_score(reference, predicted, **options)))
    assert scores.mean_f1 == pytest.approx(np.mean(sk.f1_score(reference, predicted, **options)))
    recall = sk.recall_score(reference, predicted, **options)
    assert scores.balanced_accuracy == pytest.approx(np.mean(recall))
    precision = sk.precision_score(reference, predicted, **options)
    for index, found, right in zip(occurring.tolist(), recall, precision, strict=True):
        entry = scores.classes[index]
        assert entry.producers_accuracy == pytest.approx(found)
        assert (entry.users_accuracy or 0) == pytest.approx(right)
    if np.unique(np.concatenate([reference, predicted])).size > 1:
        assert scores.kappa == pytest.approx(sk.cohen_kappa_score(reference, predicted), abs=1e-12)


@given(pairs())
def test_every_figure_is_undefined_or_within_its_range(pair):
    scores = score(confusion_matrix(*pair, 4), NAMES)
    figures = [scores.overall_accuracy, scores.balanced_accuracy, scores.mean_iou, scores.mean_f1]
    for entry in scores.classes:
        figures += [entry.iou, entry.f1, entry.users_accuracy, entry.producers_accuracy]
    assert all(figure is None or 0 <= figure <= 1 for figure in figures)
    assert scores.kappa is None or -1 <= scores.kappa <= 1


def test_a_small_matrix_gives_the_figures_worked_out_by_hand():
    scores = score([[30, 10], [5, 55]], ["wood", "other"])
    assert scores.overall_accuracy == 0.85
    assert scores.kappa == pytest.approx((0.85 - (0.4 * 0.35 + 0.6 * 0.65)) / (1 - (0.4 * 0.35 + 0.6 * 0.65)))
    wood = scores.classes[0]
    assert (wood.producers_accuracy, wood.users_accuracy) == (30 / 40, 30 / 35)
    assert (wood.iou, wood.f1) == (30 / 45, 60 / 75)
    assert (wood.reference_pixels, wood.mapped_pixels) == (40, 35)
    assert scores.balanced_accuracy == pytest.approx((30 / 40 + 55 / 60) / 2)


def test_a_class_without_reference_is_undefined_and_left_out_of_means_even_if_it_is_mapped():
    scores = score([[8, 0, 2], [0, 10, 0], [0, 0, 0]], ["water", "wood", "town"])
    town = scores.classes[2]
    assert (town.iou, town.f1, town.producers_accuracy) == (None, None, None)
    assert town.users_accuracy == 0
    assert scores.mean_iou == pytest.approx((8 / 10 + 1) / 2)
    assert scores.balanced_accuracy == pytest.approx((8 / 10 + 1) / 2)


def test_a_class_that_is_not_mapped_has_no_users_accuracy_but_counts_as_zero_elsewhere():
    wood = score([[10, 0], [4, 0]], ["water", "wood"]).classes[1]
    assert wood.users_accuracy is None
    assert (wood.iou, wood.f1, wood.producers_accuracy) == (0, 0, 0)


def test_an_empty_matrix_leaves_everything_undefined():
    scores = score(np.zeros((2, 2), dtype=np.int64), ["a", "b"]).to_dict()
    for entry in scores.pop("classes"):
        assert {
            value for key, value in entry.items() if key not in ("name", "reference_pixels", "mapped_pixels")
        } == {None}
        assert entry["reference_pixels"] == entry["mapped_pixels"] == 0
    assert set(scores.values()) == {None}


def test_kappa_is_undefined_where_chance_alone_agrees():
    scores = score([[7, 0], [0, 0]], ["a", "b"])
    assert scores.overall_accuracy == 1
    assert scores.kappa is None


def test_counts_beyond_32_bits_do_not_overflow():
    large = 3_000_000_000
    scores = score([[large, large], [0, 2 * large]], ["a", "b"])
    assert scores.overall_accuracy == 0.75
    assert scores.kappa == pytest.approx(0.5)


def test_scores_are_plain_values():
    values = score([[3, 1], [0, 0]], ["a", "b"]).to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["classes"][0]["name"] == "a"


@pytest.mark.parametrize(
    ("reference", "predicted", "message"),
    [
        ([0, 4], [0, 1], r"reference holds the value 4, which is no class: expected 0 to 3, or 255"),
        ([0, -1], [0, 1], r"reference holds the value -1"),
        ([0, 1], [0, 9], r"map holds the value 9"),
        ([7, 6, 5, 8, 9, 4], [0] * 6, r"value 4, 5, 6, 7, 8, \.\.\.,"),
        ([0, 1], [0, 1, 2], r"one shape, found \(2,\) and \(3,\)"),
        ([0.0, 1.0], [0, 1], r"reference must hold whole numbers, found float64"),
        ([0, 1], [True, False], r"map must hold whole numbers, found bool"),
    ],
)
def test_what_is_no_class_is_refused_by_name(reference, predicted, message):
    with pytest.raises(DataError, match=message):
        confusion_matrix(reference, predicted, 4)


@pytest.mark.parametrize("num_classes", [0, 256])
def test_an_impossible_number_of_classes_is_refused(num_classes):
    with pytest.raises(DataError, match=rf"1 to 255 classes, found {num_classes}"):
        confusion_matrix([], [], num_classes)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 2, 3]], r"of 2 classes is square, found shape \(1, 3\)"),
        ([[1]], r"of 2 classes is square"),
        ([[1, -1], [0, 0]], r"holds counts"),
        ([[0.5, 0.5], [0.0, 0.0]], r"holds counts, found float64"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(matrix, message):
    with pytest.raises(DataError, match=message):
        score(matrix, ["a", "b"])


@given(st.integers(1, 12), st.integers(0, 2**20))
def test_figures_of_several_labels_equal_those_of_scikit_learn(chips, seed):
    from sklearn import metrics as sk

    rng = np.random.default_rng(seed)
    truth, found = rng.integers(0, 2, (2, chips, 4))
    scores = score_labels(sk.multilabel_confusion_matrix(truth, found), NAMES)
    options = {"zero_division": 0}
    f1 = sk.f1_score(truth, found, average=None, **options)
    occurring = truth.any(axis=0)
    assert [value is not None for value in scores.f1] == occurring.tolist()
    for value, expected in zip(scores.f1, f1, strict=True):
        assert value is None or value == pytest.approx(expected)
    if occurring.any():
        assert scores.mean_f1 == pytest.approx(f1[occurring].mean())
        assert scores.micro_f1 == pytest.approx(sk.f1_score(truth, found, average="micro", **options))
    else:
        assert scores.mean_f1 is None
    assert scores.labels_right == pytest.approx(1 - sk.hamming_loss(truth, found))


def test_labels_that_nobody_has_or_names_leave_everything_but_the_answers_undefined():
    scores = score_labels([[[7, 0], [0, 0]]], ["a"])
    assert (scores.f1, scores.mean_f1, scores.micro_f1, scores.labels_right) == ((None,), None, None, 1.0)
    nothing = score_labels(np.zeros((1, 2, 2), int), ["a"])
    assert nothing.labels_right is None


def test_tables_of_another_number_of_labels_are_refused():
    with pytest.raises(DataError, match=r"shape \(4, 2, 2\), found \(1, 2, 2\)"):
        score_labels([[[7, 0], [0, 0]]], NAMES)


finite = st.floats(-100, 100, allow_nan=False, width=32)


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=30), st.floats(-50, 50))
def test_errors_of_values_follow_from_their_sums(pairs, center):
    reference, estimate = np.array(pairs, dtype=np.float64).T
    error, away = estimate - reference, reference - center
    sums = (error.sum(), abs(error).sum(), (error**2).sum(), away.sum(), (away**2).sum())
    scores = score_values(len(pairs), *sums)
    assert scores.rmse == pytest.approx(np.sqrt((error**2).mean()), abs=1e-9)
    assert scores.mae == pytest.approx(abs(error).mean(), abs=1e-9)
    assert scores.bias == pytest.approx(error.mean(), abs=1e-9)
    if reference.var() > 1e-6:
        assert scores.r2 == pytest.approx(1 - (error**2).mean() / reference.var(), rel=1e-6, abs=1e-6)


def test_r2_is_undefined_where_the_reference_does_not_vary():
    scores = score_values(2, 2.0, 2.0, 2.0, 0.0, 0.0)
    assert (scores.rmse, scores.mae, scores.bias, scores.r2) == (1.0, 1.0, 1.0, None)


def test_without_values_there_are_no_errors():
    scores = score_values(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert (scores.rmse, scores.mae, scores.bias, scores.r2) == (None, None, None, None)
