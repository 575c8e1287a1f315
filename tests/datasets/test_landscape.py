import numpy as np
import pytest
from numpy.random import default_rng

from eoseg.datasets import landscape
from eoseg.datasets.landscape import BUILT, CROPS, FIELD, WATER, Landscape, fractal_noise, make_landscape


@pytest.fixture(scope="module")
def land() -> Landscape:
    return make_landscape(default_rng(5), 256, 320)


def test_all_layers_have_the_size_that_was_asked_for(land: Landscape) -> None:
    for name in Landscape.__slots__:
        assert getattr(land, name).shape == (256, 320), name


def test_every_pixel_has_one_of_the_classes(land: Landscape) -> None:
    assert land.classes.dtype == np.uint8
    assert set(np.unique(land.classes)) <= set(range(WATER, BUILT + 1))


def test_the_same_source_gives_the_same_landscape(land: Landscape) -> None:
    again = make_landscape(default_rng(5), 256, 320)
    assert all((getattr(land, name) == getattr(again, name)).all() for name in Landscape.__slots__)


def test_another_source_gives_another_landscape(land: Landscape) -> None:
    other = make_landscape(default_rng(6), 256, 320)
    assert (other.classes != land.classes).mean() > 0.4


def test_crops_vigour_and_roofs_are_within_their_ranges(land: Landscape) -> None:
    assert set(np.unique(land.crop)) <= set(range(CROPS))
    for layer in (land.vigour, land.roof):
        assert layer.min() >= 0
        assert layer.max() <= 1
    assert set(np.unique(land.street)) <= {0.0, 1.0}


def test_roofs_and_streets_stand_on_built_ground(land: Landscape) -> None:
    built = land.classes == BUILT
    assert built.any()
    # A river may take a roof away, but no roof stands on a field.
    assert not (land.roof[land.classes == FIELD] > 0).any()
    assert not (land.street[land.classes == FIELD] > 0).any()


def test_a_parcel_has_one_crop(land: Landscape) -> None:
    field = land.classes == FIELD
    both = field[:, 1:] & field[:, :-1]
    changes = (land.crop[:, 1:] != land.crop[:, :-1])[both].mean()
    assert 0 < changes < 0.06  # parcels are about 26 px wide


def test_classes_lie_in_patches_not_in_speckles(land: Landscape) -> None:
    same = (land.classes[:, 1:] == land.classes[:, :-1]).mean()
    assert same > 0.9


@pytest.mark.parametrize("size", [(64, 64), (65, 130), (101, 67)])
def test_any_size_works(size: tuple[int, int]) -> None:
    assert make_landscape(default_rng(0), *size).classes.shape == size


@pytest.mark.parametrize("roughness", [0.0, 2.0, 4.0])
def test_noise_has_mean_0_and_deviation_1(roughness: float) -> None:
    noise = fractal_noise(default_rng(1), 90, 120, roughness=roughness)
    assert (noise.shape, noise.dtype) == ((90, 120), np.float32)
    assert noise.mean() == pytest.approx(0, abs=1e-4)
    assert noise.std() == pytest.approx(1, abs=1e-4)


def test_noise_gets_smoother_with_its_roughness() -> None:
    steps = [
        np.abs(np.diff(fractal_noise(default_rng(1), 128, 128, roughness=roughness))).mean()
        for roughness in (0.0, 1.0, 2.0, 3.0, 4.0)
    ]
    assert steps == sorted(steps, reverse=True)


def test_opposite_borders_of_noise_do_not_match() -> None:
    noise = fractal_noise(default_rng(2), 128, 128, roughness=4.0)
    across = np.abs(noise[:, 0] - noise[:, -1]).mean()
    assert across > 5 * np.abs(np.diff(noise, axis=1)).mean()


def test_cells_are_those_of_the_nearest_point() -> None:
    rows, cols = np.mgrid[0:40, 0:60].astype(np.float32)
    cells = landscape._cells(default_rng(3), rows, cols, (10.0, 15.0), jitter=0.6)
    # All lattice points at once, instead of the nine nearest: 4 x 4 cells and one more on each side.
    shifts = 0.6 * (default_rng(3).random((2, 6, 6), np.float32) - 0.5) + 0.5
    points_v, points_u = (shifts + np.mgrid[0:6, 0:6]).reshape(2, -1)  # (36,)
    v, u = rows[..., None] / 10 + 1, cols[..., None] / 15 + 1
    expected = ((v - points_v) ** 4 + (u - points_u) ** 4).argmin(axis=-1)
    assert (cells.index == expected).all()
    assert cells.count == 36
