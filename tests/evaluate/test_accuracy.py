import hashlib
import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from conftest import write_scene
from map_factory import CLASSES, GEO, label_values, write_map

from eoseg import __version__
from eoseg.errors import ConfigError, DataError, GridError
from eoseg.evaluate import accuracy
from eoseg.evaluate.accuracy import (
    default_block_size,
    evaluate_map,
    format_interval,
    notes,
    overall_figures,
)
from eoseg.geo.erosion import near_border
from eoseg.geo.grid import Grid
from eoseg.metrics import confusion_matrix


def worlds(height: int = 150, width: int = 130) -> tuple[np.ndarray, np.ndarray]:
    """Reference and map with known differences, unlabelled and unmapped places."""
    generator = np.random.default_rng(0)
    truth = np.kron(generator.integers(0, 3, (15, 13)), np.ones((10, 10), int)).astype(np.uint8)
    truth = truth[:height, :width]
    mapped = np.where(generator.random(truth.shape) < 0.2, (truth + 1) % 3, truth).astype(np.uint8)
    truth[:, :10] = 255
    mapped[:5] = 255
    return truth, mapped


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    truth, mapped = worlds()
    return (
        write_map(tmp_path / "map.tif", mapped),
        write_scene(tmp_path / "reference.tif", label_values(truth), nodata=255),
    )


def test_the_matrix_counts_every_compared_pixel_once(files: tuple[Path, Path]) -> None:
    truth, mapped = worlds()
    evaluation = evaluate_map(*files)
    assert (evaluation.matrix == confusion_matrix(truth, mapped, 3)).all()
    assert evaluation.matrix.dtype == np.int64
    assert evaluation.ignored_pixels == 150 * 10
    assert evaluation.unmapped_pixels == 5 * 120
    assert evaluation.compared_pixels == 150 * 130 - 150 * 10 - 5 * 120
    assert evaluation.scores.overall_accuracy == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("pixels", [1, 3000, 10**9])
@pytest.mark.parametrize("block_size", [7, 64, 1000])
def test_neither_windows_nor_blocks_change_the_counts(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, pixels: int, block_size: int
) -> None:
    truth, mapped = worlds()
    monkeypatch.setattr(accuracy, "_WINDOW_PIXELS", pixels)
    evaluation = evaluate_map(*files, block_size=block_size)
    assert (evaluation.matrix == confusion_matrix(truth, mapped, 3)).all()
    expected = {
        (row // block_size, col // block_size)
        for row, col in np.argwhere((truth != 255) & (mapped != 255)).tolist()
    }
    assert evaluation.intervals.blocks == len(expected)
    assert evaluation.protocol["block_size"] == block_size


@pytest.mark.parametrize("pixels", [3000, 10**9])
def test_eroded_borders_are_in_no_figure_and_in_the_record(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, pixels: int
) -> None:
    truth, mapped = worlds()
    near = near_border(truth)
    monkeypatch.setattr(accuracy, "_WINDOW_PIXELS", pixels)
    evaluation = evaluate_map(*files, border="isprs-eroded", block_size=7)
    eroded = np.where(near, 255, truth)
    assert (evaluation.matrix == confusion_matrix(eroded, mapped, 3)).all()
    assert evaluation.eroded_pixels == near.sum() > 1000
    assert evaluation.ignored_pixels == 150 * 10
    assert evaluation.protocol["border"] == "isprs-eroded"
    assert evaluation.protocol["classes"] == {"water": [1, 2], "wood": [3], "town": [7]}
    assert "within 3 px of another class left out" in " ".join(notes(evaluation))
    assert evaluate_map(*files).to_dict()["eroded_pixels"] == 0


def test_several_label_values_may_stand_for_a_class(tmp_path: Path) -> None:
    zeros = np.zeros((20, 20), np.uint8)
    path = write_map(tmp_path / "map.tif", zeros)
    reference = zeros + 1
    reference[:10] = 2
    assert evaluate_map(path, write_scene(tmp_path / "r.tif", reference)).scores.overall_accuracy == 1


def test_a_reference_in_colours_gives_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    truth, _ = worlds()
    palette = np.zeros((256, 3), np.uint8)
    palette[:3] = [entry.color for entry in CLASSES]
    palette[255] = 155
    colors = write_scene(tmp_path / "colors.tif", palette[truth].transpose(2, 0, 1), photometric="RGB")
    evaluation = evaluate_map(files[0], colors, label_encoding="colors", ignore=["#9B9B9B"])
    assert (evaluation.matrix == evaluate_map(*files).matrix).all()
    with pytest.raises(DataError, match="#9B9B9B"):
        evaluate_map(files[0], colors, label_encoding="colors")


def test_ignored_values_are_left_out(files: tuple[Path, Path], tmp_path: Path) -> None:
    truth, _ = worlds()
    values = label_values(truth)
    values[values == 7] = 99
    reference = write_scene(tmp_path / "other.tif", values)
    with pytest.raises(DataError, match="99"):
        evaluate_map(files[0], reference)
    evaluation = evaluate_map(files[0], reference, ignore=[99])
    assert evaluation.matrix[2].sum() == 0
    assert evaluation.scores.classes[2].iou is None


def test_polygons_in_another_crs_are_compared(files: tuple[Path, Path], tmp_path: Path) -> None:
    _, mapped = worlds()
    left, top = GEO @ (20, 30)
    right, bottom = GEO @ (60, 90)
    frame = geopandas.GeoDataFrame(
        {"cover": ["wood"]}, geometry=[shapely.box(left, bottom, right, top)], crs="EPSG:32632"
    ).to_crs("EPSG:4326")
    frame.to_file(tmp_path / "polygons.gpkg")
    evaluation = evaluate_map(files[0], tmp_path / "polygons.gpkg", attribute="cover")
    assert (evaluation.matrix[1] == np.bincount(mapped[30:90, 20:60].ravel(), minlength=3)).all()
    assert evaluation.matrix.sum() == 60 * 40
    assert evaluation.protocol["attribute"] == "cover"


def test_another_grid_is_refused_with_the_line_that_repairs_it(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    moved = write_scene(tmp_path / "moved.tif", np.ones((150, 130), np.uint8), origin=(500_005, 5_400_000))
    with pytest.raises(GridError, match=r"rio warp .*moved\.tif .*--like .*map\.tif"):
        evaluate_map(files[0], moved)


def test_a_reference_without_labels_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    empty = write_scene(tmp_path / "empty.tif", np.full((150, 130), 255, np.uint8))
    with pytest.raises(DataError, match="labels no pixel of"):
        evaluate_map(files[0], empty)


def test_labels_only_where_nothing_is_mapped_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    values = np.full((150, 130), 255, np.uint8)
    values[:2, 20:30] = 1
    with pytest.raises(DataError, match=r"All 20 labelled pixels of .* lie where .* has no class"):
        evaluate_map(files[0], write_scene(tmp_path / "r.tif", values))


def test_what_is_no_map_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="no map that eoseg wrote"):
        evaluate_map(files[1], files[1])


def test_a_missing_file_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    for paths in ((tmp_path / "none.tif", files[1]), (files[0], tmp_path / "none.tif")):
        with pytest.raises(DataError, match=r"There is no file .*none\.tif"):
            evaluate_map(*paths)


def test_a_block_size_below_one_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="block_size 0"):
        evaluate_map(*files, block_size=0)


