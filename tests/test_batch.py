import torch
from torch.utils.data import default_collate

from eoseg import batch, recipe
from eoseg.batch import Batch


def test_ignore_is_one_value_everywhere() -> None:
    assert batch.IGNORE == recipe.IGNORE == 255


def test_a_batch_needs_image_valid_and_id_and_may_have_labels_days_and_counts() -> None:
    assert Batch.__required_keys__ == {"image", "valid", "id"}
    assert Batch.__optional_keys__ == {"mask", "label", "value", "days", "counted", "eroded"}


def test_chips_collate_to_a_batch_as_torch_does_it() -> None:
    chips = [
        {
            "image": torch.full((4, 8, 8), float(number)),
            "valid": torch.ones(8, 8, dtype=torch.bool),
            "mask": torch.full((8, 8), batch.IGNORE, dtype=torch.int64),
            "id": f"scene@0,{number}",
        }
        for number in range(3)
    ]
    collated: Batch = default_collate(chips)
    assert collated["image"].shape == (3, 4, 8, 8)
    assert collated["valid"].dtype == torch.bool
    assert collated["mask"].shape == (3, 8, 8)
    assert collated["id"] == ["scene@0,0", "scene@0,1", "scene@0,2"]
