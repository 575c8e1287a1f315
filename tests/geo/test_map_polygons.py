"""Maps that become polygons: attributes, options, and what is refused."""

from pathlib import Path

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from map_factory import CLASSES, GEO, write_map
from raster_factory import write_layer
from rasterio.crs import CRS

from eoseg.errors import ConfigError, DataError, GridError, OutputError
from eoseg.geo import map_polygons
from eoseg.geo.grid import Grid
from eoseg.geo.map_polygons import Vectorized, VectorizeOptions, vectorize_map
from eoseg.geo.mapfile import label_layer, probability_layer, probability_path
from eoseg.geo.valuefile import value_layer
from eoseg.progress import Progress
from eoseg.recipe import Quantity, parse_classes

MAP = np.array(
    [
        [0, 0, 1, 1, 1, 255],
        [0, 0, 1, 2, 1, 255],
        [1, 1, 1, 1, 1, 255],
        [2, 2, 2, 2, 0, 255],
    ],
    np.uint8,
)
"""Water 4 px and 1 px, wood 10 px with a hole, town 1 px and 4 px."""


def vectorize(path: Path, **options) -> tuple[geopandas.GeoDataFrame, Vectorized]:
    """Polygons sorted by class and area, and the summary."""
    out = path.parent / "out.parquet"
    done = vectorize_map(path, out, options=VectorizeOptions(overwrite=True, **options))
    frame = geopandas.read_parquet(out)
    return frame.sort_values(["class", frame.columns[2]], ignore_index=True), done


def write_probabilities(path: Path, steps: np.ndarray, *, names=CLASSES, transform: Affine = GEO) -> Path:
    grid = Grid(CRS.from_epsg(32632), transform, *steps.shape[1:])
    write_layer(path, grid, probability_layer(names), steps)
    return path


def test_each_connected_area_is_a_polygon_with_its_attributes(tmp_path: Path) -> None:
    frame, done = vectorize(write_map(tmp_path / "m.tif", MAP))
    assert frame.columns.tolist() == ["class", "name", "area_m2", "geometry"]
    assert frame["class"].tolist() == [0, 0, 1, 2, 2]
    assert frame["name"].tolist() == ["water", "water", "wood", "town", "town"]
    assert frame["area_m2"].tolist() == [100.0, 400.0, 1000.0, 100.0, 400.0]
    assert frame.crs.to_epsg() == 32632
    assert frame.geometry[1].equals(shapely.box(500_000, 5_399_980, 500_020, 5_400_000))
    assert len(frame.geometry[2].interiors) == 1
    assert (done.counts, done.areas, done.unit) == ((2, 1, 2), (500.0, 1000.0, 500.0), "m2")
    assert (done.left_out, done.probabilities) == (0, None)


def test_small_strips_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_map(tmp_path / "m.tif", np.tile(MAP, (5, 5)))
    whole, _ = vectorize(path)
    monkeypatch.setattr(map_polygons, "_STRIP_ROWS", (1, 3))
    monkeypatch.setattr(map_polygons, "_ROWS_AT_ONCE", 2)
    strips, _ = vectorize(path)
    shapes = [sorted(shapely.to_wkb(shapely.normalize(f.geometry.to_numpy()))) for f in (whole, strips)]
    assert shapes[0] == shapes[1]


def test_small_polygons_are_left_out_and_counted(tmp_path: Path) -> None:
    frame, done = vectorize(write_map(tmp_path / "m.tif", MAP), min_area=101)
    assert frame["area_m2"].tolist() == [400.0, 1000.0, 400.0]
    assert (done.left_out, done.left_out_area) == (2, 200.0)
    assert done.counts == (1, 1, 1)
    assert vectorize(write_map(tmp_path / "n.tif", MAP), min_area=100)[1].left_out == 0


def test_classes_may_be_chosen(tmp_path: Path) -> None:
    frame, done = vectorize(write_map(tmp_path / "m.tif", MAP), classes=("town", "water"))
    assert frame["class"].tolist() == [0, 0, 2, 2]
    assert [entry.name for entry in done.classes] == ["water", "town"]
    assert done.counts == (2, 2)


def test_an_unknown_class_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="classes: There is no class in '.*m.tif' 'wod'. Did you mean 'wood'"
    ):
        vectorize(write_map(tmp_path / "m.tif", MAP), classes=("wod",))


def test_simplified_borders_leave_the_area_of_the_pixels(tmp_path: Path) -> None:
    rows, cols = np.indices((40, 40)) - 19.5
    path = write_map(tmp_path / "m.tif", (rows**2 + cols**2 < 200).astype(np.uint8))
    exact, _ = vectorize(path)
    simple, _ = vectorize(path, simplify=20)
    assert simple["area_m2"].tolist() == exact["area_m2"].tolist()
    assert (
        shapely.get_num_coordinates(simple.geometry[1]) < shapely.get_num_coordinates(exact.geometry[1]) / 2
    )
    assert shapely.coverage_is_valid(simple.geometry.to_numpy())


