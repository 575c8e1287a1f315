import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_scene
from scene_factory import DATES, dated_image, make_data, make_pairs, make_series, make_values, source_of

from eoseg.datasets.index import load_index
from eoseg.errors import BandError, ConfigError, DataError, EosegError, GridError
from eoseg.recipe import Quantity

SIZES = {"a": (20, 30), "b": (25, 20)}


def test_scenes_are_found_with_their_labels(tmp_path: Path):
    index = load_index(make_data(tmp_path, SIZES))
    assert list(index.entries) == ["a", "b"]
    assert index.entries["b"].label == str(tmp_path / "labels" / "b.tif")
    assert index.schema.bands == index.schema.file_bands == ("B1", "B2")
    assert index.schema.class_names == ["water", "land", "forest"]
    assert (index.dtype, index.nodata, index.schema.pixel_size) == ("uint16", None, (10, 10))
    assert index.schema.pixel_metres == 10


def test_bands_nodata_and_names_come_from_the_configuration_where_the_files_name_none(tmp_path: Path):
    write_scene(tmp_path / "images" / "a.tif", np.ones((2, 9, 9), np.uint16))
    write_scene(tmp_path / "labels" / "a.tif", np.ones((9, 9), np.uint8))
    source = source_of(tmp_path, band_names=["x", "y"], bands=["y"], nodata=7)
    schema = load_index(source).schema
    assert (schema.bands, schema.file_bands) == (("y",), ("x", "y"))
    assert schema.bands_named_by_config
    assert schema.nodata == 7


def test_what_the_files_declare_is_no_matter_of_the_configuration(tmp_path: Path):
    make_data(tmp_path, SIZES, nodata=5)
    index = load_index(source_of(tmp_path, nodata=7))
    assert index.schema.nodata is None
    assert index.nodata == 7
    assert not index.schema.bands_named_by_config


def test_labels_pair_by_what_the_wildcards_match(tmp_path: Path):
    for tile in ("1", "2"):
        write_scene(tmp_path / f"Tile {tile}" / "images" / "part.tif", np.ones((2, 9, 9), np.uint8))
        write_scene(tmp_path / f"Tile {tile}" / "masks" / "part.tif", np.ones((9, 9), np.uint8))
    index = load_index(source_of(tmp_path, images="Tile */images/*.tif", labels="Tile */masks/*.tif"))
    assert list(index.entries) == ["Tile 1/part", "Tile 2/part"]
    assert "Tile 2/masks" in (index.entries["Tile 2/part"].label or "")


def test_patterns_pair_in_their_order_where_names_repeat(tmp_path: Path):
    for part in ("train", "test"):
        make_data(tmp_path / part, {"a": (9, 9)})
    source = source_of(
        tmp_path,
        images=["train/images/*.tif", "test/images/*.tif"],
        labels=["train/labels/*.tif", "test/labels/*.tif"],
    )
    entries = load_index(source).entries
    assert list(entries) == ["test/images/a", "train/images/a"]
    assert entries["test/images/a"].label == str(tmp_path / "test" / "labels" / "a.tif")


def test_one_image_and_one_label_pair_whatever_their_names(tmp_path: Path):
    write_scene(tmp_path / "image.tif", np.ones((1, 9, 9), np.uint8))
    write_scene(tmp_path / "truth.tif", np.ones((9, 9), np.uint8))
    index = load_index(source_of(tmp_path, images="image.tif", labels="truth.tif"))
    assert list(index.entries) == ["image"]


def test_every_misfit_is_named_in_one_message(tmp_path: Path):
    make_data(tmp_path, {"a": (9, 9), "b": (9, 9), "c": (9, 9), "d": (9, 9)})
    (tmp_path / "labels" / "a.tif").unlink()
    (tmp_path / "images" / "b.tif").unlink()
    write_scene(tmp_path / "labels" / "c.vrt.tif", np.ones((9, 9), np.uint8))
    write_scene(tmp_path / "labels" / "d.png", np.ones((9, 9), np.uint8), crs=None, driver="PNG")
    source = source_of(tmp_path, labels=["labels/*.tif", "labels/*.png"])
    with pytest.raises(DataError) as caught:
        load_index(source)
    message = str(caught.value)
    assert re.search(r"2 labels for one image: '.*d.tif', '.*d.png'", message)
    assert re.search(r"1 images without label: '.*a.tif'", message)
    assert re.search(r"2 labels without image: '.*b.tif', '.*c.vrt.tif'", message)
    assert "\n" not in message


