"""Places are unsure, unlike each other, and do not touch."""

import numpy as np

from eoseg.geo.window import Window
from eoseg.predict.choice import choose_places


def grid(rows: int, cols: int, size: int = 32) -> list[tuple[int, Window]]:
    return [(0, Window(row * size, col * size, size, size)) for row in range(rows) for col in range(cols)]


def test_the_most_unsure_place_is_first_and_like_ones_follow_late():
    rng = np.random.default_rng(0)
    places = grid(6, 6)
    features = rng.normal(0, 0.05, (36, 4)).astype(np.float32)
    uncertainty = np.full(36, 0.2)
    features[:12] += (5, 0, 0, 0)  # the unsure kind, twelve times
    uncertainty[:12] = 0.9
    uncertainty[7] = 0.95
    features[30] += (0, 5, 0, 0)  # a rare kind, moderately unsure
    uncertainty[30] = 0.5
    chosen = [place.number for place in choose_places(uncertainty, features, places, count=3)]
    assert chosen[:2] == [7, 30]
    assert choose_places(uncertainty, features, places, count=3)[0].novelty == 1


def test_without_novelty_they_would_be_neighbours():
    places = grid(5, 5)
    uncertainty = np.linspace(0, 1, 25)
    chosen = [p.number for p in choose_places(uncertainty, np.ones((25, 2), np.float32), places, count=4)]
    windows = [places[number][1] for number in chosen]
    for number, window in enumerate(windows):
        assert all(window.grow(1).intersection(other) is None for other in windows[:number])
    assert chosen[0] == 24


def test_places_touch_only_where_no_others_are_left():
    places = grid(2, 2)
    chosen = [p.number for p in choose_places(np.arange(4) / 4, np.eye(4, dtype=np.float32), places, count=4)]
    assert sorted(chosen) == [0, 1, 2, 3]


def test_places_of_other_scenes_do_not_touch():
    places = [(n, Window(0, 0, 8, 8)) for n in range(2)]
    chosen = choose_places(np.array([0.5, 0.4]), np.eye(2, dtype=np.float32), places, count=2)
    assert [p.number for p in chosen] == [0, 1]


def test_what_is_labelled_is_not_chosen_and_nothing_like_it_is_new():
    features = np.array([[0.0], [0.1], [5.0], [5.1]], np.float32)
    places = [(n, Window(0, 0, 8, 8)) for n in range(4)]
    uncertainty = np.array([0.9, 0.62, 0.6, 0.2])
    labelled = np.array([True, False, False, False])
    chosen = choose_places(uncertainty, features, places, count=4, labelled=labelled)
    assert [p.number for p in chosen] == [2, 1, 3]
    assert choose_places(uncertainty, features, places, count=1)[0].number == 0
