"""The map of a split shows its parts, and what two of them share."""

import numpy as np

from eoseg.figures import split_map_image
from eoseg.figures.pictures import Rgb


def box(left: float, bottom: float, width: float, height: float) -> list[tuple[float, float]]:
    return [(left, bottom), (left + width, bottom), (left + width, bottom + height), (left, bottom + height)]


def red(image: Rgb) -> int:
    """Pixels of the colour of shared ground."""
    values = image.astype(int)
    return int(((values[..., 0] > 150) & (values[..., 1] < 60) & (values[..., 2] < 60)).sum())


PARTS = [("train", box(0, 0, 100, 40)), ("test", box(0, 40, 100, 60))]


def test_what_is_shared_is_marked_also_where_it_is_too_small_to_see() -> None:
    plain = split_map_image(PARTS, unit="m", title="Split of a.yaml")
    assert red(plain) == 0
    shared = split_map_image(PARTS, unit="m", shared=[box(0, 39.9, 100, 0.1)])
    assert red(shared) > 200
    cut = split_map_image(PARTS, unit="m", cut=[box(20, 20, 40, 40)])
    assert not np.array_equal(cut[: plain.shape[0], : plain.shape[1]], plain[: cut.shape[0], : cut.shape[1]])


def test_each_split_has_its_colour_by_area() -> None:
    image = split_map_image(PARTS, unit="px").astype(int)
    colored = np.abs(image - image.mean(axis=2, keepdims=True)).max(axis=2) > 30
    green = (colored & (image[..., 1] > image[..., 2])).sum()
    blue = (colored & (image[..., 1] < image[..., 2])).sum()
    assert 1.2 < green / blue < 1.8  # 60 rows to 40


def test_places_far_apart_are_drawn_side_by_side_at_one_scale() -> None:
    one = split_map_image([("train", box(0, 0, 100, 100))], unit="m")
    two = split_map_image(
        [("train", box(0, 0, 100, 100)), ("test", box(1e6, 0, 100, 100)), ("test", box(1e6, 100, 100, 100))],
        unit="m",
    )
    assert two.shape[1] > 1.3 * two.shape[0]
    assert one.shape[1] < one.shape[0]
    many = [("train", box(1e5 * n, 0, 100, 100)) for n in range(40)]
    assert split_map_image(many, unit="m").shape == one.shape  # one map of all
