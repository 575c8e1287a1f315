"""Maps of every task: pairs, series, quantities, chips and models that are fitted in one go."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from predict_factory import (
    BANDS,
    Brightness,
    ChipBrightness,
    FittedWindow,
    Global,
    Later,
    PairConvolutions,
    SeriesConvolutions,
    ThreeDates,
    make_network,
    make_recipe,
    smooth_noise,
    whole_image,
    whole_logits,
)
from torch import Tensor, nn

from eoseg.errors import ConfigError, DataError, GridError
from eoseg.geo.mapfile import map_kind, read_map_info
from eoseg.geo.valuefile import read_value_info
from eoseg.models.network import Network
from eoseg.predict import Prediction, PredictOptions, predict_scene
from eoseg.predict.classifier import Classifier
from eoseg.recipe import Quantity, Recipe

IMAGE = smooth_noise(70, 90)
LATER = smooth_noise(70, 90, seed=1)
PAIR = make_recipe(time="pair", steps=2)
SERIES = make_recipe(time="series", steps=3)
DAYS = {"s_2021-01-10.tif": 10, "s_2021-04-10.tif": 100, "s_2021-12-31.tif": 365}
HEIGHT = Quantity("height", "m")


def predict(network: Network, recipe: Recipe, scenes: list[Path], **options: object) -> Prediction:
    out = scenes[0].with_name("map.tif")
    return predict_scene(
        network, recipe, [str(path) for path in scenes], out, options=PredictOptions(**options)
    )


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read().squeeze(0) if dataset.count == 1 else dataset.read()


# Pairs


def test_change_is_mapped_from_the_earlier_and_the_later_scene(make_scene: MakeScene) -> None:
    before = make_scene("a_2020-05-01.tif", IMAGE[::-1], names=BANDS[::-1])
    after = make_scene("b_2021-05-01.tif", LATER[::-1], names=BANDS[::-1])
    network = make_network(Later(), recipe=PAIR)
    prediction = predict(network, PAIR, [before, after], tile=32)
    expected = whole_logits(network, np.stack([IMAGE, LATER]), np.ones((2, 70, 90), bool)).argmax(dim=0)
    np.testing.assert_array_equal(read(prediction.path), expected)
    assert len(np.unique(expected)) == 4
    tags = read_map_info(prediction.path).tags
    assert tags["EOSEG_SCENE"] == "a_2020-05-01.tif,b_2021-05-01.tif"
    assert tags["EOSEG_DATES"] == "2020-05-01,2021-05-01"


def test_change_needs_both_dates(make_scene: MakeScene) -> None:
    first, second = IMAGE.clip(1), LATER.clip(1)
    first[:, :20], second[:, :, :32] = 0, 0
    paths = [make_scene(f"{n}.tif", image, names=BANDS, nodata=0) for n, image in enumerate((first, second))]
    prediction = predict(make_network(Later(), recipe=PAIR), PAIR, paths, tile=32)
    missing = (first == 0).any(axis=0) | (second == 0).any(axis=0)
    np.testing.assert_array_equal(read(prediction.path) == 255, missing)
    assert prediction.skipped == 3  # the first column of tiles
    assert prediction.valid_pixels == (~missing).sum()


def test_two_dates_without_a_common_pixel_are_refused(make_scene: MakeScene) -> None:
    first, second = IMAGE.clip(1), LATER.clip(1)
    first[:, :35], second[:, 35:] = 0, 0
    paths = [make_scene(f"{n}.tif", image, names=BANDS, nodata=0) for n, image in enumerate((first, second))]
    with pytest.raises(DataError, match="no pixel that is valid in both"):
        predict(make_network(Later(), recipe=PAIR), PAIR, paths)
    assert not paths[0].with_name("map.tif").exists()


def test_the_threshold_of_the_recipe_decides_on_change(make_scene: MakeScene) -> None:
    class Odds(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            difference = image[:, 1, :1] - image[:, 0, :1]
            return torch.cat([torch.zeros_like(difference), difference], dim=1)

    paths = [make_scene(f"{n}.tif", image, names=BANDS) for n, image in enumerate((IMAGE, LATER))]
    maps = []
    for threshold in (None, 0.5, 0.8):
        recipe = make_recipe(time="pair", steps=2, classes=("no", "yes"), threshold=threshold)
        network = make_network(Odds(), recipe=recipe)
        prediction = predict(network, recipe, paths, overwrite=True)
        maps.append(read(prediction.path))
        assert read_map_info(prediction.path).tags.get("EOSEG_THRESHOLD") == (threshold and f"{threshold:g}")
    # Standard deviation 58.75 of the recipe: probability 0.8 where the difference is log 4 deviations.
    difference = LATER[0].astype(float) - IMAGE[0]
    np.testing.assert_array_equal(maps[0], difference > 0)
    np.testing.assert_array_equal(maps[1], difference >= 0)
    np.testing.assert_array_equal(maps[2], difference / 58.75 >= np.log(4))
    assert 0 < maps[2].sum() < maps[1].sum()


def test_dates_on_other_grids_are_refused_and_leave_nothing(make_scene: MakeScene) -> None:
    before = make_scene("a.tif", IMAGE, names=BANDS)
    after = make_scene("b.tif", LATER[:, :60], names=BANDS)
    with pytest.raises(GridError, match=r"size 90 x 60 px instead of 90 x 70 px\. To repair: rio warp"):
        predict(make_network(Later(), recipe=PAIR), PAIR, [before, after])
    assert not before.with_name("map.tif").exists()


def test_a_map_never_replaces_the_later_scene(make_scene: MakeScene) -> None:
    before, after = (make_scene(name, IMAGE, names=BANDS) for name in ("a.tif", "map.tif"))
    with pytest.raises(ConfigError, match="is the scene itself"):
        predict(make_network(Later(), recipe=PAIR), PAIR, [before, after], overwrite=True)


def test_a_map_of_change_that_is_not_exact_says_by_how_much(make_scene: MakeScene) -> None:
    class GlobalChange(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return Global()(image[:, 1] - image[:, 0])

    paths = [make_scene(f"{n}.tif", image, names=BANDS) for n, image in enumerate((IMAGE, LATER))]
    prediction = predict(make_network(GlobalChange(), recipe=PAIR), PAIR, paths, tile=32, halo=0)
    assert not prediction.exact
    assert prediction.disagreement is not None
    assert prediction.disagreement.differing > 0


# Series


def write_series(make_scene: MakeScene, *, nodata: float | None = None) -> list[np.ndarray]:
    images = [smooth_noise(70, 90, seed=seed).clip(1) for seed in range(3)]
    if nodata is not None:
        images[0][:, :40] = images[1][:, :, :50] = images[2][:, 10:] = int(nodata)
    for name, image in zip(DAYS, images, strict=True):
        make_scene(f"series/{name}", image, names=BANDS, nodata=nodata)
    return images


def test_a_folder_of_dates_is_a_series(make_scene: MakeScene, tmp_path: Path) -> None:
    images = write_series(make_scene)
    network = make_network(SeriesConvolutions(2), recipe=SERIES)
    out = tmp_path / "map.tif"
    prediction = predict_scene(
        network, SERIES, str(tmp_path / "series"), out, options=PredictOptions(tile=32)
    )
    logits = whole_logits(network, np.stack(images), np.ones((3, 70, 90), bool), list(DAYS.values()))
    np.testing.assert_array_equal(read(out), logits.argmax(dim=0))
    assert prediction.exact
    assert read_map_info(out).tags["EOSEG_DATES"] == "2021-01-10,2021-04-10,2021-12-31"


def test_a_series_has_a_value_where_any_date_has(make_scene: MakeScene, tmp_path: Path) -> None:
    images = write_series(make_scene, nodata=0)
    valid = np.stack([(image != 0).all(axis=0) for image in images])
    network = make_network(SeriesConvolutions(2), recipe=SERIES)
    files = [tmp_path / "series" / name for name in reversed(DAYS)]
    prediction = predict(network, SERIES, files, tile=30)
    logits = whole_logits(network, np.stack(images), valid, list(DAYS.values()))
    classes = read(prediction.path)
    np.testing.assert_array_equal(classes, np.where(valid.any(axis=0), logits.argmax(dim=0), 255))
    assert 0 < (classes == 255).sum() == 70 * 90 - prediction.valid_pixels


def test_another_number_of_dates_is_refused_where_the_network_needs_it(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    write_series(make_scene)
    files = [tmp_path / "series" / name for name in list(DAYS)[:2]]
    with pytest.raises(
        DataError, match="series of 3 dates .* found 2. The longest gap is between 2021-01-10 and"
    ):
        predict(make_network(ThreeDates(), recipe=SERIES), SERIES, files)
    assert not files[0].with_name("map.tif").exists()
    assert predict(make_network(SeriesConvolutions(1), recipe=SERIES), SERIES, files).valid_pixels == 70 * 90


def test_a_series_without_any_value_is_refused(make_scene: MakeScene) -> None:
    empty = np.zeros_like(IMAGE)
    files = [make_scene(name, empty, names=BANDS, nodata=0) for name in DAYS]
    with pytest.raises(DataError, match="has no valid pixel on any date: every value is nodata"):
        predict(make_network(SeriesConvolutions(1), recipe=SERIES), SERIES, files)


# Quantities


class Estimate(nn.Module):
    """The standardised first band."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1]


