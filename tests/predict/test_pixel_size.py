"""Scenes of another pixel size than the training's are read at that size and mapped on their own grid."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from conftest import MakeScene
from predict_factory import (
    BANDS,
    Brightness,
    ChipBrightness,
    Convolutions,
    PairConvolutions,
    SeriesConvolutions,
    make_network,
    make_recipe,
    smooth_noise,
    whole_logits,
)
from range_server import serve
from rasterio.crs import CRS
from torch import Tensor, nn

from eoseg.errors import ConfigError, DataError, GridError, OutputError
from eoseg.geo.axis import Axis
from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import item_path, read_map_info
from eoseg.geo.resample import resampled_grid
from eoseg.geo.stack import SceneStack
from eoseg.geo.tiles import plan_tiles
from eoseg.geo.window import Window
from eoseg.models.network import Network
from eoseg.predict import Prediction, PredictOptions, Rank, predict_scene, predict_share
from eoseg.predict.pixel_size import choose_resampling
from eoseg.predict.plan import ChipPlan
from eoseg.predict.sources import scenes_as_rasters
from eoseg.recipe import Quantity, Recipe

IMAGE = smooth_noise(90, 131).clip(1)
GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 90, 131)
FINE, COARSE = 4.0, 27.0
"""Pixel sizes of a training: the scenes here have 10 m."""
TILE = {FINE: 64, 5.0: 64, COARSE: 16, 20.0: 16, 30.0: 16, 50.0: 16}
"""Tiles that cut them into several."""


def predict(
    network: Network, recipe: Recipe, scenes: Sequence[Path | str] | Path, **options: object
) -> Prediction:
    paths = [scenes] if isinstance(scenes, Path) else list(scenes)
    out = Path(paths[0]).with_name("map.tif")
    chosen = PredictOptions(**options)
    return predict_scene(network, recipe, [str(path) for path in paths], out, options=chosen)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def nearest(own: Grid, computed: Grid) -> tuple[np.ndarray, np.ndarray]:
    rows = Axis.between(computed.height, own.height, 0, own.height).nearest
    return np.ix_(rows, Axis.between(computed.width, own.width, 0, own.width).nearest)


def by_hand(
    network: Network, paths: Sequence[Path], size: float, days: list[float] | None = None
) -> np.ndarray:
    """The classes on the whole scene at a pixel size, on the scene's own grid."""
    single, usable = network.kind not in ("change", "series"), {"change": np.all, "series": np.any}
    with SceneStack(paths) as stack:
        own, grid, valid = stack.grid, resampled_grid(stack.grid, size), stack.read(stack.grid.window)[1]
    with SceneStack(paths, onto=grid) as stack:
        image, known = stack.read(grid.window)
    if single:
        image, known = image[0], known[0]
    classes = whole_logits(network, image, known, days).argmax(dim=0).numpy()
    return np.where(usable.get(network.kind, np.all)(valid, axis=0), classes[nearest(own, grid)], 255)


@pytest.mark.parametrize("size", [FINE, COARSE, 50.0], ids=str)
def test_a_map_is_that_of_the_resampled_scene_on_the_own_grid(
    make_scene: MakeScene, tmp_path: Path, size: float
) -> None:
    values = IMAGE.copy()
    values[:, 20:35, 40:90] = 0
    path = make_scene("s.tif", values, names=BANDS, nodata=0)
    network, recipe = make_network(Convolutions(3)), make_recipe(pixel_metres=size)
    prediction = predict(network, recipe, path, tile=TILE[size], probabilities=True)
    with rasterio.open(path) as scene, rasterio.open(prediction.path) as found:
        assert (found.crs, found.transform, found.shape) == (scene.crs, scene.transform, scene.shape)
    classes = read(prediction.path)[0]
    np.testing.assert_array_equal(classes, by_hand(network, [path], size))
    assert len(np.unique(classes)) == 5
    assert (prediction.exact, prediction.halo, prediction.pixels) == (True, 3, 90 * 131)
    assert prediction.valid_pixels == 90 * 131 - 15 * 50
    assert prediction.class_pixels == tuple(np.bincount(classes.ravel(), minlength=256)[:4].tolist())
    shares = read(prediction.probabilities)  # type: ignore[arg-type]
    own = np.take_along_axis(shares, classes.clip(max=3)[None].astype(int), axis=0)[0]
    np.testing.assert_array_equal(own[classes != 255], shares[:, classes != 255].max(axis=0))
    assert (shares[:, classes == 255] == 255).all()


