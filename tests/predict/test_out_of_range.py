"""Values that training never saw: the share at each pixel, and the tiles that hold many."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from predict_factory import BANDS, Brightness, ChipBrightness, Global, make_network, make_recipe
from torch import Tensor, nn

from eoseg.predict import Prediction, PredictOptions, Rank, predict_scene, predict_share
from eoseg.predict.out_of_range import OutOfRange, Ranges
from eoseg.recipe import BandStatistics, Quantity, Recipe

TRAINED = make_recipe(values=(20, 30, 200, 220))


def band_of(path: Path | None) -> np.ndarray:
    assert path is not None
    with rasterio.open(path) as dataset:
        return dataset.read(dataset.descriptions.index("out_of_range") + 1)


def planted() -> np.ndarray:
    """60 x 80 px, tiles of 16 px: half of one is out of range, 13 px of another and 12 px of a third."""
    image = np.full((3, 60, 80), 100, np.uint8)
    image[0, 16:24, 32:48] = 221
    image[1, 16:20, 32:48] = 19
    image[2, 33, 0:13] = 255
    image[2, 1, 1:13] = 255
    image[0, 50, 70], image[1, 50, 70] = 20, 220  # the ends of the range are inside
    image[:, :16, 64:] = 1  # no value
    return image


FOUND = OutOfRange(19, 2, 0.5, 24, 40, (500_400.0, 5_399_760.0))


def predict(
    path: Path, body: nn.Module | None = None, recipe: Recipe = TRAINED, **options: object
) -> Prediction:
    network = make_network(body or Brightness(), recipe=recipe)
    chosen = PredictOptions(uncertainty=True, overwrite=True, **{"tile": 16, **options})
    return predict_scene(network, recipe, str(path), path.with_name("map.tif"), options=chosen)


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", planted(), names=BANDS, nodata=1)


@pytest.mark.parametrize("dates", [None, 4])
def test_the_share_is_that_of_the_valid_values(dates: int | None) -> None:
    rng = np.random.default_rng(0)
    axes = (2,) if dates is None else (2, dates)
    image = rng.integers(0, 256, (*axes, 3, 7, 9)).astype(np.float32)
    valid = rng.random((*axes, 7, 9)) > 0.3
    valid[..., 0, 0] = False
    image[~np.broadcast_to(valid[..., None, :, :], image.shape)] = np.nan
    outside = (image < 20) | (image > 220)
    found = outside.reshape(2, -1, 7, 9).sum(axis=1)
    values = 3 * valid.reshape(2, -1, 7, 9).sum(axis=1)
    ranges = Ranges([TRAINED])
    given = torch.from_numpy(image), torch.from_numpy(valid)
    shares = ranges.outside(*given)[:, 0].numpy()
    np.testing.assert_allclose(shares, found / np.maximum(values, 1), atol=0.002)
    assert ((shares > 0) == (found > 0)).all()
    assert (shares[:, 0, 0] == 0).all()
    of_chips = ranges.outside(*given, of_chips=True).numpy()
    expected = found.sum(axis=(1, 2)) / values.sum(axis=(1, 2))
    np.testing.assert_allclose(of_chips[:, 0], expected, atol=0.002)


def test_one_value_of_very_many_is_seen_too() -> None:
    image, valid = torch.full((1, 300, 3, 1, 1), 100.0), torch.ones((1, 300, 1, 1), dtype=torch.bool)
    image[0, 7, 1] = 221
    assert Ranges([TRAINED]).outside(image, valid).item() == pytest.approx(1 / 250)


def test_of_several_trainings_the_widest_range_counts() -> None:
    other = make_recipe(values=(10, 30, 200, 210))
    image, valid = (
        torch.tensor([9.0, 15.0, 215.0]).view(3, 1, 1, 1).expand(3, 3, 1, 1),
        torch.ones(3, 1, 1) > 0,
    )
    assert Ranges([TRAINED, other]).outside(image, valid).flatten().tolist() == [1, 0, 0]


def test_bands_are_found_by_name() -> None:
    statistics = TRAINED.statistics
    turned = (BandStatistics("B04", 1, 1, 0, 0, 1, 1), *statistics.bands[1::-1])
    ranges = Ranges([replace(TRAINED, statistics=replace(statistics, bands=turned))])
    image = torch.full((1, 3, 1, 1), 100.0)
    assert ranges.outside(image, torch.ones(1, 1, 1) > 0).item() == pytest.approx(83 / 250)


def test_planted_values_are_found_where_they_are(scene: Path) -> None:
    prediction = predict(scene)
    image = planted()
    expected = np.round(((image < 20) | (image > 220)).mean(axis=0) * 250)
    expected[:16, 64:] = 255
    np.testing.assert_array_equal(band_of(prediction.uncertainty), expected)
    assert prediction.out_of_range == FOUND
    with rasterio.open(prediction.path) as dataset:
        said = dataset.tags()["EOSEG_OUT_OF_RANGE"]
    assert said == "2 of 19 tiles, worst 50.0% around row 24, column 40"
    for tile in (60, 32):
        np.testing.assert_array_equal(band_of(predict(scene, tile=tile).uncertainty), expected)
    whole = predict(scene, tile=80).out_of_range
    assert whole is not None
    assert (whole.tiles, whole.flagged) == (1, 0)  # 153 of 4544 px
    assert whole.worst == pytest.approx(153 / 4544)


def test_it_is_the_same_where_tiles_are_blended(scene: Path) -> None:
    expected = band_of(predict(scene).uncertainty)
    prediction = predict(scene, Global(), halo=8)
    assert prediction.blended == 16
    np.testing.assert_array_equal(band_of(prediction.uncertainty), expected)
    assert prediction.out_of_range == FOUND


def test_it_is_the_same_for_any_number_of_processes_and_after_a_stop(scene: Path) -> None:
    expected = band_of(predict(scene).uncertainty)
    options = PredictOptions(uncertainty=True, tile=16)
    network = make_network(Brightness(), recipe=TRAINED)

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    shared, stopped = (scene.with_name(name) for name in ("shared.tif", "stopped.tif"))
    for number in (2, 0, 1):  # three shares cut rows of tiles
        made = predict_share(network, TRAINED, str(scene), shared, rank=Rank(number, 3), options=options)
    with pytest.raises(KeyboardInterrupt):
        predict_scene(network, TRAINED, str(scene), stopped, options=options, progress=stop)
    resumed = predict_scene(network, TRAINED, str(scene), stopped, options=options)
    assert resumed.resumed > 0
    for prediction in (made, resumed):
        assert prediction is not None
        np.testing.assert_array_equal(band_of(prediction.uncertainty), expected)
        assert prediction.out_of_range == FOUND


def test_a_chip_has_one_share(scene: Path) -> None:
    recipe = replace(TRAINED, chip_size=16)
    network = make_network(ChipBrightness(), recipe=recipe, kind="classification")
    options = PredictOptions(uncertainty=True)
    prediction = predict_scene(network, recipe, str(scene), scene.with_name("map.tif"), options=options)
    band = band_of(prediction.uncertainty)
    assert (band[16:32, 32:48] == round(250 * (128 + 64) / 768)).all()
    assert (band[32:48, :16] == round(250 * 13 / 768)).all()
    assert (band[:16, 16:64] == 0).all()
    assert prediction.out_of_range is not None
    assert prediction.out_of_range.flagged == 3  # a chip with any has it in all its pixels


def test_a_quantity_has_it_too(scene: Path) -> None:
    class Value(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image[:, :1]

    recipe = make_recipe(values=(20, 30, 200, 220), quantity=Quantity("height", "m"))
    prediction = predict(scene, Value(), recipe)
    band = band_of(prediction.uncertainty)
    assert band.dtype == np.float32
    np.testing.assert_allclose(band[16:24, 32], [167 / 250] * 4 + [83 / 250] * 4, rtol=1e-6)
    assert np.isnan(band[0, 70])
    assert prediction.out_of_range == FOUND


def test_the_place_is_on_the_scenes_own_grid(make_scene: MakeScene) -> None:
    recipe = make_recipe(values=(20, 30, 200, 220), pixel_metres=20.0)
    path = make_scene("s.tif", planted().repeat(4, 1).repeat(4, 2), names=BANDS, nodata=1, pixel=(5.0, 5.0))
    prediction = predict(path, recipe=recipe)
    assert any("read at 20 m" in notice for notice in prediction.notices)
    found = prediction.out_of_range
    assert found is not None
    assert (found.tiles, found.flagged, found.row, found.column) == (19, 2, 96, 160)
    assert found.worst == 0.5


def test_it_is_only_looked_for_where_it_is_wanted(scene: Path) -> None:
    prediction = predict_scene(
        make_network(Brightness(), recipe=TRAINED), TRAINED, str(scene), scene.with_name("map.tif")
    )
    assert prediction.out_of_range is None
    with rasterio.open(prediction.path) as dataset:
        assert "EOSEG_OUT_OF_RANGE" not in dataset.tags()


def test_a_scene_inside_the_range_is_not_flagged(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", np.full((3, 20, 30), 100, np.uint8), names=BANDS, crs=None)
    assert predict(path).out_of_range == OutOfRange(4, 0, 0.0, 8, 8, None)