class GlobalEstimate(nn.Module):
    """The first band less its mean over the image."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] - image[:, :1].mean(dim=(2, 3), keepdim=True)


def test_a_quantity_is_mapped_in_its_unit(make_scene: MakeScene) -> None:
    values = IMAGE.clip(1)
    values[:, :20] = 0
    recipe = make_recipe(quantity=HEIGHT)
    path = make_scene("s.tif", values, names=BANDS, nodata=0)
    prediction = predict(make_network(Estimate(), recipe=recipe), recipe, [path], tile=32)
    expected = (values[0].astype(np.float32) - 127.5) / 58.75 * 5 + 10
    expected[:20] = np.nan
    found = read(prediction.path)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32
    assert read_value_info(prediction.path).quantity == HEIGHT
    with rasterio.open(prediction.path) as dataset:
        assert np.isnan(dataset.nodata)
        assert dataset.units == ("m",)
    assert prediction.values is not None
    known = expected[20:]
    assert prediction.values.least == pytest.approx(known.min(), rel=1e-5)
    assert prediction.values.mean == pytest.approx(known.mean(), rel=1e-5)
    assert prediction.values.most == pytest.approx(known.max(), rel=1e-5)
    assert (prediction.valid_pixels, prediction.class_pixels) == (50 * 90, ())
    assert map_kind(prediction.path) == "values"


def test_an_inexact_map_of_a_quantity_counts_clearly_other_values(make_scene: MakeScene) -> None:
    recipe = make_recipe(quantity=HEIGHT)
    path = make_scene("s.tif", IMAGE, names=BANDS)
    network = make_network(GlobalEstimate(), recipe=recipe)
    prediction = predict(network, recipe, [path], tile=32, halo=0)
    assert prediction.disagreement is not None
    assert prediction.disagreement.tolerance == 0.5
    assert 0 < prediction.disagreement.differing <= prediction.disagreement.pixels


def test_probabilities_of_a_quantity_are_refused_before_any_work(make_scene: MakeScene) -> None:
    recipe = make_recipe(quantity=HEIGHT)
    path = make_scene("s.tif", IMAGE, names=BANDS)
    with pytest.raises(ConfigError, match="no probabilities"):
        predict(make_network(Estimate(), recipe=recipe), recipe, [path], probabilities=True)


# Chips


def chip_network(body: nn.Module, recipe: Recipe) -> Network:
    return make_network(body, recipe=recipe, kind="classification")


def chips_by_hand(network: Network, image: np.ndarray, valid: np.ndarray, core: int, chip: int) -> np.ndarray:
    """Each core's class, from the chip around it; what is outside the scene is invalid."""
    halo, (height, width) = (chip - core) // 2, valid.shape
    around = ((halo, chip), (halo, chip))
    padded, known = np.pad(image.astype(np.float32), ((0, 0), *around)), np.pad(valid, around)
    classes = np.full((height, width), 255, np.uint8)
    for row in range(0, height, core):
        for col in range(0, width, core):
            part = np.s_[row : row + chip, col : col + chip]
            with torch.inference_mode():
                logits = network(
                    torch.from_numpy(padded[:, *part])[None], torch.from_numpy(known[part])[None]
                )
            classes[row : row + core, col : col + core] = int(logits.argmax())
    classes[~valid] = 255
    return classes