@pytest.mark.parametrize("size", [5.0, 20.0, 30.0], ids=str)
def test_fields_stay_where_they_are(make_scene: MakeScene, size: float) -> None:
    """Fields begin where pixels of both grids begin, so that nothing but a shift can change a class."""
    row, col = np.indices((90, 132)) // 6
    classes = (row + col) % 2 * 3
    path = make_scene("s.tif", np.stack([classes * 80 + 5] * 3).astype(np.uint8), names=BANDS)

    class Bright(nn.Module):
        """Class 3 where the first band is bright, else class 0."""

        def forward(self, image: Tensor) -> Tensor:
            one_hot = nn.functional.one_hot(((image[:, 0] > 0) * 3).long(), 4)
            return one_hot.permute(0, 3, 1, 2).float()

    prediction = predict(make_network(Bright()), make_recipe(pixel_metres=size), path, tile=TILE[size])
    np.testing.assert_array_equal(read(prediction.path)[0], classes)


def test_the_scene_is_told_as_it_was_and_as_it_is_read(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    network = make_network(Brightness())
    prediction = predict(network, make_recipe(pixel_metres=COARSE), path, tile=16)
    (notice,) = prediction.notices
    assert notice == (
        f"'{path}' is read at 27 m, as the network was trained; its own pixels are 10 m. The map is on the "
        "scene's own grid."
    )
    tags = read_map_info(prediction.path).tags
    assert (tags["EOSEG_PIXEL_SIZE"], tags["EOSEG_SCENE"]) == ("27.0 m", "s.tif")
    assert prediction.square_kilometres == pytest.approx(90 * 131 / 1e4)
    prediction = predict(network, make_recipe(pixel_metres=COARSE), path, pixel_size=40, overwrite=True)
    assert "is read at 40 m, as asked for; its own pixels are 10 m" in prediction.notices[0]
    assert read_map_info(prediction.path).tags["EOSEG_PIXEL_SIZE"] == "40 m"


@pytest.mark.parametrize(("trained", "options"), [(COARSE, {"pixel_size": "native"}), (None, {}), (9.5, {})])
def test_a_scene_is_read_as_it_is_where_asked_or_nothing_is_known_or_sizes_are_alike(
    make_scene: MakeScene, trained: float | None, options: dict[str, object]
) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    network = make_network(Convolutions(2))
    prediction = predict(network, make_recipe(pixel_metres=trained), path, **options)
    assert prediction.notices == ()
    assert "EOSEG_PIXEL_SIZE" not in read_map_info(prediction.path).tags
    expected = whole_logits(network, IMAGE, np.ones((90, 131), bool)).argmax(dim=0)
    np.testing.assert_array_equal(read(prediction.path)[0], expected)


def test_a_scene_without_crs_is_read_as_it_is(make_scene: MakeScene) -> None:
    path = make_scene("s.png", IMAGE, crs=None, driver="PNG")
    recipe = make_recipe(("red", "green", "blue"), pixel_metres=0.3)
    network = make_network(Brightness(), recipe=recipe)
    assert predict(network, recipe, path).notices == ()
    with pytest.raises(ConfigError, match=r"Without a CRS the pixel size .* cannot become 0\.3 m"):
        predict(network, recipe, path, pixel_size=0.3, overwrite=True)


@pytest.mark.parametrize(
    ("trained", "wanted", "metres"),
    [
        (None, "auto", None),
        (10.9, "auto", None),
        (9.2, "auto", None),
        (12.0, "auto", 12.0),
        (2.5, "auto", 2.5),
        (300.0, "auto", 300.0),
        (20.0, "native", None),
        (20.0, 5.0, 5.0),
        (None, 10.4, 10.4),  # asked for: also where it is about the same
        (None, 10.0, None),
        (2.4, 2.4, 2.4),
    ],
)
def test_at_which_size_a_scene_is_read(trained: float | None, wanted: object, metres: float | None) -> None:
    recipe = make_recipe(pixel_metres=trained)
    reading = choose_resampling(GRID, recipe, wanted, scene="s.tif")  # type: ignore[arg-type]
    assert (None if reading is None else reading.metres) == metres


def test_a_scene_so_coarse_is_not_resampled_unasked() -> None:
    words = r"pixels of 10 m, the network was trained on 2\.4 m: .* native, or with --pixel-size 2\.4"
    with pytest.raises(ConfigError, match=words):
        choose_resampling(GRID, make_recipe(pixel_metres=2.4), "auto", scene="s.tif")


def test_a_scene_smaller_than_a_pixel_is_refused(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE[:, :1], names=BANDS)
    with pytest.raises(ConfigError, match=r"131 x 1 px of 10 m is smaller than one pixel of 27 m\. .*native"):
        predict(make_network(Brightness()), make_recipe(pixel_metres=COARSE), path)
    assert not path.with_name("map.tif").exists()


def test_tiles_and_processes_do_not_change_the_bytes(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    network, recipe = make_network(Convolutions(3)), make_recipe(pixel_metres=COARSE)
    outs = [path.with_name(name) for name in ("a.tif", "b.tif", "c.tif")]
    for out, ranks in zip(outs, (1, 2, 3), strict=True):
        options = PredictOptions(tile=16, probabilities=True)
        made = [
            predict_share(network, recipe, str(path), out, rank=Rank(number, ranks), options=options)
            for number in range(ranks)
        ]
        assert [prediction is not None for prediction in made] == [False] * (ranks - 1) + [True]
    assert len({out.read_bytes() for out in outs}) == 1
    other = predict(network, recipe, path, tile=32)
    np.testing.assert_array_equal(read(other.path), read(outs[0]))


@pytest.mark.parametrize("size", [FINE, COARSE], ids=str)
def test_change_is_mapped_at_the_size_of_the_training(
    make_scene: MakeScene, tmp_path: Path, size: float
) -> None:
    images = [smooth_noise(90, 131, seed=seed).clip(1) for seed in (1, 2)]
    for n, image in enumerate(images):
        image[:, 30 * n : 30 * n + 20, :40] = 0
    paths = [make_scene(f"{n}.tif", image, names=BANDS, nodata=0) for n, image in enumerate(images)]
    recipe = make_recipe(time="pair", steps=2, pixel_metres=size)
    network = make_network(PairConvolutions(2), recipe=recipe)
    prediction = predict(network, recipe, paths, tile=TILE[size])
    np.testing.assert_array_equal(read(prediction.path)[0], by_hand(network, paths, size))
    assert read_map_info(prediction.path).tags["EOSEG_SCENE"] == "0.tif,1.tif"


@pytest.mark.parametrize("size", [FINE, COARSE], ids=str)
def test_a_series_is_mapped_at_the_size_of_the_training(
    make_scene: MakeScene, tmp_path: Path, size: float
) -> None:
    paths = []
    for n in range(3):
        image = smooth_noise(90, 131, seed=n).clip(1)
        image[:, :40] = image[:, :, 40 * n : 40 * n + 30] = 0
        image[:, :20, :30] = 9 if n == 1 else 0
        paths.append(make_scene(f"series/s_2021-0{n + 1}-01.tif", image, names=BANDS, nodata=0))
    recipe = make_recipe(time="series", steps=3, pixel_metres=size)
    network = make_network(SeriesConvolutions(2), recipe=recipe)
    prediction = predict(network, recipe, tmp_path / "series", tile=TILE[size])
    expected = by_hand(network, paths, size, [1.0, 32.0, 60.0])
    np.testing.assert_array_equal(read(prediction.path)[0], expected)
    assert 0 < (expected == 255).sum() < 90 * 131
    assert read_map_info(prediction.path).tags["EOSEG_DATES"] == "2021-01-01,2021-02-01,2021-03-01"


def test_dates_on_other_grids_are_not_made_alike_unasked(make_scene: MakeScene) -> None:
    """Twice as many pixels of half the size: at one pixel size they would have the same shape."""
    before = make_scene("a.tif", IMAGE, names=BANDS)
    after = make_scene("b.tif", IMAGE.repeat(2, 1).repeat(2, 2), names=BANDS, pixel=(5.0, 5.0))
    recipe = make_recipe(time="pair", steps=2, pixel_metres=COARSE)
    with pytest.raises(GridError, match="size 262 x 180 px instead of 131 x 90 px"):
        predict(make_network(PairConvolutions(1), recipe=recipe), recipe, [before, after])


@pytest.mark.parametrize("size", [FINE, COARSE], ids=str)
def test_bands_in_files_parts_and_remote_scenes_are_mapped_as_one_scene(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: float
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    network, recipe = make_network(Convolutions(2)), make_recipe(pixel_metres=size)
    whole = make_scene("s.tif", IMAGE, names=BANDS, nodata=0)
    expected = read(predict(network, recipe, whole, tile=TILE[size]).path)
    make_scene("a.tif", IMAGE[:, :, :70], names=BANDS, nodata=0)
    make_scene("b.tif", IMAGE[:, :, 50:], names=BANDS, nodata=0, origin=(500_500.0, 5_400_000.0))
    for name, band in zip(BANDS, IMAGE, strict=True):
        make_scene(f"product/x_{name}.tif", band, nodata=0)
    with serve(tmp_path) as server:
        for kind, scenes in {
            "mosaic": [str(tmp_path / name) for name in ("a.tif", "b.tif")],
            "folder": [str(tmp_path / "product")],
            "remote": [f"{server.address}/s.tif"],
            "remote mosaic": [f"{server.address}/{name}" for name in ("a.tif", "b.tif")],
        }.items():
            work = tmp_path / kind
            work.mkdir()
            (raster,) = scenes_as_rasters(scenes, recipe, work, mosaic="mosaic" in kind)
            options = PredictOptions(tile=TILE[size])
            found = predict_scene(network, recipe, raster, work / "map.tif", options=options)
            assert "is read at" in found.notices[0]
            np.testing.assert_array_equal(read(found.path), expected, err_msg=kind)
        # Without the settings for remote rasters GDAL would list folders and look for sidecar files.
        assert set(server.asked) == {"/s.tif", "/a.tif", "/b.tif"}


def test_nodata_that_is_given_is_nodata_in_the_map(make_scene: MakeScene) -> None:
    values = IMAGE.copy()
    values[:, 10:30, 20:50] = 9
    path = make_scene("s.tif", values, names=BANDS)
    recipe = make_recipe(pixel_metres=COARSE)
    classes = read(predict(make_network(Brightness()), recipe, path, nodata=9).path)[0]
    np.testing.assert_array_equal(classes == 255, (values == 9).any(axis=0))


def test_a_pixel_that_lacks_one_band_is_mapped_where_asked(make_scene: MakeScene) -> None:
    values = IMAGE.copy()
    values[1, 10:30, 20:50] = 0
    path = make_scene("s.tif", values, names=BANDS, nodata=0)
    recipe = make_recipe(pixel_metres=COARSE)
    for policy, missing in (("any", 600), ("all", 0)):
        found = predict(make_network(Brightness()), recipe, path, nodata_policy=policy, overwrite=True)
        assert (read(found.path) == 255).sum() == missing


@pytest.mark.parametrize("size", [FINE, COARSE], ids=str)
def test_an_area_of_interest_is_where_it_was_drawn(
    make_scene: MakeScene, tmp_path: Path, size: float
) -> None:
    place = GRID.transform
    corners = [place @ corner for corner in ((31, 12), (74, 12), (74, 57), (31, 57), (31, 12))]
    area = tmp_path / "area.geojson"
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    shape = {"type": "Polygon", "coordinates": [corners]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    area.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    path = make_scene("s.tif", IMAGE, names=BANDS)
    network, recipe = make_network(Convolutions(2)), make_recipe(pixel_metres=size)
    found = predict(network, recipe, path, tile=TILE[size], aoi=str(area))
    expected = np.full((90, 131), 255)
    inside = (slice(12, 57), slice(31, 74))
    expected[inside] = by_hand(network, [path], size)[inside]
    np.testing.assert_array_equal(read(found.path)[0], expected)
    assert found.skipped > 0


class Estimate(nn.Module):
    """The standardised first band."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1]


@pytest.mark.parametrize("size", [5.0, 20.0, 50.0], ids=str)
def test_a_quantity_is_not_shifted(make_scene: MakeScene, size: float) -> None:
    row, col = np.indices((90, 132)) + 0.5
    plane = (10 + row + 0.5 * col).astype(np.float32)
    recipe = make_recipe(quantity=Quantity("height", "m"), dtype="float32", pixel_metres=size)
    path = make_scene("s.tif", np.stack([plane] * 3), names=BANDS)
    network = make_network(Estimate(), recipe=recipe)
    found = read(predict(network, recipe, path, tile=TILE[size]).path)[0]
    expected = (plane - 127.5) / 58.75 * 5 + 10
    inner = (slice(4, -4), slice(4, -4))
    # A shift by half a pixel of the scene would add 0.06; that of GDAL's weights is a tenth of it.
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.01)


@pytest.mark.parametrize(("size", "core"), [(FINE, 8), (COARSE, 4)])
def test_chips_are_those_of_the_training(
    make_scene: MakeScene, tmp_path: Path, size: float, core: int
) -> None:
    recipe = make_recipe(chip_size=8, pixel_metres=size)
    path, own = make_scene("s.tif", IMAGE[:, :40, :51], names=BANDS), GRID.crop(Window(0, 0, 40, 51))
    network = make_network(ChipBrightness(), recipe=recipe, kind="classification")
    found = read(predict(network, recipe, path, tile=core).path)[0]
    grid = resampled_grid(own, size)
    computed = np.full((grid.height, grid.width), 255)
    with SceneStack([path], onto=grid) as stack:
        for tile in ChipPlan(plan_tiles(grid.height, grid.width, core=core, halo=0, stride=1), 8):
            chip = [torch.from_numpy(part)[None] for part in stack.read_date(0, tile.read)]
            with torch.inference_mode():
                computed[tile.core.slices_in(grid.window)] = int(network(*chip).argmax())
    np.testing.assert_array_equal(found, computed[nearest(own, grid)])
    assert len(np.unique(found)) > 2


def test_another_pixel_size_is_another_run(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    network, recipe = make_network(Brightness()), make_recipe(pixel_metres=20.0)
    arguments = (network, recipe, str(path), path.with_name("map.tif"))

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_scene(*arguments, options=PredictOptions(tile=16), progress=stop)
    words = r"parts of another run: the pixel size \(and 1 more\) was '20\.0 m' and is 'its own'"
    with pytest.raises(OutputError, match=words):
        predict_scene(*arguments, options=PredictOptions(tile=16, pixel_size="native"))
    again = predict_scene(*arguments, options=PredictOptions(tile=16, pixel_size=20.0))
    assert again.resumed > 0  # what "auto" would have been


def test_a_run_that_was_stopped_while_its_file_was_made_is_completed(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = IMAGE.copy()
    values[:, 20:35, 40:90] = 0
    path = make_scene("s.tif", values, names=BANDS, nodata=0)
    network, recipe = make_network(Convolutions(2)), make_recipe(pixel_metres=COARSE)
    whole = predict(network, recipe, path, tile=16).path
    expected = whole.read_bytes()
    whole.unlink()
    item_path(whole).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(rasterio.shutil, "copy", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            predict(network, recipe, path, tile=16)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "map.tif.aux.xml",
        "map.tif.parts",
        "s.tif",
    ]
    again = predict(network, recipe, path, tile=16)
    assert again.resumed == again.tiles > 1
    assert again.path.read_bytes() == expected


def test_the_disk_for_both_grids_is_estimated(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    network, recipe = make_network(Brightness()), make_recipe(pixel_metres=20.0)
    announced: list[int] = []
    predict_share(
        network,
        recipe,
        str(path),
        path.with_name("map.tif"),
        rank=Rank(),
        announce=lambda estimate: announced.append(estimate.disk_bytes),
    )
    assert announced == [90 * 131 + 45 * 66]


def test_a_scene_of_nodata_is_told_by_its_name(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", np.zeros_like(IMAGE), names=BANDS, nodata=0)
    with pytest.raises(DataError, match=rf"'{path}' has no valid pixel: every value is nodata \(0"):
        predict(make_network(Brightness()), make_recipe(pixel_metres=COARSE), path)