def test_blocks_grow_with_the_map_and_the_number_of_classes() -> None:
    def size(side: int, classes: int) -> int:
        return default_block_size(Grid(None, Affine.identity(), side, side // 2), classes)

    assert size(100, 5) == size(2048, 5) == 64
    assert size(10_980, 5) == 344
    assert size(1_000_000, 5) == 31_250
    for classes in (2, 20, 100, 255):
        blocks = -(-50_000 // size(50_000, classes))
        assert blocks**2 * classes**2 * 8 <= 64_000_000


def test_the_protocol_says_what_was_compared(files: tuple[Path, Path]) -> None:
    protocol = evaluate_map(*files, seed=4, draws=100).protocol
    assert protocol["map_sha256"] == hashlib.sha256(files[0].read_bytes()).hexdigest()
    assert protocol["reference_sha256"] == hashlib.sha256(files[1].read_bytes()).hexdigest()
    assert protocol["map_tags"]["EOSEG_CHECKPOINT_SHA256"] == "abc"
    assert protocol["eoseg"] == __version__
    assert (protocol["seed"], protocol["draws"]) == (4, 100)
    assert protocol["unmapped_pixels"] == 600


def test_everything_is_plain_and_fits_json(files: tuple[Path, Path]) -> None:
    evaluation = evaluate_map(*files, block_size=16)
    values = json.loads(json.dumps(evaluation.to_dict()))
    assert values["confusion_matrix"]["pixels"] == evaluation.matrix.tolist()
    low, high = values["intervals"]["overall_accuracy"]
    assert low <= values["scores"]["overall_accuracy"] <= high


def test_notes_say_what_is_not_in_the_figures(files: tuple[Path, Path]) -> None:
    few = "\n".join(notes(evaluate_map(*files)))
    assert "600 labelled pixels (3.3%) lie where the map has no class" in few
    assert "9 blocks of 64 x 64 px hold labels, 10 are needed" in few
    evaluation = evaluate_map(*files, block_size=16)
    assert "bootstrap over 90 blocks of 16 x 16 px, 1000 draws, seed 0" in "\n".join(notes(evaluation))
    assert format_interval(evaluation, "kappa").count("-") == 1
    assert next(iter(overall_figures(evaluation))) == "overall_accuracy"
