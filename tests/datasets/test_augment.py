import numpy as np
import pytest
import torch

from eoseg.batch import IGNORE, Batch
from eoseg.datasets.augment import Augmenter, flip_and_rotate
from eoseg.datasets.config import AugmentConfig, AugmentStep
from eoseg.errors import ConfigError
from eoseg.recipe import BandStatistics, Statistics

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

    def drawn(seed: int = 0, epoch: int = 0, rank: int = 0, other: int = 0) -> bytes:
        torch.manual_seed(other)
        made = augmenter(*steps, flips=True, seed=seed)
        return made(batch_of(), epoch=epoch, rank=rank)["image"].numpy().tobytes()

    assert drawn() == drawn(other=5)
    assert len({drawn(), drawn(seed=1), drawn(epoch=1), drawn(rank=1)}) == 4


def test_batches_of_an_epoch_differ_and_the_global_generator_is_untouched():
    made = augmenter(AugmentStep("RandomGaussianNoise", {"p": 1.0}))
    torch.manual_seed(3)
    first, second = (made(batch_of(), epoch=0, rank=0)["image"] for _ in range(2))
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