@pytest.mark.parametrize("tile", ["auto", 10, 6])
def test_each_core_has_the_class_of_the_chip_around_it(make_scene: MakeScene, tile: int | str) -> None:
    values = IMAGE.clip(1)
    values[:, 20:40, 30:60] = 0
    valid = (values != 0).all(axis=0)
    recipe = make_recipe(chip_size=16)
    network = chip_network(ChipBrightness(), recipe)
    path = make_scene("s.tif", values, names=BANDS, nodata=0)
    prediction = predict(network, recipe, [path], tile=tile)
    core = 16 if tile == "auto" else int(tile)
    np.testing.assert_array_equal(read(prediction.path), chips_by_hand(network, values, valid, core, 16))
    assert (prediction.tile, prediction.halo) == (core, (16 - core) // 2)
    assert prediction.exact
    assert f"each core of {core} px is classified from the chip of 16 px around it" in prediction.reason
    assert len(np.unique(read(prediction.path))) > 3


def test_chips_share_a_pass(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    forward = Classifier._forward
    monkeypatch.setattr(
        Classifier, "_forward", lambda self, tiles: (done.append(len(tiles)), forward(self, tiles))[1]
    )
    recipe = make_recipe(chip_size=8)
    path = make_scene("s.tif", IMAGE[:, :64, :64], names=BANDS)
    maps = []
    for options, passes in (({}, [32, 32]), ({"batch_size": 50}, [50, 14])):
        done.clear()
        prediction = predict(
            chip_network(ChipBrightness(), recipe), recipe, [path], overwrite=True, **options
        )
        assert done == passes
        maps.append(read(prediction.path))
    np.testing.assert_array_equal(maps[0], maps[1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 18}, "chips of 16 px, which a tile cannot exceed; found --tile 18. Use 16, or less"),
        ({"tile": 5}, "differ by an even number; found --tile 5. Use 4 or 6"),
        ({"tile": 1}, "Use 2"),
        ({"halo": 4}, "the halo follows from the tile; found --halo 4. Leave it out"),
    ],
)
def test_a_tile_that_is_no_middle_of_a_chip_is_refused(
    make_scene: MakeScene, options: dict[str, int], words: str
) -> None:
    recipe = make_recipe(chip_size=16)
    path = make_scene("s.tif", IMAGE, names=BANDS)
    with pytest.raises(ConfigError, match=words):
        predict(chip_network(ChipBrightness(), recipe), recipe, [path], **options)
    assert not path.with_name("map.tif").exists()


