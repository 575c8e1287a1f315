"""`eoseg predict`: from the command line to the map, and what it says on the way."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene

from eoseg import cli
from eoseg.cli.predict import main
from eoseg.errors import BandError, CheckpointError, ConfigError, DataError, EosegError, OutputError
from eoseg.models import build_network
from eoseg.recipe import BandStatistics, Recipe, Schema, Statistics, parse_classes

BANDS = ("B02", "B03", "B04")
ARGS = {"depth": 3, "channels": 4}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small U-Net with random weights."""
    torch.manual_seed(0)
    network = build_network("unet", bands=BANDS, num_classes=3, encoder="resnet18", args=ARGS)
    entries = tuple(BandStatistics(name, 120, 60, 0, 5, 250, 255) for name in BANDS)
    recipe = Recipe(
        task="SegmentationTask",
        schema=Schema(BANDS, parse_classes({"water": "#0000FF", "wood [old]": 7, "town": 9})),
        statistics=Statistics(entries, "uint8", 1000, 900, (200, 300, 400)),
        network={"arch": "unet", "encoder": "resnet18", "args": dict(ARGS)},
        chip_size=64,
        output_stride=network.output_stride,
    )
    network.normalize.set_statistics(recipe.statistics)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    path = tmp_path / "model.ckpt"
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return path


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    values = np.random.default_rng(0).integers(0, 255, (3, 70, 90), dtype=np.uint8)
    return make_scene("scene.tif", values, names=BANDS)


def predict(*arguments: object) -> None:
    main("predict", [str(argument) for argument in arguments])


def test_a_checkpoint_and_a_scene_are_enough_for_a_map(
    checkpoint: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "map.tif"
    predict(checkpoint, scene, "--out", out)
    with rasterio.open(out) as dataset:
        assert dataset.shape == (70, 90)
        assert dataset.nodata == 255
        classes = dataset.read(1)
    said = capsys.readouterr().out
    assert "6,300 px in" in said
    assert "MP/s) on cpu: 1 tile(s)" in said
    assert "Exact: the map equals the network's result on the whole scene" in said
    assert f"Map: {out}" in said
    for index, name in enumerate(["water", "wood [old]", "town"]):
        line = next(line for line in said.splitlines() if line.startswith(name))
        assert f"{(classes == index).sum():,}" in line
        assert f"{(classes == index).mean():.1%}" in line


def test_every_option_reaches_the_prediction(
    checkpoint: Path, make_scene: MakeScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.random.default_rng(0).integers(1, 3, (3, 70, 90)).astype(np.uint8)
    values[:, :10] = 9
    path = make_scene("plain.tif", values, photometric="MINISBLACK")
    out = tmp_path / "map.tif"
    predict(
        *(checkpoint, path, "--out", out, "--bands", "B04,B03,B02", "--nodata", 9, "--allow-range-mismatch"),
        *("--tile", 32, "--halo", 0, "--batch-size", 2, "--device", "cpu", "--memory", 100, "--no-progress"),
        "--probabilities",
    )
    said = capsys.readouterr().out
    assert "Note: " in said
    assert "a mismatch is allowed" in said
    assert "9 tile(s) of 32 px, halo 0 px" in said
    assert "Not exact: the halo of 0 px is less than" in said
    assert "compared pixels get another class" in said
    assert "(no value)" in said
    assert "Probabilities: " in said
    with rasterio.open(out) as dataset:
        assert (dataset.read(1)[:10] == 255).all()
    assert out.with_name("map_probabilities.tif").exists()


def test_several_scenes_go_to_a_folder(
    checkpoint: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.tif"
    other.write_bytes(scene.read_bytes())
    predict(checkpoint, scene, other, "--out", tmp_path / "maps")
    assert {path.name for path in (tmp_path / "maps").glob("*.tif")} == {"scene_map.tif", "other_map.tif"}
    assert capsys.readouterr().out.count("Map: ") == 2


def test_the_map_goes_to_the_present_folder_by_default(
    checkpoint: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    predict(checkpoint, scene)
    assert (tmp_path / "scene_map.tif").exists()


def test_an_existing_map_is_replaced_only_when_asked_for(
    checkpoint: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map.tif"
    predict(checkpoint, scene, "--out", out)
    before = out.read_bytes()
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        predict(checkpoint, scene, "--out", out)
    predict(checkpoint, scene, "--out", out, "--overwrite")
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["absent.ckpt", "scene.tif"], CheckpointError, "There is no checkpoint 'absent.ckpt'"),
        (["model.ckpt", "absent.tif"], DataError, "There is no file 'absent.tif'"),
        (["model.ckpt", "."], DataError, "is a folder. Give its scenes"),
        (["scene.tif", "scene.tif"], CheckpointError, "scene.tif"),
        (["model.ckpt", "model.ckpt", "--out", "x.tif"], DataError, "not a raster"),
        (["model.ckpt", "scene.tif", "scene.tif"], ConfigError, "'scene_map.tif'"),
        (["model.ckpt", "scene.tif", "scene.tif", "--out", "x.tif"], ConfigError, "there are 2 scenes"),
        (["model.ckpt", "scene.tif", "--out", "a/b/c.tif"], OutputError, "cannot be made"),
        (["model.ckpt", "scene.tif", "--out", "scene.tif", "--overwrite"], ConfigError, "scene itself"),
        (["model.ckpt", "scene.tif", "--tile", "20"], ConfigError, "output stride, 8 px; found 20"),
        (["model.ckpt", "scene.tif", "--halo", "5", "--tile", "8"], ConfigError, "halo must be a multiple"),
        (["model.ckpt", "scene.tif", "--device", "tpu"], ConfigError, "no device 'tpu'"),
        (["model.ckpt", "scene.tif", "--bands", "B1,B2"], BandError, "2 band names given"),
    ],
)
def test_bad_input_is_an_error_of_eoseg_and_leaves_nothing(
    checkpoint: Path,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    error: type[EosegError],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(error, match=words):
        predict(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tile", "big"], "expected 'auto' or a number of pixels, found 'big'"),
        (["--batch-size", "0"], "expected a whole number of at least 1, found '0'"),
        (["--bands", "B02,,B03"], "expected names with commas between them"),
        (["--nodata", "none"], "invalid float value: 'none'"),
        (["--tiles", "auto"], "unrecognized arguments: --tiles"),
    ],
)
def test_a_wrong_argument_ends_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        predict("model.ckpt", "scene.tif", *arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_an_error_is_one_line_on_the_command_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict", str(checkpoint), str(tmp_path / "absent.tif")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
