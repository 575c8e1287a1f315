import logging
from pathlib import Path

import geopandas
import numpy as np
import pytest
from conftest import MakeScene
from shapely.geometry import Point, Polygon, box

from eoseg.errors import ConfigError, DataError
from eoseg.geo.grid import Grid
from eoseg.geo.labels import open_labels
from eoseg.geo.scene import Scene
from eoseg.geo.vectors import read_polygons
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE, parse_classes

CLASSES = parse_classes({"water": ["lake", 1], "land": 2})
LEFT, TOP = 500_000.0, 5_400_000.0


def px(top: float, left: float, bottom: float, right: float) -> Polygon:
    """A box in pixels of the scenes that `make_scene` makes."""
    return box(LEFT + 10 * left, TOP - 10 * bottom, LEFT + 10 * right, TOP - 10 * top)


def write(
    path: Path, shapes: list[object], crs: str = "EPSG:32632", layer: str = "x", **columns: object
) -> str:
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32632")
    frame = frame.to_crs(crs)
    frame.to_file(path, layer=layer) if path.suffix == ".gpkg" else frame.to_file(path)
    return str(path)


@pytest.fixture
def grid(make_scene: MakeScene) -> Grid:
    with Scene(make_scene("scene.tif", np.ones((1, 12, 15), np.uint8))) as scene:
        return scene.grid


EXPECTED = np.full((12, 15), IGNORE, np.uint8)
EXPECTED[1:4, 2:6] = 0
EXPECTED[5:9, 3:12] = 1
SHAPES = [px(1, 2, 4, 6), px(5, 3, 9, 12)]


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.fgb"])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3035"])
def test_polygons_of_any_format_and_crs_are_burnt_where_they_are(
    tmp_path: Path, grid: Grid, name: str, crs: str
):
    path = write(tmp_path / name, SHAPES, crs, kind=["lake", "2"])
    labels = open_labels(path, grid=grid, image="scene.tif", classes=CLASSES, attribute="kind")
    np.testing.assert_array_equal(labels.read(grid.window), EXPECTED)


def test_any_window_equals_the_cut_of_the_whole(tmp_path: Path, grid: Grid):
    path = write(
        tmp_path / "a.gpkg", [Polygon([(LEFT, TOP), (LEFT + 140, TOP - 33), (LEFT + 61, TOP - 117)])], c=[1]
    )
    labels = open_labels(path, grid=grid, image="i", classes=CLASSES, attribute="c")
    whole = labels.read(grid.window)
    padded = np.pad(whole, 4, constant_values=IGNORE)
    for row in range(-3, 12, 2):
        for col in range(-3, 15, 3):
            part = labels.read(Window(row, col, 5, 4))
            np.testing.assert_array_equal(part, padded[row + 4 : row + 9, col + 4 : col + 8])
    assert (whole == 0).sum() > 20


@pytest.mark.parametrize("values", [["lake", 2], ["water", "land"], [1.0, 2.0], [1, 2]])
def test_a_class_goes_by_its_values_and_its_name(tmp_path: Path, grid: Grid, values: list[object]):
    path = write(
        tmp_path / "a.gpkg", SHAPES, kind=[str(v) if isinstance(values[0], str) else v for v in values]
    )
    labels = read_polygons([path], classes=CLASSES, attribute="kind").on(grid, image="i")
    np.testing.assert_array_equal(labels.read(grid.window), EXPECTED)


def test_each_layer_is_a_class_without_an_attribute(tmp_path: Path, grid: Grid):
    path = write(tmp_path / "a.gpkg", SHAPES[:1], layer="lake")
    write(tmp_path / "a.gpkg", SHAPES[1:], layer="land")
    labels = read_polygons([path], classes=CLASSES).on(grid, image="i")
    np.testing.assert_array_equal(labels.read(grid.window), EXPECTED)


def test_several_files_in_different_crs_make_one_set(tmp_path: Path, grid: Grid):
    one = write(tmp_path / "lake.geojson", SHAPES[:1], "EPSG:4326")
    other = write(tmp_path / "land.gpkg", SHAPES[1:], layer="land")
    labels = read_polygons([one, other], classes=CLASSES).on(grid, image="i")
    np.testing.assert_array_equal(labels.read(grid.window), EXPECTED)


