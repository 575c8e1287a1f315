import numpy as np
import pytest
import torch

from eoseg.batch import IGNORE, Batch
from eoseg.datasets.augment import Augmenter, flip_and_rotate, swap_dates
from eoseg.datasets.config import AugmentConfig, AugmentStep
from eoseg.errors import ConfigError
from eoseg.recipe import BandStatistics, Statistics, Time

STATISTICS = Statistics(
    bands=tuple(
        BandStatistics(name, 500, 100, 0, 100 * n, 1000 * n, 2000) for n, name in enumerate("ab", start=1)
    ),
    dtype="uint16",
    pixels=1,
    valid_pixels=1,
    class_pixels=(1, 1),
)


def batch_of(count: int = 16, size: int = 16, low: float = 100, high: float = 1000) -> Batch:
    """Labels that follow from the image: class 1 where the first band is above its middle."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(count, 2, size, size, generator=generator) * (high - low) + low
    valid = torch.ones(count, size, size, dtype=torch.bool)
    valid[:, :3, :5] = False
    image = image.masked_fill(~valid[:, None], 0)
    mask = (image[:, 0] > (low + high) / 2).long().masked_fill(~valid, IGNORE)
    return {"image": image, "valid": valid, "mask": mask, "id": [str(n) for n in range(count)]}


def augmenter(*steps: AugmentStep, flips: bool = False, seed: int = 0) -> Augmenter:
    made = Augmenter(AugmentConfig(flips_and_rotations=flips, more=list(steps)), seed=seed)
    made.prepare(STATISTICS, 16)
    return made


def test_the_eight_symmetries_move_image_mask_and_valid_alike():
    batch = batch_of(8)
    batch = {
        **batch,
        "image": batch["image"][:1].expand(8, -1, -1, -1),
        "mask": batch["mask"][:1].expand(8, -1, -1),
        "valid": batch["valid"][:1].expand(8, -1, -1),
    }
    turned = flip_and_rotate(batch, torch.arange(8))
    for number in range(8):
        for name in ("image", "mask", "valid"):
            expected = np.rot90(batch[name][0].numpy(), number % 4, axes=(-2, -1))  # type: ignore[literal-required]
            expected = np.flip(expected, -1) if number >= 4 else expected
            np.testing.assert_array_equal(turned[name][number], expected)  # type: ignore[literal-required]
    assert len({image.numpy().tobytes() for image in turned["image"]}) == 8


def test_chips_that_are_not_square_are_refused():
    batch = batch_of(2)
    tall: Batch = {
        **batch,
        "image": batch["image"][..., :8],
        "mask": batch["mask"][..., :8],
        "valid": batch["valid"][..., :8],
    }
    with pytest.raises(ConfigError, match="need square chips; found 16 x 8 px"):
        flip_and_rotate(tall, torch.zeros(2))


def test_nothing_changes_without_augmentation():
    batch = batch_of()
    assert augmenter()(batch, epoch=0, rank=0) is batch


def test_the_batch_that_came_in_is_not_changed():
    batch, same = batch_of(), batch_of()
    augmenter(AugmentStep("RandomAffine", {"degrees": 30, "p": 1.0}), flips=True)(batch, epoch=0, rank=0)
    assert torch.equal(batch["image"], same["image"])
    assert torch.equal(batch["mask"], same["mask"])


def test_draws_follow_from_seed_epoch_and_rank_and_not_from_elsewhere():
    steps = (AugmentStep("RandomGaussianNoise", {"std": 0.1}),)

    def drawn(seed: int = 0, other: int = 0, before: int = 0, **place: int) -> bytes:
        torch.manual_seed(other)
        made = augmenter(*steps, flips=True, seed=seed)
        for number in range(before):
            made(batch_of(), epoch=0, rank=0, number=number)
        return made(batch_of(), **{"epoch": 0, "rank": 0, "number": 2, **place})["image"].numpy().tobytes()

    assert drawn() == drawn(other=5) == drawn(before=2)  # as where a training goes on inside an epoch
    assert len({drawn(), drawn(seed=1), drawn(epoch=1), drawn(rank=1), drawn(number=3)}) == 5


def test_batches_of_an_epoch_differ_and_the_global_generator_is_untouched():
    made = augmenter(AugmentStep("RandomGaussianNoise", {"p": 1.0}))
    torch.manual_seed(3)
    first, second = (made(batch_of(), epoch=0, rank=0, number=number)["image"] for number in range(2))
    assert not torch.equal(first, second)
    found = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(found, torch.rand(1))


def test_geometric_transforms_move_all_alike_and_invalidate_what_comes_in():
    made = augmenter(
        AugmentStep("RandomAffine", {"degrees": [90.0, 90.0], "translate": [0.3, 0.3], "p": 1.0})
    )
    batch = batch_of(low=100, high=100.5)
    batch["image"][:, 0, 8:] = 900
    batch["mask"] = (batch["image"][:, 0] > 500).long().masked_fill(~batch["valid"], IGNORE)
    moved = made(batch, epoch=0, rank=0)
    assert moved["image"].shape == batch["image"].shape
    assert (~moved["valid"]).sum() > (~batch["valid"]).sum()
    assert (moved["mask"][~moved["valid"]] == IGNORE).all()
    assert (moved["image"].permute(0, 2, 3, 1)[~moved["valid"]] == 0).all()
    clear = moved["valid"] & ((moved["image"][:, 0] < 101) | (moved["image"][:, 0] > 899))
    assert clear.float().mean() > 0.3
    assert torch.equal((moved["image"][:, 0] > 500)[clear], (moved["mask"] == 1)[clear])


def test_no_valid_pixel_is_mixed_with_an_invalid_one():
    made = augmenter(AugmentStep("RandomRotation", {"degrees": 45.0, "p": 1.0}))
    batch = batch_of(low=800, high=801)
    moved = made(batch, epoch=0, rank=0)
    assert moved["image"][:, 0][moved["valid"]].min() > 790  # zeros of invalid pixels would pull it down


def test_photometric_transforms_work_on_scaled_values_and_keep_the_rest():
    made = augmenter(AugmentStep("RandomBrightness", {"brightness": [1.1, 1.1], "p": 1.0}))
    batch = batch_of(low=200, high=700)
    brighter = made(batch, epoch=0, rank=0)
    change = (brighter["image"] - batch["image"]).permute(0, 2, 3, 1)[batch["valid"]]
    torch.testing.assert_close(change[:, 0], torch.full_like(change[:, 0], 90))  # a tenth of 100 to 1000
    assert torch.equal(brighter["mask"], batch["mask"])
    assert (brighter["image"].permute(0, 2, 3, 1)[~batch["valid"]] == 0).all()


def test_chips_that_a_transform_leaves_alone_keep_their_raw_values():
    made = augmenter(AugmentStep("RandomGamma", {"gamma": [2.0, 2.0], "p": 0.0}))
    batch = batch_of(low=-50, high=3000)
    torch.testing.assert_close(made(batch, epoch=0, rank=0)["image"], batch["image"], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (AugmentStep("RandomAfine"), "no augmentation of kornia 'RandomAfine'. Did you mean 'RandomAffine'"),
        (AugmentStep("RandomMixUpV2"), "no augmentation of kornia 'RandomMixUpV2'"),
        (
            AugmentStep("RandomAffine", {"degree": 5}),
            "no argument of RandomAffine 'degree'. Did you mean 'degrees'",
        ),
        (AugmentStep("RandomAffine", {"degrees": "many"}), "RandomAffine refuses its arguments"),
    ],
)
def test_unknown_names_and_arguments_are_refused_in_one_line(step: AugmentStep, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        augmenter(step)
    assert "\n" not in str(caught.value)


def test_transforms_that_change_the_size_or_the_bands_are_refused():
    with pytest.raises(ConfigError, match=r"RandomCrop makes chips of \(8, 8\) px; they must stay 16 px"):
        augmenter(AugmentStep("RandomCrop", {"size": [8, 8], "p": 1.0}))
    with pytest.raises(ConfigError, match="ColorJitter does not take chips of 2 bands"):
        augmenter(AugmentStep("ColorJitter", {"hue": 0.1, "saturation": 0.4, "p": 1.0}))


def dated_batch(steps: int, *, count: int = 16, size: int = 16) -> Batch:
    """All dates hold the same image plus 100 for each earlier date; each date lacks a corner of its own."""
    batch = batch_of(count, size, high=600)
    image = torch.stack([batch["image"] + 100 * step for step in range(steps)], dim=1)
    valid = torch.ones(count, steps, size, size, dtype=torch.bool)
    for step in range(steps):
        valid[:, step, step * 4 : step * 4 + 3, :5] = False
    image = image.masked_fill(~valid.unsqueeze(2), 0)
    usable = valid.all(dim=1) if steps == 2 else valid.any(dim=1)
    mask = (batch["image"][:, 0] > 350).long().masked_fill(~usable, IGNORE)
    return {"image": image, "valid": valid, "mask": mask, "id": batch["id"]}


def dated_augmenter(
    time: Time, steps: int, *more: AugmentStep, swap: bool = False, flips: bool = False
) -> Augmenter:
    config = AugmentConfig(flips_and_rotations=flips, more=list(more), swap_dates=swap)
    made = Augmenter(config, seed=0)
    made.prepare(STATISTICS, 16, time=time, steps=steps)
    return made


DATED: list[tuple[Time, int]] = [("pair", 2), ("series", 3)]


@pytest.mark.parametrize(("time", "steps"), DATED)
def test_flips_move_all_dates_and_labels_alike(time: Time, steps: int):
    batch = dated_batch(steps)
    turned = dated_augmenter(time, steps, flips=True)(batch, epoch=0, rank=0)
    assert not torch.equal(turned["image"], batch["image"])
    differs = 0
    for chip in range(16):
        candidates = [
            np.rot90(batch["image"][chip].numpy(), number % 4, axes=(-2, -1))[
                ..., :: -1 if number >= 4 else 1
            ]
            for number in range(8)
        ]
        (number,) = [n for n, held in enumerate(candidates) if np.array_equal(held, turned["image"][chip])]
        for name in ("valid", "mask"):
            held = np.rot90(batch[name][chip].numpy(), number % 4, axes=(-2, -1))  # type: ignore[literal-required]
            np.testing.assert_array_equal(turned[name][chip], held[..., :: -1 if number >= 4 else 1])  # type: ignore[literal-required]
        differs += number > 0
    assert differs > 8


@pytest.mark.parametrize(("time", "steps"), DATED)
def test_geometric_transforms_move_all_dates_alike(time: Time, steps: int):
    step = AugmentStep("RandomAffine", {"degrees": [20, 20], "p": 1.0})
    batch = dated_batch(steps)
    moved = dated_augmenter(time, steps, step)(batch, epoch=0, rank=0)
    assert moved["image"].shape == batch["image"].shape
    assert moved["valid"].sum() < batch["valid"].sum()  # corners came in from outside
    both = moved["valid"].all(dim=1)
    for n in range(1, steps):
        change = (moved["image"][:, n] - moved["image"][:, 0]).permute(0, 2, 3, 1)[both]
        torch.testing.assert_close(change, torch.full_like(change, 100.0 * n), rtol=0, atol=0.01)
    assert (moved["image"].movedim(2, -1)[~moved["valid"]] == 0).all()
    usable = both if time == "pair" else moved["valid"].any(dim=1)
    assert ((moved["mask"] != IGNORE) <= usable).all()
    assert (moved["mask"] != IGNORE).sum() > 0.5 * usable.sum()


@pytest.mark.parametrize(("time", "steps"), DATED)
@pytest.mark.parametrize(
    "step",
    [
        AugmentStep("RandomBrightness", {"brightness": [0.7, 1.3], "p": 0.5}),
        AugmentStep("RandomGaussianNoise", {"std": 0.1, "p": 1.0}),
    ],
)
def test_photometric_transforms_change_all_dates_alike(time: Time, steps: int, step: AugmentStep):
    batch = dated_batch(steps)
    same = {**batch, "image": batch["image"][:, :1].expand(-1, steps, -1, -1, -1).clone()}
    same["valid"] = batch["valid"][:, :1].expand(-1, steps, -1, -1).clone()
    changed = dated_augmenter(time, steps, step)(same, epoch=0, rank=0)  # type: ignore[arg-type]
    assert not torch.equal(changed["image"], same["image"])
    for n in range(1, steps):
        torch.testing.assert_close(changed["image"][:, n], changed["image"][:, 0])
    torch.testing.assert_close(changed["valid"], same["valid"])


@pytest.mark.parametrize(("time", "steps"), DATED)
@pytest.mark.parametrize("name", ["RandomAffine", "RandomGamma"])
def test_labels_need_both_dates_of_a_pair_and_one_of_a_series(time: Time, steps: int, name: str):
    arguments = {"RandomAffine": {"degrees": [20, 20]}, "RandomGamma": {"gamma": [2.0, 2.0]}}[name]
    batch = dated_batch(steps)
    everywhere = {**batch, "mask": batch["mask"].masked_fill(batch["mask"] == IGNORE, 1)}
    step = AugmentStep(name, {**arguments, "p": 0.0})
    left = dated_augmenter(time, steps, step)(everywhere, epoch=0, rank=0)  # type: ignore[arg-type]
    usable = batch["valid"].all(dim=1) if time == "pair" else batch["valid"].any(dim=1)
    assert torch.equal(left["mask"] != IGNORE, usable)
    assert torch.equal(left["valid"], batch["valid"])


def test_dates_are_swapped_in_half_of_the_chips():
    batch = dated_batch(2, count=64)
    changed = dated_augmenter("pair", 2, swap=True)(batch, epoch=0, rank=0)
    swapped = [not torch.equal(new, old) for new, old in zip(changed["image"], batch["image"], strict=True)]
    assert 16 < sum(swapped) < 48
    for name in ("image", "valid"):
        for is_swapped, new, old in zip(swapped, changed[name], batch[name], strict=True):  # type: ignore[literal-required]
            torch.testing.assert_close(new, old.flip(0) if is_swapped else old)
    torch.testing.assert_close(changed["mask"], batch["mask"])
    still = dated_augmenter("pair", 2)(batch, epoch=0, rank=0)
    torch.testing.assert_close(still["image"], batch["image"])
    again = dated_augmenter("pair", 2, swap=True)(batch, epoch=0, rank=0)
    torch.testing.assert_close(again["image"], changed["image"])


def test_only_the_chosen_pairs_are_swapped():
    batch = dated_batch(2, count=2)
    changed = swap_dates(batch, torch.tensor([False, True]))
    torch.testing.assert_close(changed["image"][0], batch["image"][0])
    torch.testing.assert_close(changed["image"][1], batch["image"][1].flip(0))


def test_dates_of_what_is_no_pair_cannot_be_swapped():
    for time, steps in (("single", 1), ("series", 3)):
        with pytest.raises(ConfigError, match="augment.swap_dates exchanges the dates of pairs"):
            dated_augmenter(time, steps, swap=True)  # type: ignore[arg-type]


def test_values_move_with_the_image_to_the_nearest_pixel():
    batch = batch_of()
    value = batch["image"][:, 0].masked_fill(~batch["valid"], torch.nan)
    value[:, 8, 8] = torch.nan  # a pixel without label on a valid image
    moved = augmenter(AugmentStep("RandomAffine", {"degrees": [20, 20], "p": 1.0}))(
        {"image": batch["image"], "valid": batch["valid"], "value": value, "id": batch["id"]}, epoch=0, rank=0
    )
    found = moved["value"]
    known = ~found.isnan()
    assert (known <= moved["valid"]).all()
    assert 0.5 * moved["valid"].sum() < known.sum() < moved["valid"].sum()
    # nearest, so that no value is mixed: each is one of the chip's own
    for chip, own in zip(found, value, strict=True):
        assert torch.isin(chip[~chip.isnan()], own[~own.isnan()]).all()
    turned = augmenter(flips=True)(
        {"image": batch["image"], "valid": batch["valid"], "value": value, "id": batch["id"]}, epoch=0, rank=0
    )
    agree = turned["value"] == turned["image"][:, 0]
    assert (agree == ~turned["value"].isnan()).all()
    assert agree.sum() == (~value.isnan()).sum()


def test_labels_of_whole_chips_stay():
    batch = batch_of()
    label = torch.arange(16)
    whole: Batch = {"image": batch["image"], "valid": batch["valid"], "label": label, "id": batch["id"]}
    moved = augmenter(AugmentStep("RandomAffine", {"degrees": [20, 20], "p": 1.0}), flips=True)(
        whole, epoch=0, rank=0
    )
    assert torch.equal(moved["label"], label)
    assert "mask" not in moved
    assert not torch.equal(moved["image"], batch["image"])


def test_a_transform_that_takes_other_bands_is_refused_for_pairs_too():
    with pytest.raises(ConfigError, match="ColorJitter does not take chips of 2 bands"):
        dated_augmenter("pair", 2, AugmentStep("ColorJitter", {"hue": 0.1, "saturation": 0.4, "p": 1.0}))