def test_two_images_for_one_label_are_refused(tmp_path: Path):
    make_data(tmp_path, SIZES)
    write_scene(tmp_path / "images" / "a.png", np.ones((1, 20, 30), np.uint8), crs=None, driver="PNG")
    with pytest.raises(DataError, match="2 images for one label"):
        load_index(source_of(tmp_path, images=["images/*.tif", "images/*.png"]))


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        (np.ones((20, 31), np.uint8), {}, "size 31 x 20 px instead of 30 x 20 px.*rio warp"),
        (
            np.ones((20, 30), np.uint8),
            {"crs": "EPSG:32633"},
            "CRS EPSG:32633 instead of EPSG:32632.*rio warp",
        ),
        (
            np.ones((20, 30), np.uint8),
            {"origin": (500_005, 5_400_000)},
            "corners up to 0.5 px away.*rio warp",
        ),
        (np.ones((20, 31), np.uint8), {"crs": None}, "size 31 x 20 px instead of"),
    ],
)
def test_a_misaligned_label_is_refused(
    tmp_path: Path, label: np.ndarray, options: dict[str, Any], message: str
):
    source = make_data(tmp_path, SIZES)
    write_scene(tmp_path / "labels" / "a.tif", label, **options)
    with pytest.raises(GridError, match=message):
        load_index(source)


def test_a_label_without_crs_pairs_by_size_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    source = make_data(tmp_path, SIZES)
    write_scene(tmp_path / "labels" / "a.tif", np.ones((20, 30), np.uint8), crs=None)
    with caplog.at_level(logging.WARNING):
        load_index(source)
    assert "1 labels have no CRS although their images have one" in caplog.text


def test_scenes_without_crs_work_with_one_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for name in ("a", "b"):
        write_scene(tmp_path / "images" / f"{name}.png", np.ones((3, 9, 9), np.uint8), crs=None, driver="PNG")
        write_scene(tmp_path / "labels" / f"{name}.png", np.ones((9, 9), np.uint8), crs=None, driver="PNG")
    with caplog.at_level(logging.WARNING):
        index = load_index(source_of(tmp_path, images="images/*.png", labels="labels/*.png"))
    assert caplog.text.count("have no CRS") == 1
    assert "2 of 2 scenes have no CRS" in caplog.text
    assert index.schema.pixel_size is None


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (
            np.ones((3, 9, 9), np.uint16),
            {"names": ["B1", "B2", "B3"]},
            BandError,
            "the same bands.*3 .B1, B2, B3.",
        ),
        (np.ones((2, 9, 9), np.uint16), {"names": ["B2", "B1"]}, BandError, "the same bands"),
        (
            np.ones((2, 9, 9), np.float32),
            {"names": ["B1", "B2"]},
            BandError,
            "the same data type.*uint16.*float32",
        ),
        (
            np.ones((2, 9, 9), np.uint16),
            {"names": ["B1", "B2"], "nodata": 0},
            BandError,
            "the same nodata value",
        ),
    ],
)
def test_scenes_that_differ_are_refused_with_both_named(
    tmp_path: Path, values: np.ndarray, options: dict[str, Any], error: type[EosegError], message: str
):
    source = make_data(tmp_path, {"a": (9, 9), "b": (9, 9)})
    write_scene(tmp_path / "images" / "b.tif", values, origin=(600_000.0, 5_400_000.0), **options)
    with pytest.raises(error, match=message) as caught:
        load_index(source)
    assert "a.tif" in str(caught.value)
    assert "b.tif" in str(caught.value)


def test_nan_as_nodata_is_the_same_in_all_files(tmp_path: Path):
    images = {name: np.ones((2, 9, 9), np.float32) for name in "ab"}
    load_index(make_data(tmp_path, {"a": (9, 9), "b": (9, 9)}, images=images, nodata=np.nan))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attribute": "kind"}, "attribute: kind is for vector labels"),
        (
            {"labels": "labels.gpkg", "label_encoding": "colors"},
            "label_encoding: colors is for label rasters",
        ),
    ],
)
def test_an_option_for_the_other_kind_of_labels_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
):
    make_data(tmp_path, SIZES)
    (tmp_path / "labels.gpkg").touch()
    with pytest.raises(ConfigError, match=message):
        load_index(source_of(tmp_path, **options))


def test_vectors_and_rasters_are_not_mixed(tmp_path: Path):
    make_data(tmp_path, SIZES)
    (tmp_path / "l.gpkg").touch()
    with pytest.raises(DataError, match=r"mixes vectors .* and rasters"):
        load_index(source_of(tmp_path, labels=["l.gpkg", "labels/*.tif"]))


def test_vectors_need_scenes_with_a_crs(tmp_path: Path):
    write_scene(tmp_path / "images" / "a.tif", np.ones((1, 9, 9), np.uint8), crs=None)
    (tmp_path / "l.gpkg").touch()
    with pytest.raises(DataError, match="1 scenes have no CRS, so the polygons"):
        load_index(source_of(tmp_path, labels="l.gpkg"))


def test_an_unknown_band_and_scene_are_named(tmp_path: Path):
    make_data(tmp_path, SIZES)
    with pytest.raises(BandError, match="'B9' is needed"):
        load_index(source_of(tmp_path, bands=["B9"]))
    with pytest.raises(DataError, match="There is no scene 'aa'"):
        load_index(source_of(tmp_path)).entry("aa")


