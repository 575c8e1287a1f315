"""Each loss against an obvious implementation that loops over classes and pixels in numpy."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError, DataError
from eoseg.losses import LOSSES, LossTerm, build_loss

CASES = [(1, 2, 1, 1), (2, 3, 5, 7), (1, 6, 16, 16), (3, 4, 8, 8)]  # B, K, H, W
WEIGHTS = {2: [1.0, 3.0], 3: [1.0, 0.5, 4.0], 4: [1.0, 2.0, 0.0, 5.0], 6: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}


def make_case(case, *, ignored=0.2, seed=0):
    batch, classes, height, width = case
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(case, generator=generator)
    mask = torch.randint(0, classes, (batch, height, width), generator=generator)
    mask[torch.rand(mask.shape, generator=generator) < ignored] = IGNORE
    return logits, mask


# References: float64, pixels as rows


def rows_of(logits, mask):
    x = logits.double().numpy().transpose(0, 2, 3, 1).reshape(-1, logits.shape[1])
    y = mask.numpy().ravel()
    x, y = x[y != IGNORE], y[y != IGNORE]
    p = np.exp(x - x.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), y


def mean_over_present(values, y, w):
    present = [k for k in range(len(values)) if (y == k).any()]
    total = sum(w[k] for k in present)
    return sum(w[k] * values[k] for k in present) / total if total else 0.0


def slow_cross_entropy(p, y, w, label_smoothing=0.0):
    classes, top, bottom = p.shape[1], 0.0, 0.0
    for row, label in zip(p, y, strict=True):
        top -= (1 - label_smoothing) * w[label] * math.log(row[label])
        top -= sum(label_smoothing / classes * w[k] * math.log(row[k]) for k in range(classes))
        bottom += w[label]
    return top / bottom if bottom else 0.0


def slow_focal(p, y, w, gamma=2.0):
    top = sum(
        -w[label] * (1 - row[label]) ** gamma * math.log(row[label]) for row, label in zip(p, y, strict=True)
    )
    bottom = sum(w[label] for label in y)
    return top / bottom if bottom else 0.0


def slow_tversky(p, y, w, alpha=0.5, beta=0.5):
    values = []
    for k in range(p.shape[1]):
        hit = p[y == k, k].sum()
        false_positive = p[y != k, k].sum()
        false_negative = (1 - p[y == k, k]).sum()
        denominator = hit + alpha * false_positive + beta * false_negative
        values.append(1 - hit / denominator if denominator else 0.0)
    return mean_over_present(values, y, w)


def slow_dice(p, y, w):
    values = []
    for k in range(p.shape[1]):
        g = (y == k).astype(float)
        values.append(1 - 2 * (p[:, k] * g).sum() / (p[:, k].sum() + g.sum()) if g.any() else 0.0)
    return mean_over_present(values, y, w)


def slow_jaccard(p, y, w):
    values = []
    for k in range(p.shape[1]):
        g = (y == k).astype(float)
        both = (p[:, k] * g).sum()
        values.append(1 - both / (p[:, k].sum() + g.sum() - both) if g.any() else 0.0)
    return mean_over_present(values, y, w)


def slow_lovasz(p, y, w):
    """Definition 1 of Berman et al.: sorted errors times the rise of the Jaccard loss of sets of errors."""
    values = []
    for k in range(p.shape[1]):
        g = y == k
        errors = np.where(g, 1 - p[:, k], p[:, k])
        value, wrong, before = 0.0, np.zeros_like(g), 0.0
        for pixel in np.argsort(-errors, kind="stable") if g.any() else ():
            wrong[pixel] = True
            # The set where prediction differs from truth is `wrong`: |wrong| / |truth or wrong|
            loss = wrong.sum() / (g | wrong).sum()
            value += errors[pixel] * (loss - before)
            before = loss
        values.append(value)
    return mean_over_present(values, y, w)


def slow_perceptron(p, y, w):
    top = bottom = 0.0
    for row, label in zip(np.log(p), y, strict=True):  # log p differs from the logits by a constant
        rival = max(value for k, value in enumerate(row) if k != label)
        top += w[label] * max(0.0, rival - row[label])
        bottom += w[label]
    return top / bottom if bottom else 0.0


REFERENCES = {
    "cross_entropy": slow_cross_entropy,
    "focal": slow_focal,
    "dice": slow_dice,
    "jaccard": slow_jaccard,
    "lovasz": slow_lovasz,
    "perceptron": slow_perceptron,
    "tversky": slow_tversky,
}
OPTIONS = [
    *((name, {}) for name in REFERENCES),
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 5.0}),
    ("tversky", {"alpha": 0.3, "beta": 0.7}),
    ("tversky", {"alpha": 1.0, "beta": 0.0}),
    ("tversky", {"alpha": 0.0, "beta": 1.0}),
]


def test_every_loss_has_a_reference():
    assert REFERENCES.keys() == LOSSES.keys()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "args"), OPTIONS)
def test_each_loss_equals_its_reference(name, args, case, weighted):
    weights = WEIGHTS[case[1]] if weighted else None
    logits, mask = make_case(case)
    loss = build_loss([LossTerm(name, args=args)], num_classes=case[1], class_weights=weights)
    expected = REFERENCES[name](*rows_of(logits, mask), weights or [1.0] * case[1], **args)
    assert loss(logits, mask).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 4.0]])
def test_cross_entropy_is_that_of_torch(weights, smoothing):
    logits, mask = make_case((2, 3, 9, 9))
    loss = build_loss(
        [LossTerm("cross_entropy", args={"label_smoothing": smoothing})], num_classes=3, class_weights=weights
    )
    expected = functional.cross_entropy(
        logits,
        mask,
        weight=None if weights is None else torch.tensor(weights),
        ignore_index=IGNORE,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(loss(logits, mask), expected)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LossTerm("focal", args={"gamma": 0.0}), LossTerm("cross_entropy")),
        (LossTerm("tversky", args={"alpha": 0.5, "beta": 0.5}), LossTerm("dice")),
        (LossTerm("tversky", args={"alpha": 1.0, "beta": 1.0}), LossTerm("jaccard")),
    ],
)
def test_losses_that_are_special_cases_agree(first, second):
    logits, mask = make_case((2, 4, 8, 8))
    values = [
        build_loss([term], num_classes=4, class_weights=WEIGHTS[4])(logits, mask) for term in (first, second)
    ]
    torch.testing.assert_close(values[0], values[1])


def test_lovasz_equals_the_jaccard_index_where_the_map_is_certain():
    _, mask = make_case((1, 3, 12, 12), ignored=0.0)
    guess = torch.randint(0, 3, mask.shape, generator=torch.Generator().manual_seed(5))
    certain = 1000.0 * functional.one_hot(guess, 3).movedim(-1, 1)
    ious = [((guess == k) & (mask == k)).sum() / ((guess == k) | (mask == k)).sum() for k in range(3)]
    assert build_loss("lovasz", num_classes=3)(certain, mask).item() == pytest.approx(
        1 - np.mean(ious), rel=1e-5
    )


def test_lovasz_keeps_its_digits_on_a_large_batch():
    logits, mask = make_case((1, 2, 1000, 1500), ignored=0.0)
    mask = torch.where(mask == 1, (torch.arange(1_500_000) % 4000 == 0).long().view(1, 1000, 1500), 0)
    p, y = rows_of(logits, mask)
    expected = []
    for k in range(2):
        errors = np.where(y == k, 1 - p[:, k], p[:, k])
        order = np.argsort(-errors, kind="stable")
        inside = (y == k)[order]
        jaccard = 1 - (inside.sum() - inside.cumsum()) / (inside.sum() + (~inside).cumsum())
        expected.append((errors[order] * np.diff(jaccard, prepend=0)).sum())
    assert build_loss("lovasz", num_classes=2)(logits, mask).item() == pytest.approx(
        np.mean(expected), rel=1e-5
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_ignored_pixels_change_nothing_and_get_no_gradient(name, weighted):
    loss = build_loss(name, num_classes=4, class_weights=WEIGHTS[4] if weighted else None)
    logits, mask = make_case((2, 4, 8, 8))
    gradients, values = [], []
    for filling in (0.0, 50.0, float("nan"), float("inf")):
        filled = torch.where((mask == IGNORE)[:, None], torch.tensor(filling), logits).requires_grad_()
        value = loss(filled, mask)
        value.backward()
        values.append(value.item())
        gradients.append(filled.grad)
    assert len(set(values)) == 1
    for gradient in gradients:
        assert torch.equal(gradient, gradients[0])
        assert (gradient.movedim(1, -1)[mask == IGNORE] == 0).all()
        assert (gradient.movedim(1, -1)[mask != IGNORE] != 0).any()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_ignoring_a_pixel_has_its_effect(name):
    loss = build_loss(name, num_classes=4)
    logits, mask = make_case((1, 4, 6, 6), ignored=0.0)
    fewer = mask.clone()
    fewer[:, :3] = IGNORE
    assert loss(logits, mask) != loss(logits, fewer)
    torch.testing.assert_close(loss(logits, fewer), loss(logits[:, :, 3:], mask[:, 3:]))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_class_weights_have_their_effect(name):
    logits, mask = make_case((2, 4, 8, 8))
    plain = build_loss(name, num_classes=4)
    weighted = build_loss(name, num_classes=4, class_weights=[1.0, 1.0, 1.0, 50.0])
    equal = build_loss(name, num_classes=4, class_weights=[3.0, 3.0, 3.0, 3.0])
    assert weighted(logits, mask).item() != pytest.approx(plain(logits, mask).item(), rel=1e-3)
    torch.testing.assert_close(equal(logits, mask), plain(logits, mask))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_batch_without_labels_gives_zero_with_zero_gradients(name, weighted):
    logits, mask = make_case((2, 4, 4, 4))
    logits.requires_grad_()
    value = build_loss(name, num_classes=4, class_weights=WEIGHTS[4] if weighted else None)(
        logits, torch.full_like(mask, IGNORE)
    )
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_batch_of_classes_with_weight_zero_gives_zero(name):
    logits, _ = make_case((1, 4, 4, 4))
    logits.requires_grad_()
    value = build_loss(name, num_classes=4, class_weights=WEIGHTS[4])(logits, torch.full((1, 4, 4), 2))
    value.backward()
    assert value.item() == 0
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_absent_classes_give_finite_values_and_gradients(name):
    logits, _ = make_case((1, 4, 6, 6))
    logits.requires_grad_()
    mask = torch.zeros(1, 6, 6, dtype=torch.int64)
    value = build_loss(name, num_classes=4)(logits, mask)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
    # What is given to an absent class is missing in the one that is there
    missed = logits.argmax(dim=1) != 0 if name == "perceptron" else torch.ones_like(mask, dtype=torch.bool)
    assert missed.any()
    assert (logits.grad[:, 0][missed] < 0).all()


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize(("name", "args"), OPTIONS)
def test_certain_maps_have_finite_gradients(name, args, right):
    _, mask = make_case((1, 4, 6, 6))
    classes = torch.where(mask == IGNORE, 0, mask)
    certain = 1e4 * functional.one_hot(classes if right else (classes + 1) % 4, 4).movedim(-1, 1).float()
    certain.requires_grad_()
    value = build_loss([LossTerm(name, args=args)], num_classes=4)(certain, mask)
    value.backward()
    assert value.isfinite()
    assert certain.grad.isfinite().all()
    if right and "label_smoothing" not in args:
        assert value.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_half_precision_logits_are_summed_in_float32(name, dtype):
    logits, mask = make_case((2, 4, 200, 200))  # more pixels than float16 can count
    halved = logits.to(dtype)
    loss = build_loss(name, num_classes=4)
    value = loss(halved.requires_grad_(), mask)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(halved.detach().float(), mask))
    assert halved.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_following_the_gradient_lowers_the_loss(name):
    logits, mask = make_case((1, 3, 8, 8))
    loss = build_loss(name, num_classes=3)
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.3)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        value = loss(logits, mask)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize("pair", list(itertools.combinations(sorted(LOSSES), 2)))
def test_a_sum_is_the_weighted_sum_of_its_terms(pair):
    logits, mask = make_case((2, 4, 8, 8))
    first, second = (build_loss(name, num_classes=4)(logits, mask) for name in pair)
    both = build_loss([LossTerm(pair[0], 0.3), LossTerm(pair[1], 2.0)], num_classes=4)(logits, mask)
    torch.testing.assert_close(both, 0.3 * first + 2.0 * second)


@pytest.mark.parametrize(("name", "args"), [entry for entry in OPTIONS if entry[1]])
def test_each_option_has_its_effect(name, args):
    logits, mask = make_case((2, 4, 8, 8))
    usual = build_loss(name, num_classes=4)(logits, mask)
    assert build_loss([LossTerm(name, args=args)], num_classes=4)(logits, mask) != usual


def test_the_perceptron_learns_from_errors_and_ties_alone():
    # Classes as rows; of the pixels in the columns one is right, one wrong by 2, one a tie.
    logits = torch.tensor([[2.0, 1.0, 1.0], [1.0, 3.0, 1.0], [0.0, 0.0, 0.0]])[None, :, :, None]
    logits.requires_grad_()
    value = build_loss("perceptron", num_classes=3)(logits, torch.zeros(1, 3, 1, dtype=torch.int64))
    value.backward()
    assert value.item() == pytest.approx(2 / 3)
    assert (logits.grad[0, :, 0] == 0).all()
    torch.testing.assert_close(logits.grad[0, :2, 1:, 0], torch.tensor([[-1.0, -1.0], [1.0, 1.0]]) / 3)


def test_class_weights_are_not_part_of_a_checkpoint_but_move_with_the_loss():
    loss = build_loss("dice", num_classes=2, class_weights=[1.0, 2.0])
    assert not loss.state_dict()
    assert loss.to("meta").class_weights.device.type == "meta"


@pytest.mark.parametrize(
    ("name", "weight", "args", "message"),
    [
        ("dise", 1.0, {}, r"no loss 'dise'. Did you mean 'dice'"),
        ("dice", 0.0, {}, r"weight of loss 'dice' is a number above 0, found 0.0"),
        ("dice", math.nan, {}, r"found nan"),
        ("focal", 1.0, {"gama": 2.0}, r"no option of loss 'focal' 'gama'. Did you mean 'gamma'"),
        ("dice", 1.0, {"gamma": 2.0}, r"'dice' has no options, found 'gamma'"),
        ("focal", 1.0, {"gamma": -1.0}, r"gamma of loss 'focal' is 0 or more, found -1.0"),
        ("cross_entropy", 1.0, {"label_smoothing": 1.0}, r"from 0 to below 1, found 1.0"),
        ("tversky", 1.0, {"alpha": math.inf}, r"alpha of loss 'tversky'"),
        ("tversky", 1.0, {"alpha": 0.0, "beta": 0.0}, r"both 0"),
    ],
)
def test_terms_that_make_no_sense_are_refused(name, weight, args, message):
    with pytest.raises(ConfigError, match=message):
        LossTerm(name, weight, args)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_single_class_is_refused(name):
    with pytest.raises(ConfigError, match=r"at least two classes, found 1. Name what is left"):
        build_loss(name, num_classes=1)


def test_an_empty_sum_is_refused():
    with pytest.raises(ConfigError, match=r"at least one term"):
        build_loss([], num_classes=2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], r"has 1 values for 2 classes"),
        ([1.0, -1.0], r"finite numbers of at least 0"),
        ([0.0, 0.0], r"not all 0"),
        ([1.0, math.nan], r"finite numbers"),
    ],
)
def test_class_weights_that_make_no_sense_are_refused(weights, message):
    with pytest.raises(ConfigError, match=message):
        build_loss("cross_entropy", num_classes=2, class_weights=weights)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("value", [3, -1, 254])
def test_a_mask_value_that_is_no_class_is_refused(name, value):
    logits, mask = make_case((1, 3, 4, 4))
    mask[0, 0, 0] = value
    with pytest.raises(DataError, match=rf"value {value}, which is no class: expected 0 to 2"):
        build_loss(name, num_classes=3)(logits, mask)


@pytest.mark.parametrize("shape", [(1, 4, 4, 4), (1, 3, 4, 5), (2, 3, 4, 4)])
def test_logits_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match=r"must belong together"):
        build_loss("dice", num_classes=3)(torch.zeros(shape), torch.zeros(1, 4, 4, dtype=torch.int64))