def test_probabilities_beside_the_map_become_means_of_the_class(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", MAP)
    steps = np.full((3, *MAP.shape), 9, np.uint8)
    for index in range(3):
        steps[index][index == MAP] = 200
    steps[0, 0, :2] = (250, 100)
    steps[:, 3, 4] = 255  # not known
    write_probabilities(probability_path(path), steps)
    frame, done = vectorize(path)
    assert frame["probability"].isna().tolist() == [True, False, False, False, False]
    assert frame["probability"][1:].tolist() == pytest.approx([(250 + 100 + 200 + 200) / 1000, 0.8, 0.8, 0.8])
    assert done.probabilities == probability_path(path)


def test_probabilities_may_be_given(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", MAP)
    given = write_probabilities(tmp_path / "p.tif", np.full((3, *MAP.shape), 125, np.uint8))
    frame, _ = vectorize(path, probabilities=given)
    assert frame["probability"].tolist() == [0.5] * 5


def test_probabilities_of_something_else_are_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", MAP)
    steps = np.full((3, *MAP.shape), 125, np.uint8)
    moved = write_probabilities(tmp_path / "p.tif", steps, transform=GEO @ Affine.translation(1, 0))
    with pytest.raises(GridError, match="is not on the grid of"):
        vectorize(path, probabilities=moved)
    other = write_probabilities(tmp_path / "q.tif", steps, names=parse_classes(["a", "b", "c"]))
    with pytest.raises(DataError, match="probabilities of a, b, c; the map .* has water, wood, town"):
        vectorize(path, probabilities=other)
    with pytest.raises(DataError, match="holds classes; expected probabilities"):
        vectorize(path, probabilities=path)
    with pytest.raises(DataError, match="There is no file"):
        vectorize(path, probabilities=tmp_path / "absent.tif")


def test_on_longitudes_and_latitudes_the_area_is_that_of_the_ellipsoid(tmp_path: Path) -> None:
    transform = Affine(0.001, 0, 8, 0, -0.001, 60)
    frame, done = vectorize(write_map(tmp_path / "m.tif", MAP, crs="EPSG:4326", transform=transform))
    geod = pyproj.Geod(ellps="WGS84")
    # Pixels follow the parallels; long geodesics would leave them.
    shapes = shapely.segmentize(frame.geometry.to_numpy(), 0.0001)
    expected = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in shapes]
    np.testing.assert_allclose(frame["area_m2"], expected, rtol=1e-6)
    assert done.unit == "m2"


def test_without_a_crs_the_area_is_in_pixels(tmp_path: Path) -> None:
    frame, done = vectorize(
        write_map(tmp_path / "m.tif", MAP, crs=None, transform=Affine.identity()), min_area=2
    )
    assert frame.columns[2] == "area_px"
    assert frame["area_px"].tolist() == [4.0, 10.0, 4.0]
    assert (frame.crs, done.unit) == (None, "px")


def test_a_map_of_no_value_is_an_empty_layer(tmp_path: Path) -> None:
    frame, done = vectorize(write_map(tmp_path / "m.tif", np.full((4, 4), 255, np.uint8)))
    assert len(frame) == 0
    assert done.counts == (0, 0, 0)


def test_the_work_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_polygons, "_STRIP_ROWS", (1, 3))
    told: list[Progress] = []
    vectorize_map(write_map(tmp_path / "m.tif", MAP), tmp_path / "m.gpkg", progress=told.append)
    assert told == [Progress(18, 24), Progress(24, 24)]


def test_other_maps_are_refused(tmp_path: Path) -> None:
    grid = Grid(CRS.from_epsg(32632), GEO, 4, 6)
    height = value_layer(Quantity("height", "m"))
    write_layer(tmp_path / "v.tif", grid, height, np.ones((4, 6), np.float32))
    write_layer(tmp_path / "l.tif", grid, label_layer(CLASSES), np.ones((3, 4, 6), np.uint8))
    write_probabilities(tmp_path / "p.tif", np.ones((3, 4, 6), np.uint8))
    for name, message in {
        "v.tif": "holds a quantity, .* expected a map of classes",
        "l.tif": r"several labels per pixel \(water, wood, town\).* expected a map of classes",
        "p.tif": "holds probabilities; expected classes",
        "absent.tif": "There is no file",
    }.items():
        with pytest.raises(DataError, match=message):
            vectorize(tmp_path / name)
    assert not (tmp_path / "out.parquet").exists()


def test_a_value_that_is_no_class_is_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", MAP)
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(np.full((1, *MAP.shape), 7, np.uint8))
    with pytest.raises(DataError, match="holds the value 7, but its classes are 0 to 2"):
        vectorize(path)


def test_a_truncated_map_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 3, (1500, 1500)).astype(np.uint8)
    path = write_map(tmp_path / "m.tif", noise)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(DataError, match="cannot be read at rows .* may be truncated"):
        vectorize(path)
    assert not list(tmp_path.glob("*out*"))


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", MAP)
    (tmp_path / "m.gpkg").write_text("older")
    with pytest.raises(OutputError, match="exists already"):
        vectorize_map(path, tmp_path / "m.gpkg")
    vectorize_map(path, tmp_path / "m.gpkg", options=VectorizeOptions(overwrite=True))
    assert len(geopandas.read_file(tmp_path / "m.gpkg", layer="m")) == 5


@pytest.mark.parametrize("name", ["min_area", "simplify"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_size_below_zero_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a number of at least 0, found"):
        VectorizeOptions(**{name: value})