def test_probabilities_of_chips_are_those_of_their_class(make_scene: MakeScene) -> None:
    recipe = make_recipe(chip_size=16)
    path = make_scene("s.tif", IMAGE, names=BANDS)
    prediction = predict(chip_network(ChipBrightness(), recipe), recipe, [path], probabilities=True)
    classes, shares = read(prediction.path), read(prediction.probabilities)
    own = np.take_along_axis(shares, classes[None].astype(int), axis=0)[0]
    np.testing.assert_array_equal(own, shares.max(axis=0))
    assert (shares[:, :16, :16] == shares[:, :1, :1]).all()


def test_chips_with_several_labels_have_a_band_for_each(make_scene: MakeScene) -> None:
    class Labels(nn.Module):
        """A label holds where a band is bright in the mean; the last never."""

        def forward(self, image: Tensor) -> Tensor:
            mean = image.mean(dim=(2, 3))
            return torch.cat([mean, mean[:, :1] - 100], dim=1)

    recipe = make_recipe(chip_size=10, multilabel=True)
    path = make_scene("s.tif", IMAGE, names=BANDS)
    prediction = predict(chip_network(Labels(), recipe), recipe, [path], probabilities=True)
    cells = IMAGE.reshape(3, 7, 10, 9, 10).mean(axis=(2, 4))
    expected = (cells > 127.5).repeat(10, axis=1).repeat(10, axis=2)
    labels, shares = read(prediction.path), read(prediction.probabilities)
    np.testing.assert_array_equal(labels[:3], expected)
    assert (labels[3] == 0).all()
    np.testing.assert_array_equal(shares[:3] > 125, expected)
    assert prediction.class_pixels == (*expected.sum(axis=(1, 2)).tolist(), 0)
    assert prediction.valid_pixels == 70 * 90
    assert map_kind(prediction.path) == "labels"


