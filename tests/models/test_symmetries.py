"""The symmetries of the square."""

import numpy as np
import torch

from eoseg.models.symmetries import SYMMETRIES


def test_the_eight_symmetries_differ_and_are_undone() -> None:
    image = torch.arange(2 * 3 * 5).view(2, 3, 5)
    turned = [each.apply(image) for each in SYMMETRIES]
    assert len({(tuple(one.shape), tuple(one.flatten().tolist())) for one in turned}) == 8
    for each, one in zip(SYMMETRIES, turned, strict=True):
        assert torch.equal(each.undo(one), image)
        assert one.is_contiguous()
    assert torch.equal(turned[0], image)
    by_hand = [np.rot90(part, turns, axes=(1, 2)) for part in (image, image.mT) for turns in range(4)]
    assert {part.tobytes() for part in by_hand} == {one.numpy().tobytes() for one in turned}
