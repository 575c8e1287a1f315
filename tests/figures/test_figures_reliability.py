import numpy as np

from eoseg.calibration import measure_reliability
from eoseg.figures import reliability_image


def test_a_network_that_is_too_sure_looks_unlike_one_that_is_not() -> None:
    rng = np.random.default_rng(0)
    first = rng.uniform(0.5, 1, 4000)
    chances = np.stack([first, 1 - first], axis=1)
    names = ["a", "b"]
    honest = measure_reliability(chances, (rng.random(4000) > first).astype(int), names).likeliest
    sure = measure_reliability(chances, (rng.random(4000) > 0.5).astype(int), names).likeliest
    one = reliability_image({"test": honest})
    assert one.shape[1] < reliability_image({"before": sure, "after": honest}).shape[1]
    red = [
        int(((image == (0xD5, 0x5E, 0x00)).all(axis=-1)).sum())
        for image in (one, reliability_image({"test": sure}))
    ]
    assert red[1] > 2 * red[0]  # the lines from bars to the diagonal


def test_without_any_pixel_there_is_a_picture_all_the_same() -> None:
    empty = measure_reliability(np.ones((1, 2)) / 2, np.array([255]), ["a", "b"]).likeliest
    assert reliability_image({"val": empty}).shape[2] == 3