def test_a_geographic_scene_takes_projected_polygons(tmp_path: Path, make_scene: MakeScene):
    outline = geopandas.GeoSeries([px(0, 0, 100, 100)], crs="EPSG:32632").to_crs("EPSG:4326").total_bounds
    step = (outline[2] - outline[0]) / 100
    scene_path = make_scene(
        "geo.tif",
        np.ones((1, 120, 100), np.uint8),
        crs="EPSG:4326",
        origin=(outline[0], outline[3]),
        pixel=(step, step),
    )
    path = write(tmp_path / "a.gpkg", [px(0, 0, 100, 50)], kind=["water"])
    with Scene(scene_path) as scene:
        labels = open_labels(path, grid=scene.grid, image="i", classes=CLASSES, attribute="kind")
        found = labels.read(scene.grid.window)
    assert (found[5:60, 5:45] == 0).all()
    assert (found[:, 55:] == IGNORE).all()


def test_pixels_under_two_classes_are_conflicts_and_ignored(tmp_path: Path, grid: Grid):
    path = write(tmp_path / "a.gpkg", [px(0, 0, 4, 4), px(2, 2, 6, 6), px(0, 0, 2, 2)], kind=[1, 2, 1])
    labels = read_polygons([path], classes=CLASSES, attribute="kind").on(grid, image="i")
    found, conflicts = labels.read_with_conflicts(grid.window)
    assert conflicts == 4
    assert (found[2:4, 2:4] == IGNORE).all()
    assert (found == 0).sum() == 12


def test_ignored_values_make_their_pixels_unlabelled(tmp_path: Path, grid: Grid):
    path = write(tmp_path / "a.gpkg", [px(0, 0, 4, 4), px(0, 0, 2, 4)], kind=["lake", "cloud"])
    labels = read_polygons([path], classes=CLASSES, attribute="kind", ignore=["cloud"]).on(grid, image="i")
    assert (labels.read(grid.window) == 0).sum() == 8


def test_self_intersecting_polygons_are_repaired_and_said(
    tmp_path: Path, grid: Grid, caplog: pytest.LogCaptureFixture
):
    bow = Polygon([(LEFT, TOP), (LEFT + 80, TOP - 80), (LEFT + 80, TOP), (LEFT, TOP - 80)])
    path = write(tmp_path / "a.gpkg", [bow], kind=["lake"])
    with caplog.at_level(logging.WARNING):
        labels = read_polygons([path], classes=CLASSES, attribute="kind").on(grid, image="i")
    assert "1 invalid polygons, which are repaired" in caplog.text
    assert "has no polygon of land" in caplog.text
    assert 20 < (labels.read(grid.window) == 0).sum() < 44


def test_polygons_that_touch_the_scene_are_told(tmp_path: Path, grid: Grid):
    path = write(tmp_path / "a.gpkg", [*SHAPES, px(50, 50, 60, 60)], kind=[1, 2, 1])
    labels = read_polygons([path], classes=CLASSES, attribute="kind").on(grid, image="i")
    assert labels.touching().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("shapes", "kind", "message"),
    [
        ([Polygon([(LEFT, TOP), (LEFT + 9, TOP), (LEFT, TOP)])], ["lake"], "with zero area"),
        ([None, SHAPES[0]], ["lake", "lake"], r"1 features \(first: feature 0\) without geometry"),
        ([Point(LEFT, TOP)], ["lake"], "that are no polygons"),
        (SHAPES, ["lake", "sea"], "1 features whose 'kind' is 'sea'. There is no class 'sea'"),
        (SHAPES, ["lake", None], "1 features whose attribute 'kind' is empty"),
    ],
)
def test_features_that_cannot_be_labels_are_refused(
    tmp_path: Path, shapes: list[object], kind: list[object], message: str
):
    path = write(tmp_path / "a.gpkg", shapes, kind=kind)
    with pytest.raises(DataError, match=message):
        read_polygons([path], classes=CLASSES, attribute="kind")


