"""A scene goes in and a map comes out, or one line and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import MakeScene
from predict_factory import (
    BANDS,
    CLASSES,
    Brightness,
    Constant,
    Convolutions,
    Global,
    make_network,
    make_recipe,
    smooth_noise,
    whole_image,
)
from torch import nn

from eoseg.errors import BandError, ConfigError, DataError, OutputError
from eoseg.geo.mapfile import read_map_info
from eoseg.geo.scene import Scene
from eoseg.predict import Prediction, PredictOptions, Progress, match, predict_scene
from eoseg.predict.classifier import Classifier
from eoseg.predict.provenance import hash_recipe

IMAGE = smooth_noise(150, 170)


def predict(scene: Path, body: nn.Module | None = None, *, stride: int = 1, **options: object) -> Prediction:
    recipe = make_recipe(stride=stride)
    network = make_network(body or Brightness(), stride=stride, recipe=recipe)
    return predict_scene(
        network, recipe, str(scene), scene.with_name("map.tif"), options=PredictOptions(**options)
    )


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_map_lies_on_the_grid_of_its_scene(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS, pixel=(3.0, 7.0), crs="EPSG:27700")
    prediction = predict(path)
    with rasterio.open(path) as scene, rasterio.open(prediction.path) as found:
        assert (found.crs, found.transform, found.shape) == (scene.crs, scene.transform, scene.shape)
    np.testing.assert_array_equal(read(prediction.path), whole_image(make_network(Brightness()), IMAGE))


def test_the_result_says_what_was_done(make_scene: MakeScene) -> None:
    prediction = predict(make_scene("s.tif", IMAGE, names=BANDS), tile=64, halo=8)
    classes = read(prediction.path)
    assert prediction.pixels == 150 * 170
    assert prediction.class_pixels == tuple(np.bincount(classes.ravel(), minlength=4).tolist())
    assert (prediction.tiles, prediction.skipped, prediction.tile, prediction.halo) == (9, 0, 64, 8)
    assert prediction.exact
    assert prediction.disagreement is None
    assert prediction.device == "cpu"
    assert prediction.seconds > 0


def test_a_constant_network_gives_a_constant_map_up_to_every_border(make_scene: MakeScene) -> None:
    prediction = predict(make_scene("s.tif", IMAGE, names=BANDS), Constant(), stride=8, tile=32, halo=8)
    assert (read(prediction.path) == 2).all()


@pytest.mark.parametrize(("batch_size", "passes"), [(1, 4), (2, 2), (8, 1)])
def test_tiles_of_one_size_share_a_pass(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, batch_size: int, passes: int
) -> None:
    done = count_passes(monkeypatch)
    path = make_scene("s.tif", IMAGE[:, :128, :128], names=BANDS)
    prediction = predict(path, tile=64, halo=0, batch_size=batch_size)
    assert len(done) == passes
    expected = whole_image(make_network(Brightness()), IMAGE[:, :128, :128])
    np.testing.assert_array_equal(read(prediction.path), expected)


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    done: list[int] = []
    forward = Classifier._forward

    def counted(self, tiles):
        done.append(len(tiles))
        return forward(self, tiles)

    monkeypatch.setattr(Classifier, "_forward", counted)
    return done


def with_hole(dtype: type = np.uint8, value: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """The image with a hole of the given value, and where it is valid."""
    values = IMAGE.clip(1).astype(dtype)
    valid = np.ones(values.shape[1:], bool)
    valid[20:90, 30:150] = False
    values[:, ~valid] = value
    return values, valid


def check_hole(path: Path, valid: np.ndarray) -> None:
    prediction = predict(path, tile=32, halo=4)
    expected = whole_image(make_network(Brightness()), IMAGE.clip(1), valid)
    np.testing.assert_array_equal(read(prediction.path), expected)
    assert prediction.valid_pixels == valid.sum()
    assert prediction.skipped == 3  # the cores of 32 x 32 px that lie in the hole


def test_nodata_by_value_is_nodata_in_the_map(make_scene: MakeScene) -> None:
    values, valid = with_hole()
    check_hole(make_scene("s.tif", values, names=BANDS, nodata=0), valid)


def test_nan_is_nodata_in_the_map(make_scene: MakeScene) -> None:
    values, valid = with_hole(np.float32, np.nan)
    path = make_scene("s.tif", values, names=BANDS)
    recipe = make_recipe(dtype="float32")
    prediction = predict_scene(make_network(Brightness()), recipe, str(path), path.with_name("map.tif"))
    expected = whole_image(make_network(Brightness()), IMAGE.clip(1), valid)
    np.testing.assert_array_equal(read(prediction.path), expected)


@pytest.mark.parametrize("internal", [True, False])
def test_a_mask_is_nodata_in_the_map(make_scene: MakeScene, internal: bool) -> None:
    values, valid = with_hole()
    path = make_scene("s.tif", values, names=BANDS)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(valid)
    assert path.with_name("s.tif.msk").exists() != internal
    check_hole(path, valid)


def test_alpha_is_nodata_in_the_map(make_scene: MakeScene) -> None:
    values, valid = with_hole()
    with_alpha = np.concatenate([values, np.where(valid, 255, 0)[None].astype(np.uint8)])
    check_hole(make_scene("s.tif", with_alpha, names=[*BANDS, "alpha"], alpha="YES"), valid)


def test_tiles_without_a_valid_pixel_are_not_computed(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = count_passes(monkeypatch)
    values = IMAGE[:, :128, :128].clip(1)
    values[:, :64] = 0
    values[:, 64:, :64] = 0
    prediction = predict(make_scene("s.tif", values, names=BANDS, nodata=0), tile=64, halo=64)
    assert done == [1]
    assert (prediction.tiles, prediction.skipped) == (4, 3)
    assert (read(prediction.path)[:64] == 255).all()


def test_one_nan_changes_nothing_beyond_the_reach_of_the_network(make_scene: MakeScene) -> None:
    values = IMAGE.astype(np.float32)
    clean = make_scene("a/s.tif", values, names=BANDS)
    values = values.copy()
    values[1, 75, 85] = np.nan
    dirty = make_scene("b/s.tif", values, names=BANDS)
    recipe = make_recipe(dtype="float32")
    maps = []
    for path in (clean, dirty):
        network = make_network(Convolutions(4))
        maps.append(read(predict_scene(network, recipe, str(path), path.with_name("map.tif")).path))
    rows, cols = np.nonzero(maps[0] != maps[1])
    assert maps[1][75, 85] == 255
    assert (abs(rows - 75) <= 4).all()
    assert (abs(cols - 85) <= 4).all()
    assert (maps[1] == 255).sum() == 1


def test_a_scene_of_nodata_alone_is_refused_and_leaves_nothing(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", np.zeros_like(IMAGE), names=BANDS, nodata=0)
    with pytest.raises(DataError, match=r"no valid pixel: every value is nodata \(0"):
        predict(path)
    assert files(path.parent) == ["s.tif"]


@pytest.mark.parametrize("when", ["sampled", "mapped"])
def test_a_truncated_scene_is_refused_and_leaves_nothing(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    if when == "mapped":
        monkeypatch.setattr(match, "range_misfit", lambda scene, recipe: None)
    values = np.random.default_rng(0).integers(0, 255, (3, 600, 600), dtype=np.uint8)
    path = make_scene("s.tif", values, tiled=True, compress="deflate")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"cannot be read at rows .* truncated"):
        predict(path, tile=64, bands=BANDS)
    assert files(path.parent) == ["s.tif"]


def test_bands_that_do_not_fit_are_refused_before_anything_is_written(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=["B02", "B03", "B11"])
    with pytest.raises(BandError, match="B04 is missing"):
        predict(path)
    assert files(path.parent) == ["s.tif"]


def test_bands_nodata_and_ranges_can_be_given(make_scene: MakeScene) -> None:
    values = IMAGE.astype(np.float32)[::-1] / 255
    path = make_scene("s.tif", values, photometric="MINISBLACK")
    with pytest.raises(BandError, match="--bands"):
        predict(path)
    with pytest.raises(BandError, match="--allow-range-mismatch"):
        predict(path, bands=BANDS[::-1])
    value = float(values[0, 0, 0])
    prediction = predict(path, bands=BANDS[::-1], allow_range_mismatch=True, nodata=value)
    assert read(prediction.path)[0, 0] == 255
    assert "mismatch is allowed" in prediction.notices[0]


def test_an_existing_map_is_refused_and_then_replaced(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    predict(path, Constant())
    with pytest.raises(OutputError, match="exists already"):
        predict(path)
    predict(path, overwrite=True)
    np.testing.assert_array_equal(
        read(path.with_name("map.tif")), whole_image(make_network(Brightness()), IMAGE)
    )


def test_a_scene_is_never_replaced_by_its_map(make_scene: MakeScene) -> None:
    path = make_scene("map.tif", IMAGE, names=BANDS)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is the scene itself"):
        predict(path, overwrite=True)
    assert path.read_bytes() == before


def test_a_tile_off_the_stride_is_refused(make_scene: MakeScene) -> None:
    with pytest.raises(ConfigError, match="multiple of the network's output stride"):
        predict(make_scene("s.tif", IMAGE, names=BANDS), stride=8, tile=60)


def test_progress_counts_the_pixels_of_each_tile(make_scene: MakeScene) -> None:
    path, seen = make_scene("s.tif", IMAGE, names=BANDS), []
    predict_scene(
        make_network(Brightness()),
        make_recipe(),
        str(path),
        path.with_name("map.tif"),
        options=PredictOptions(tile=64),
        progress=seen.append,
    )
    assert len(seen) == 9
    assert seen[0] == Progress(64 * 64, 150 * 170)
    assert seen[-1] == Progress(150 * 170, 150 * 170)


def test_the_same_input_gives_the_same_bytes(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    first, second = [], []
    for found in (first, second):
        predict(path, Convolutions(3), tile=48, probabilities=True, overwrite=True)
        names = ("map.tif", "map.tif.aux.xml", "map_probabilities.tif")
        found += [path.with_name(name).read_bytes() for name in names]
    assert first == second


def test_a_map_tells_where_it_comes_from(make_scene: MakeScene, tmp_path: Path) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    checkpoint = tmp_path / "model.ckpt"
    checkpoint.write_bytes(b"abc")
    out = tmp_path / "map.tif"
    recipe = make_recipe()
    options = PredictOptions(tile=50, halo=0)
    predict_scene(
        make_network(Global(), recipe=recipe), recipe, str(path), out, options=options, checkpoint=checkpoint
    )
    info = read_map_info(out)
    assert [entry.name for entry in info.classes] == list(CLASSES)
    assert info.tags["EOSEG_CHECKPOINT"] == "model.ckpt"
    assert info.tags["EOSEG_CHECKPOINT_SHA256"].startswith("ba7816bf8f01cfea")
    assert info.tags["EOSEG_SCENE"] == "s.tif"
    assert info.tags["EOSEG_BANDS"] == "B02,B03,B04"
    assert (info.tags["EOSEG_TILE"], info.tags["EOSEG_HALO"]) == ("50", "0")
    assert info.tags["EOSEG_EXACT"] == "no"
    assert "global context" in info.tags["EOSEG_EXACT_BECAUSE"]
    assert " px" in info.tags["EOSEG_DISAGREEMENT"]
    assert info.tags["EOSEG_NETWORK"] == "unet for segmentation"
    assert info.tags["EOSEG_RECIPE_SHA256"] == hash_recipe(recipe)
    assert json.loads(info.tags["EOSEG_OPTIONS"]) == {
        "bands": "B02,B03,B04",
        "nodata": "its own",
        "nodata_policy": "any",
        "aoi": "everywhere",
        "probabilities": "no",
        "uncertainty": "no",
        "tta": "no",
        "mc_dropout": "no",
    }


def test_a_map_that_is_not_exact_says_by_how_much(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    prediction = predict(path, Global(), tile=32, halo=0)
    assert not prediction.exact
    assert prediction.disagreement is not None
    true = (read(prediction.path) != whole_image(make_network(Global()), IMAGE)).mean()
    assert true / 2.5 < prediction.disagreement.share < true * 2.5


def test_a_small_scene_is_exact_for_any_network(make_scene: MakeScene) -> None:
    prediction = predict(make_scene("s.tif", IMAGE, names=BANDS), Global())
    assert prediction.exact
    np.testing.assert_array_equal(read(prediction.path), whole_image(make_network(Global()), IMAGE))


def test_probabilities_go_with_the_classes(make_scene: MakeScene) -> None:
    values, valid = with_hole()
    path = make_scene("s.tif", values, names=BANDS, nodata=0)
    prediction = predict(path, Convolutions(3), tile=32, probabilities=True)
    assert prediction.probabilities == path.with_name("map_probabilities.tif")
    classes = read(prediction.path)
    with rasterio.open(prediction.probabilities) as dataset:
        shares = dataset.read()
        assert dataset.descriptions == CLASSES
    assert (shares[:, ~valid] == 255).all()
    own = np.take_along_axis(shares, classes.clip(max=3)[None].astype(int), axis=0)[0]
    np.testing.assert_array_equal(own[valid], shares[:, valid].max(axis=0))
    np.testing.assert_allclose(shares[:, valid].sum(axis=0), 250, atol=2)


def test_a_scene_without_crs_is_mapped_without(make_scene: MakeScene) -> None:
    path = make_scene("s.png", IMAGE, crs=None, driver="PNG")
    recipe = make_recipe(("red", "green", "blue"))
    network = make_network(Brightness(), recipe=recipe)
    prediction = predict_scene(network, recipe, str(path), path.with_name("map.tif"))
    info = read_map_info(prediction.path)
    assert info.grid.crs is None
    assert (info.grid.height, info.grid.width) == IMAGE.shape[1:]


def test_what_no_other_thread_may_do_is_left_undone_after_an_error_of_the_network(
    make_scene: MakeScene,
) -> None:
    class Broken(nn.Module):
        def forward(self, image):
            if image.shape[2] == 40:
                raise ZeroDivisionError
            return Brightness()(image)

    path = make_scene("s.tif", IMAGE, names=BANDS)
    with pytest.raises(ZeroDivisionError):
        predict(path, Broken(), tile=40)
    assert files(path.parent) == ["s.tif"]


def test_only_the_area_of_interest_is_mapped_and_read(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Affine(10, 0, 500_000, 0, -10, 5_400_000)
    corners = [place @ corner for corner in ((70, 20), (120, 20), (120, 61), (70, 61), (70, 20))]
    path = tmp_path / "area.geojson"
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    shape = {"type": "Polygon", "coordinates": [corners]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    scene = make_scene("s.tif", IMAGE, names=BANDS)
    windows = []
    read_window = Scene.read
    monkeypatch.setattr(
        Scene, "read", lambda self, window: windows.append(window) or read_window(self, window)
    )
    monkeypatch.setattr(match, "range_misfit", lambda scene, recipe: None)
    found = predict(scene, Convolutions(3), tile=32, halo=3, aoi=str(path))
    expected = np.full((150, 170), 255, np.uint8)
    inside = (slice(20, 61), slice(70, 120))  # as in a map of the whole scene: what lies around is seen
    expected[inside] = whole_image(make_network(Convolutions(3)), IMAGE)[inside]
    np.testing.assert_array_equal(read(found.path), expected)
    assert (found.valid_pixels, found.tiles, found.skipped) == (41 * 50, 30, 26)
    assert len(windows) == 4
