"""`eoseg describe`: a file in words."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from conftest import MakeScene
from map_factory import write_map
from raster_factory import write_layer

from eoseg.cli.describe import main
from eoseg.errors import CheckpointError, DataError
from eoseg.geo.grid import Grid
from eoseg.geo.valuefile import value_layer
from eoseg.models import build_network
from eoseg.recipe import BandStatistics, Quantity, Recipe, Scaling, Schema, Statistics, parse_classes

BANDS = ("B02", "B03")


def describe(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Each line's name and text; lines without a name are joined to the one before."""
    main("describe", [str(path)])
    said: dict[str, str] = {}
    for line in capsys.readouterr().out.splitlines():
        name, text = line[:14].strip(), line[15:]
        if len(line) > 14 and line[14] != " ":  # a name longer than its column
            name, _, text = line.partition("  ")
        if name:
            said[name] = text
        else:
            said[list(said)[-1]] += " " + text
    return said


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network = build_network("fcn", bands=BANDS, num_classes=2, encoder="resnet18", args={"channels": 8})
    recipe = Recipe(
        task="SegmentationTask",
        schema=Schema(
            BANDS,
            parse_classes({"water": {"value": [1, 2], "color": "#0000FF"}, "wood": 7}),
            file_bands=("B01", *BANDS),
            bands_named_by_config=True,
            nodata=-1.0,
            pixel_size=(10.0, 20.0),
        ),
        statistics=Statistics(
            tuple(BandStatistics(name, 120.5, 60, 0, 5, 250, 255) for name in BANDS),
            "int16",
            1000,
            900,
            (100, 300),
        ),
        network={
            "kind": "segmentation",
            "arch": "fcn",
            "args": {"channels": 8, "encoder": "resnet18"},
        },
        chip_size=64,
        output_stride=32,
        provenance={"eoseg": "0.1.0", "seed": 7},
    )
    network.normalize.set_statistics(recipe.statistics)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    path = tmp_path / "model.ckpt"
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return path


def test_a_checkpoint_tells_its_recipe(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = describe(checkpoint, capsys)
    assert said["task"] == "SegmentationTask"
    assert said["network"].startswith("fcn over resnet18 for segmentation, ")
    assert said["takes"] == "scenes of one date"
    assert said["network"].endswith("channels 8")
    assert said["chip size"] == "64 px"
    assert said["output stride"] == "32 px"
    assert said["bands"].startswith("B02, B03 of files with B01, B02, B03 named by the configuration")
    assert said["pixel size"].startswith("10 x 20")
    assert said["trained on"] == "900 valid pixels of int16, 10.0% nodata"
    assert said["B02"] == "mean 120.5, deviation 60, 96 % in 5 to 250, all in 0 to 255"
    assert said["nodata"] == "-1, set by the configuration"
    assert said["0"] == "water #0000FF, label 1, 2, 25.0% of the labelled pixels"
    assert said["1"].startswith("wood #")
    assert (said["eoseg"], said["seed"]) == ("0.1.0", "7")


def write_checkpoint(path: Path, recipe: Recipe) -> Path:
    state = {"network.body.weight": torch.zeros(1200)}
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return path


def recipe_of(schema: Schema, network: dict[str, object], **more: object) -> Recipe:
    bands = tuple(BandStatistics(name, 120.5, 60, 0, 5, 250, 255) for name in BANDS)
    target = BandStatistics("height", 12.25, 3.5, 0, 1, 30, 41) if schema.quantity else None
    statistics = Statistics(bands, "uint8", 1000, 900, (100,) * schema.outputs, target=target)
    return Recipe(
        task="Some",
        schema=schema,
        statistics=statistics,
        network=network,
        chip_size=64,
        output_stride=1,
        **more,
    )


def test_a_checkpoint_for_change_tells_dates_and_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = Schema(BANDS, parse_classes(["same", "changed"]), time="pair", steps=2)
    inner = {"task": "SegmentationTask", "network": {"arch": "unet", "args": {}}}
    network = {"kind": "change", "arch": "post_classification", "args": {"inner": inner, "window": 3}}
    said = describe(
        write_checkpoint(tmp_path / "m.ckpt", recipe_of(schema, network, threshold=0.375)), capsys
    )
    assert said["network"] == (
        "post_classification for change, 1,200 numbers inner unet of SegmentationTask, window 3"
    )
    assert said["takes"] == "two dates, to find change between them"
    assert said["threshold"] == "'changed' is mapped from a probability of 0.375 on"


@pytest.mark.parametrize(
    ("scaling", "text"),
    [
        (Scaling("temperature", (0.5, 0.5), (0.0, 0.0)), "temperature 2"),
        (Scaling("vector", (0.5, 1.5), (0.1, -0.1)), "logits of the classes times 0.5, 1.5, plus 0.1, -0.1"),
    ],
)
def test_a_calibrated_checkpoint_tells_its_calibration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scaling: Scaling, text: str
) -> None:
    schema = Schema(BANDS, parse_classes(["a", "b"]))
    network = {"kind": "segmentation", "arch": "unet", "args": {}}
    provenance = {"split": {"method": "blocks", "seed": 1}, "classes": {"a": [0], "b": []}}
    recipe = recipe_of(schema, network, scaling=scaling, provenance=provenance)
    said = describe(write_checkpoint(tmp_path / "m.ckpt", recipe), capsys)
    assert said["calibration"] == text
    assert said["split"] == "method blocks, seed 1"