def test_an_unknown_attribute_is_named_with_those_there(tmp_path: Path):
    path = write(tmp_path / "a.gpkg", SHAPES, kind=[1, 2], area=[1, 2])
    with pytest.raises(DataError, match=r"no attribute 'kinds'. Did you mean 'kind'.*Known: area, kind"):
        read_polygons([path], classes=CLASSES, attribute="kinds")
    bare = write(tmp_path / "b.gpkg", SHAPES, layer="lake")
    with pytest.raises(DataError, match=r"has no attributes.*leave 'attribute' out; its layers are lake"):
        read_polygons([bare], classes=CLASSES, attribute="kind")


def test_an_unknown_layer_is_named_unless_ignored(tmp_path: Path):
    path = write(tmp_path / "a.gpkg", SHAPES[:1], layer="lake")
    write(tmp_path / "a.gpkg", SHAPES[1:], layer="roads")
    with pytest.raises(DataError, match="has the layer 'roads'"):
        read_polygons([path], classes=CLASSES)
    assert read_polygons([path], classes=CLASSES, ignore=["roads"]).classes.tolist() == [0, IGNORE]


def test_a_file_without_crs_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.shp", SHAPES, kind=[1, 2])
    (tmp_path / "a.prj").unlink()
    with pytest.raises(DataError, match="has no CRS"):
        read_polygons([path], classes=CLASSES, attribute="kind")


def test_a_scene_without_crs_is_refused(tmp_path: Path, grid: Grid):
    path = write(tmp_path / "a.gpkg", SHAPES, kind=[1, 2])
    polygons = read_polygons([path], classes=CLASSES, attribute="kind")
    with pytest.raises(DataError, match=r"'photo.jpg' has no CRS, so the polygons"):
        polygons.on(Grid(None, grid.transform, 5, 5), image="photo.jpg")


def test_missing_and_broken_files_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="There is no file"):
        read_polygons([str(tmp_path / "no.gpkg")], classes=CLASSES)
    (tmp_path / "bad.geojson").write_text("nonsense")
    with pytest.raises(DataError, match="is not a vector file"):
        read_polygons([str(tmp_path / "bad.geojson")], classes=CLASSES)


def test_a_file_without_features_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.gpkg", [], layer="lake")
    with pytest.raises(DataError, match="holds no polygon"):
        read_polygons([path], classes=CLASSES)


def test_one_value_for_two_classes_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.gpkg", SHAPES, kind=[1, 2])
    with pytest.raises(ConfigError, match="'b' stands for the classes 'a' and 'b'"):
        read_polygons([path], classes=parse_classes({"a": "b", "b": 1}), attribute="kind")
    with pytest.raises(ConfigError, match="'ignore' lists 'lake', which is 'water'"):
        read_polygons([path], classes=CLASSES, attribute="kind", ignore=["lake"])


@pytest.mark.real
def test_sparse_layers_of_a_real_geopackage_are_burnt(real_data: Path):
    folder = real_data / "aberystwyth_s2"
    classes = parse_classes({name: f"cls_{name}_smpls" for name in ("forest", "grass", "urban", "water")})
    with Scene(folder / "sen2_20210527_aber_10band.tif") as scene:
        labels = open_labels(
            folder / "cls_poly_smpls.gpkg", grid=scene.grid, image=scene.path, classes=classes
        )
        found = np.bincount(labels.read(scene.grid.window).ravel(), minlength=256)
    np.testing.assert_allclose(found[:4], [1325, 3002, 609, 1639], rtol=0.01)  # the polygons' areas in pixels


@pytest.mark.real
def test_real_polygons_in_another_crs_land_on_the_right_pixels(real_data: Path):
    folder = real_data / "rachel_carson_s2"
    classes = parse_classes({"dry": "Sand", "wet": "Subtidal Haline"})
    others = ["Herbaceous", "Forested Wetland", "Emergent Wetland", "WetSand"]
    with Scene(folder / "s2_rcr_20181013_8band_2201x2629.tif") as scene:
        labels = open_labels(
            folder / "rcr_landcover.shp",
            grid=scene.grid,
            image=scene.path,
            classes=classes,
            attribute="Classname",
            ignore=others,
        )
        found = labels.read(scene.grid.window)
        image, _ = scene.read(scene.grid.window)
    assert image[7][found == 0].mean() > 150  # sand is bright in the near infrared, water dark
    assert image[7][found == 1].mean() < 20
