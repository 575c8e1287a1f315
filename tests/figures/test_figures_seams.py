"""Seams are drawn where they are."""

import numpy as np

from eoseg.figures import SeamPicture, seam_image


def test_each_part_is_a_row_of_three_pictures_with_the_borders_of_tiles() -> None:
    flat = np.full((40, 40, 3), 200, np.uint8)
    red = np.zeros_like(flat)
    red[..., 0] = 255

    def drawn(count: int, borders: tuple[tuple[int, ...], tuple[int, ...]]) -> np.ndarray:
        part = SeamPicture(0, 0, (flat, flat, red), borders, ((), ()), "1.00%")
        return seam_image([part] * count)

    one, two = drawn(1, ((), ())), drawn(2, ((), ()))
    assert two.shape[1] == one.shape[1]
    assert 1.8 < two.shape[0] / one.shape[0] < 2.2
    third = one[:, 2 * one.shape[1] // 3 :]
    pure = (third == [255, 0, 0]).all(axis=2)
    assert pure.sum() > 0.3 * pure.size  # what differs is drawn on the right alone
    assert not (one[:, : one.shape[1] // 3] == [255, 0, 0]).all(axis=2).any()

    def dark(image: np.ndarray) -> int:
        return int((image.max(axis=2) < 60).sum())

    assert dark(drawn(1, ((20,), (20,)))) > dark(one) + 100  # lines through the first and the third