def test_a_pair_has_two_images_and_one_label(tmp_path: Path):
    index = load_index(make_pairs(tmp_path, SIZES))
    entry = index.entries["b"]
    assert entry.images == tuple(str(tmp_path / date / "b.tif") for date in ("before", "after"))
    assert entry.label == str(tmp_path / "labels" / "b.tif")
    assert (entry.dates, entry.days) == ((), ())
    assert (index.schema.time, index.schema.steps) == ("pair", 2)


def test_a_series_has_its_images_in_order_and_their_days(tmp_path: Path):
    index = load_index(make_series(tmp_path, SIZES))
    entry = index.entries["a/S2"]
    assert entry.images == tuple(str(tmp_path / "series" / "a" / f"S2_{date}.tif") for date in DATES)
    assert [str(date) for date in entry.dates] == list(DATES)
    assert entry.days == (61, 153, 1)
    assert (index.schema.time, index.schema.steps) == ("series", 3)


def test_a_quantity_is_in_the_schema(tmp_path: Path):
    index = load_index(make_values(tmp_path, SIZES))
    assert index.schema.quantity == Quantity("canopy height", "m")
    assert (index.schema.classes, index.label_names, index.schema.time) == ((), ["canopy height"], "single")
    assert load_index(make_data(tmp_path / "classes", SIZES)).label_names == ["water", "land", "forest"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"origin": (500_030, 5_400_000)},
            GridError,
            "'{later}' is not on the grid of '{first}': corners up to 3 px away. To repair: rio warp "
            "{later} .* --like {first}",
        ),
        ({"names": ["B1", "B3"]}, BandError, "the same bands: '{first}' .* '{later}' has 2 .B1, B3."),
        ({"nodata": 5}, BandError, "the same nodata value"),
    ],
)
@pytest.mark.parametrize("time", ["pair", "series"])
def test_dates_that_differ_are_refused_with_both_named(
    tmp_path: Path, time: str, options: dict[str, Any], error: type[EosegError], message: str
):
    make, names = {
        "pair": (make_pairs, ("before/a.tif", "after/a.tif")),
        "series": (make_series, ("series/a/S2_2020-03-01.tif", "series/a/S2_2020-06-01.tif")),
    }[time]
    source = make(tmp_path, SIZES)
    first, later = (str(tmp_path / name) for name in names)
    write_scene(Path(later), dated_image(20, 30, 1), **{"names": ["B1", "B2"], "nodata": 0, **options})
    with pytest.raises(error, match=message.format(first=first, later=later)) as caught:
        load_index(source)
    assert "\n" not in str(caught.value)


def test_a_quantity_needs_label_rasters(tmp_path: Path):
    make_values(tmp_path, SIZES)
    (tmp_path / "labels.gpkg").touch()
    source = source_of(tmp_path, labels="labels.gpkg", classes=None, quantity="height")
    with pytest.raises(ConfigError, match=r"quantity: height needs label rasters .*gdal_rasterize"):
        load_index(source)


def test_a_misaligned_label_of_a_quantity_is_refused(tmp_path: Path):
    source = make_values(tmp_path, SIZES)
    write_scene(tmp_path / "labels" / "a.tif", np.ones((20, 31), np.float32))
    with pytest.raises(GridError, match="size 31 x 20 px instead of 30 x 20 px"):
        load_index(source)


@pytest.mark.real
def test_real_pairs_and_series_are_found(real_data: Path):
    classes = {"unchanged": 0, "changed": 255}
    airchange = source_of(
        real_data / "airchange",
        images="*/train/*_im1.png",
        after="*/train/*_im2.png",
        labels="*/train/*_gt.png",
        classes=classes,
    )
    index = load_index(airchange)
    assert len(index.entries) == 10
    assert index.schema.steps == 2


@pytest.mark.real
def test_real_tiles_with_repeated_stems_pair_up(real_data: Path):
    colors = {
        "land": "#8429F6",
        "building": "#3C1098",
        "road": "#6EC1E4",
        "vegetation": "#FEDD3A",
        "water": "#E2A929",
    }
    source = source_of(
        real_data / "dubai",
        images="Tile */images/*.jpg",
        labels="Tile */masks/*.png",
        label_encoding="colors",
        classes=colors,
    )
    entries = load_index(source).entries
    assert len(entries) == 45
    assert all(entry.image.split("/images/")[0] in (entry.label or "") for entry in entries.values())


def test_scenes_without_labels_have_neither_classes_nor_labels(tmp_path: Path):
    make_data(tmp_path, {"a": (20, 20), "b": (20, 30)})
    index = load_index(source_of(tmp_path, labels=None, classes=None))
    assert [entry.label for entry in index.entries.values()] == [None, None]
    assert (index.is_labelled, index.vectors, index.schema.classes, index.schema.quantity) == (
        False,
        (),
        (),
        None,
    )
    assert load_index(source_of(tmp_path)).is_labelled