def test_a_checkpoint_for_series_tells_how_many_dates_it_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = Schema(BANDS, parse_classes(["a", "b"]), time="series", steps=23)
    path = write_checkpoint(
        tmp_path / "m.ckpt", recipe_of(schema, {"kind": "series", "arch": "ltae", "args": {}})
    )
    said = describe(path, capsys)
    assert said["takes"] == "series of dates; trained on 23 of them"
    assert "threshold" not in said


def test_a_checkpoint_for_a_quantity_tells_unit_and_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = {"kind": "segmentation", "arch": "unet", "args": {}}
    schema = Schema(BANDS, (), quantity=Quantity("height", "m"))
    said = describe(write_checkpoint(tmp_path / "m.ckpt", recipe_of(schema, network)), capsys)
    assert said["quantity"] == (
        "height in m in training mean 12.25, deviation 3.5, 96 % in 1 to 30, all in 0 to 41"
    )
    assert "classes" not in said


def test_a_pretrained_checkpoint_has_no_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = {"kind": "pretraining", "arch": "autoencoder", "args": {"encoder": "resnet18"}}
    said = describe(write_checkpoint(tmp_path / "m.ckpt", recipe_of(Schema(BANDS, ()), network)), capsys)
    assert said["network"].startswith("autoencoder over resnet18 for pretraining")
    assert "classes" not in said


def test_a_checkpoint_for_labels_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = Schema(BANDS, parse_classes(["a", "b"]), multilabel=True)
    network = {"kind": "classification", "arch": "resnet", "args": {"depth": 18}}
    said = describe(write_checkpoint(tmp_path / "m.ckpt", recipe_of(schema, network)), capsys)
    assert said["labels"] == "2"
    assert said["network"].startswith("resnet for classification")


def test_a_map_of_a_quantity_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = Grid(None, Affine.identity(), 5, 6)
    layer, tags = value_layer(Quantity("height", "m")), {"EOSEG_TASK": "RegressionTask"}
    write_layer(tmp_path / "v.tif", grid, layer, np.zeros((5, 6), np.float32), tags=tags)
    said = describe(tmp_path / "v.tif", capsys)
    assert (said["holds"], said["quantity"]) == ("values", "height in m")
    assert (said["size"], said["task"]) == ("6 x 5 px", "RegressionTask")


def test_a_scene_tells_grid_bands_and_values(
    make_scene: MakeScene, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.full((2, 30, 40), 100, np.int16)
    values[:, :15] = -1
    path = make_scene("s.tif", values, names=BANDS, nodata=-1, crs="EPSG:27700", pixel=(10.0, 20.0))
    said = describe(path, capsys)
    assert said["size"] == "40 x 30 px"
    assert said["CRS"] == "EPSG:27700"
    assert said["pixel size"] == "10 x 20 metre"
    assert said["bounds"] == "500000 5399400 500400 5400000 (left bottom right top)"
    assert said["type"] == "int16"
    assert said["nodata"] == "-1"
    assert said["blocks"].startswith("40 x ")
    assert said["valid"] == "50.0%"
    assert said["bands"] == "2"
    assert said["B03"] == "96 % in 100 to 100, all in 100 to 100"


def test_a_plain_image_has_neither_crs_nor_names(
    make_scene: MakeScene, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.zeros((2, 600, 20), np.float32)
    path = make_scene("s.tif", values, crs=None, photometric="MINISBLACK", nodata=0)
    said = describe(path, capsys)
    assert said["CRS"] == "none"
    assert said["bands"] == "2 (the file does not name them)"
    assert said["valid"] == "0.0% of a sample"
    assert said["band_1"] == "no valid pixel found"


def test_geographic_pixels_are_in_degrees(make_scene: MakeScene, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_scene("s.tif", np.zeros((5, 5), np.uint8), crs="EPSG:4326", origin=(10, 50), pixel=(0.1, 0.2))
    assert describe(path, capsys)["pixel size"] == "0.1 x 0.2 degree"


def test_a_map_tells_classes_and_provenance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_map(tmp_path / "m.tif", np.zeros((5, 6), np.uint8))
    said = describe(path, capsys)
    assert said["holds"] == "classes"
    assert said["size"] == "6 x 5 px"
    assert said["0"] == "water #0000FF, label 1, 2"


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("absent.tif", None, DataError, "does not exist. Give a checkpoint"),
        ("text.tif", b"hello", DataError, "not a raster"),
        ("broken.ckpt", b"hello", CheckpointError, "broken.ckpt"),
    ],
)
def test_what_is_none_of_them_is_refused(
    tmp_path: Path, name: str, content: bytes | None, error: type[Exception], words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=words):
        main("describe", [str(path)])


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        main("describe", [str(tmp_path)])


def test_describing_a_scene_imports_no_torch(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", np.zeros((5, 5), np.uint8))
    code = (
        "import sys; from eoseg.cli.describe import main; "
        f"main('describe', [{str(path)!r}]); print('torch' in sys.modules or 'lightning' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


def test_describing_a_checkpoint_imports_no_lightning(checkpoint: Path) -> None:
    code = (
        "import sys; from eoseg.cli.describe import main; "
        f"main('describe', [{str(checkpoint)!r}]); print('lightning' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"
