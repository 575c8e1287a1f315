"""Regions, corners and turns of small arrays that can be drawn."""

import numpy as np

from eoseg.geo.borders import (
    EAST,
    NORTH,
    SOUTH,
    WEST,
    bends,
    find_corners,
    find_regions,
    find_turns,
    join,
    pad_strip,
)


def padded(rows: list[list[int]]) -> np.ndarray:
    array = np.array(rows, np.uint8)
    return pad_strip(np.full(array.shape[1], 255, np.uint8), array, outside=255, last=True)


def test_a_strip_is_framed_by_the_row_above_and_by_what_lies_outside() -> None:
    cells = pad_strip(np.array([7, 8]), np.array([[1, 2]]), outside=9, last=False)
    assert cells.tolist() == [[9, 7, 8, 9], [9, 1, 2, 9]]
    cells = pad_strip(np.array([7, 8]), np.array([[1, 2]]), outside=9, last=True)
    assert cells.tolist() == [[9, 7, 8, 9], [9, 1, 2, 9], [9, 9, 9, 9]]


def test_regions_are_connected_over_sides_and_not_over_corners() -> None:
    cells = padded([[0, 0, 1], [1, 0, 1], [1, 1, 0]])
    found = find_regions(cells).at(np.arange(cells.size)).reshape(cells.shape)[1:-1, 1:-1]
    names: dict[int, str] = {}
    drawn = ["".join(names.setdefault(int(n), "abcdef"[len(names)]) for n in row) for row in found]
    assert drawn == ["aab", "cab", "ccd"]


def test_a_region_that_first_looks_like_two_is_one() -> None:
    cells = padded([[0, 1, 0], [0, 0, 0]])
    regions = find_regions(cells)
    assert regions.count == 3  # with the outside
    assert regions.at(np.array([6])) == regions.at(np.array([8]))


def test_pairs_make_groups() -> None:
    count, group = join(5, np.array([0, 3]), np.array([2, 2]))
    assert count == 3
    assert group[0] == group[2] == group[3] != group[1] != group[4]
    assert join(2, np.array([], int), np.array([], int))[0] == 2


def test_corners_are_where_borders_turn_or_branch() -> None:
    corners = find_corners(padded([[0, 0, 1], [0, 0, 1]]), cut=False)
    found = list(zip(corners.row.tolist(), corners.col.tolist(), strict=True))
    assert found == [(0, 0), (0, 2), (0, 3), (2, 0), (2, 2), (2, 3)]
    assert corners.borders[1].tolist() == [True, True, True, False]
    assert corners.below.tolist() == [3, 4, 5, -1, -1, -1]


def test_a_cut_strip_has_a_corner_where_a_border_enters_it() -> None:
    cells = pad_strip(np.array([0, 1]), np.array([[0, 1]]), outside=255, last=False)
    assert find_corners(cells, cut=False).col.tolist() == []
    assert find_corners(cells, cut=True).col.tolist() == [0, 1, 2]


def test_where_pixels_touch_in_a_point_both_ways_on_are_known() -> None:
    cells = padded([[0, 1], [1, 0]])
    corners = find_corners(cells, cut=False)
    numbers = np.where(corners.borders, np.arange(corners.borders.size).reshape(-1, 4), -1)
    turns = find_turns(cells.ravel(), corners, numbers)
    middle = 4
    assert corners.borders[middle].all()
    # Southward along the upper left pixel: round that pixel, or on to the lower right one.
    assert turns.following[middle, SOUTH] == numbers[middle, WEST]
    assert turns.crossing[middle, SOUTH] == numbers[middle, EAST]
    assert turns.following[middle, EAST] == numbers[middle, SOUTH]
    assert turns.crossing[middle, EAST] == numbers[middle, NORTH]
    assert (turns.crossing[[0, 1, 2, 3, 5, 6, 7, 8]] == -1).all()


def test_a_ring_that_goes_straight_past_a_branch_does_not_bend_there() -> None:
    borders = np.array([[True, True, True, False]])  # a border leaves to the south of a straight one
    assert bends(borders).tolist() == [[True, True, False, True]]