# Models that are fitted in one go


@pytest.mark.parametrize("tile", [16, 33])
def test_a_fitted_model_is_tiled_exactly_by_the_halo_that_it_declares(
    make_scene: MakeScene, tile: int
) -> None:
    recipe, path = make_recipe(), make_scene("s.tif", IMAGE, names=BANDS)
    network = make_network(FittedWindow(), recipe=recipe)
    prediction = predict(network, recipe, [path], tile=tile)
    assert (prediction.exact, prediction.halo) == (True, 2)
    assert "look 2 px around" in prediction.reason
    np.testing.assert_array_equal(read(prediction.path), whole_image(network, IMAGE))
    too_little = predict(network, recipe, [path], tile=tile, halo=1, overwrite=True)
    assert not too_little.exact
    assert (read(too_little.path) != whole_image(network, IMAGE)).any()


def test_a_fitted_model_runs_on_the_cpu(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, path = make_recipe(), make_scene("s.tif", IMAGE, names=BANDS)
    network = make_network(FittedWindow(), recipe=recipe)
    with pytest.raises(ConfigError, match="runs on the CPU, .* found --device cuda. Use --device cpu"):
        predict(network, recipe, [path], device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert predict(network, recipe, [path]).device == "cpu"


def test_a_pair_is_mapped_by_convolutions_with_default_tiles(make_scene: MakeScene) -> None:
    paths = [make_scene(f"{n}.tif", image, names=BANDS) for n, image in enumerate((IMAGE, LATER))]
    prediction = predict(make_network(PairConvolutions(3), recipe=PAIR), PAIR, paths, max_memory_mb=64)
    assert (prediction.exact, prediction.tiles) == (True, 1)


def test_a_pretrained_network_maps_nothing(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    with pytest.raises(ConfigError, match="of a pretraining: .* Train a task with this checkpoint"):
        predict(make_network(Brightness(), kind="pretraining"), make_recipe(), [path])


def test_several_dates_are_refused_for_a_network_of_one(make_scene: MakeScene) -> None:
    paths = [make_scene(f"{n}.tif", IMAGE, names=BANDS) for n in range(2)]
    with pytest.raises(ConfigError, match="one scene at a time; found 2"):
        predict(make_network(Brightness()), make_recipe(), paths)
