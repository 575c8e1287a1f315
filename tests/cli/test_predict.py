"""`eoseg predict`: from the command line to the map, and what it says on the way."""

import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from range_server import serve

from eoseg import cli
from eoseg.cli.predict import main
from eoseg.errors import BandError, CheckpointError, ConfigError, DataError, EosegError, OutputError
from eoseg.geo.mapfile import item_path, map_kind
from eoseg.models import FittedBody, Network, build_network
from eoseg.recipe import BandStatistics, Quantity, Recipe, Schema, Statistics, parse_classes

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
        network={"kind": "segmentation", "arch": "unet", "args": dict(ARGS)},
        chip_size=64,
        output_stride=network.output_stride,
    )
    return save(tmp_path / "model.ckpt", network, recipe)


def save(path: Path, network: Network, recipe: Recipe) -> Path:
    network.normalize.set_statistics(recipe.statistics)
    if network.rescale is not None:
        network.rescale.set_statistics(recipe.statistics)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return path


def make_checkpoint(
    path: Path, arch: str, kind: str, schema: Schema, *, chip_size: int = 8, **args: int | str
) -> Path:
    """A model with random weights; one that is fitted in one go learns to tell dark from bright."""
    torch.manual_seed(0)
    size = {"chip_size": chip_size, "steps": schema.steps}
    network = build_network(
        arch,
        kind=kind,
        bands=BANDS,
        num_classes=schema.outputs,
        args=args,
        regression=schema.quantity is not None,
        **size,
    )
    if isinstance(network.body, FittedBody):
        image = torch.linspace(-2, 2, 400).view(1, 1, 20, 20).expand(1, 3, 20, 20).contiguous()
        target = torch.arange(400).view(1, 20, 20) * schema.outputs // 400
        network.body.collect(image, torch.ones(1, 20, 20, dtype=torch.bool), target)
        network.body.fit()
    recipe = Recipe(
        task="SomeTask",
        schema=schema,
        statistics=Statistics(
            tuple(BandStatistics(name, 120, 60, 0, 5, 250, 255) for name in BANDS),
            "uint8",
            1000,
            900,
            (100,) * schema.outputs,
            target=BandStatistics("height", 10, 2, 0, 1, 19, 20) if schema.quantity else None,
        ),
        network={"kind": kind, "arch": arch, "args": dict(args)},
        chip_size=chip_size,
        output_stride=network.output_stride,
    )
    return save(path, network, recipe)


@pytest.fixture
def change_checkpoint(tmp_path: Path) -> Path:
    schema = Schema(BANDS, parse_classes(["same", "changed"]), time="pair", steps=2)
    return make_checkpoint(tmp_path / "change.ckpt", "fc_ef", "change", schema, chip_size=32, width=2)


@pytest.fixture
def series_checkpoint(tmp_path: Path) -> Path:
    schema = Schema(BANDS, parse_classes(["wheat", "maize"]), time="series", steps=3)
    args = {"channels": 4, "kernel": 3, "hidden": 4}
    return make_checkpoint(tmp_path / "series.ckpt", "tempcnn", "series", schema, **args)


@pytest.fixture
def dates(make_scene: MakeScene) -> list[Path]:
    """A folder of three dates."""
    rng = np.random.default_rng(0)
    return [
        make_scene(f"site/s_2021-0{month}-01.tif", rng.integers(1, 255, (3, 40, 50), np.uint8), names=BANDS)
        for month in (3, 5, 7)
    ]


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
    assert re.search(r"MP/s, \S+ km2/s\) on cpu: 1 tile\(s\)", said)
    assert re.search(r"Time: \d+% computing, \d+% waiting for reads", said)
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
        *(
            "--tile",
            32,
            "--halo",
            0,
            "--batch-size",
            2,
            "--device",
            "cpu",
            "--max-memory",
            100,
            "--no-progress",
        ),
        *("--probabilities", "--uncertainty", "--tta"),
    )
    said = capsys.readouterr().out
    assert "Note: " in said
    assert "a mismatch is allowed" in said
    assert "9 tile(s) of 32 px, halo 0 px" in said
    assert "Not exact: the halo of 0 px is less than" in said
    assert "compared pixels get another class" in said
    assert "(no value)" in said
    assert "9 tile(s) of 32 px, each 8 times through the network (8 symmetries): about" in said
    assert "Mean over 8 symmetries: 8 passes for each tile." in said
    assert "Probabilities: " in said
    assert f"Uncertainty: {out.with_name('map_uncertainty.tif')}" in said
    assert f"STAC item: {out.with_name('map.stac.json')}" in said
    with rasterio.open(out) as dataset:
        assert (dataset.read(1)[:10] == 255).all()
    assert out.with_name("map_probabilities.tif").exists()
    with rasterio.open(out.with_name("map_uncertainty.tif")) as dataset:
        assert dataset.descriptions == ("entropy", "margin", "spread", "out_of_range")


def test_tiles_are_blended_unless_asked_not_to(
    checkpoint: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ("--tile", 32, "--halo", 8, "--probabilities")
    predict(checkpoint, scene, "--out", tmp_path / "a.tif", *sizes)
    said = capsys.readouterr().out
    assert "of the network and 1 MB to blend tiles" in said
    assert "Tiles are blended over 16 px." in said
    predict(checkpoint, scene, "--out", tmp_path / "b.tif", *sizes, "--blend", "off")
    assert "Tiles are not blended." in capsys.readouterr().out
    maps = [classes_of(tmp_path / f"{name}_probabilities.tif") for name in "ab"]
    assert (maps[0] != maps[1]).any()
    predict(checkpoint, scene, "--out", tmp_path / "c.tif", "--blend", "off")
    assert "Note: --blend off changes nothing here: the map is exact" in capsys.readouterr().out


def test_seams_are_checked_and_drawn(
    checkpoint: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "a.tif", tmp_path / "seams.png"
    predict(checkpoint, scene, "--out", out, "--tile", 32, "--check-seams", 2)
    assert "Seams: where tiles lie elsewhere, none of 2,048 compared pixels differ" in (
        capsys.readouterr().out
    )
    predict(checkpoint, scene, "--out", out, "--tile", 32, "--check-seams")
    assert "is already the map of this scene" in capsys.readouterr().out
    predict(
        *(checkpoint, scene, "--out", tmp_path / "b.tif", "--tile", 32, "--halo", 0),
        *("--check-seams", 3, "--seam-map", picture),
    )
    said = capsys.readouterr().out
    assert f"Seams: {picture}, 3 of 3 parts that were compared" in said
    drawn = matplotlib.image.imread(picture)  # (height, width, 3), 0 to 1
    dark_red = np.array([179, 0, 0]) / 255  # pixels that differ
    assert (np.abs(drawn - dark_red).max(axis=2) < 0.01).any()


def test_labels_and_quantities_are_drawn_too(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = {"encoder": "resnet18", "depth": 3, "channels": 4}
    for name, schema in (
        ("labels", Schema(BANDS, parse_classes(["water", "wood"]), multilabel=True)),
        ("height", Schema(BANDS, (), quantity=Quantity("height", "m"))),
    ):
        checkpoint = make_checkpoint(tmp_path / f"{name}.ckpt", "unet", "segmentation", schema, **args)
        picture = tmp_path / f"{name}.png"
        predict(
            *(checkpoint, scene, "--out", tmp_path / f"{name}.tif", "--tile", 32, "--halo", 0),
            *("--seam-map", picture),
        )
        assert f"Seams: {picture}" in capsys.readouterr().out
        assert picture.read_bytes()[:4] == b"\x89PNG"


def test_several_scenes_go_to_a_folder(
    checkpoint: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.tif"
    other.write_bytes(scene.read_bytes())
    predict(checkpoint, scene, other, "--out", tmp_path / "maps")
    assert {path.name for path in (tmp_path / "maps").glob("*.tif")} == {"scene_map.tif", "other_map.tif"}
    assert capsys.readouterr().out.count("Map: ") == 2


def classes_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_change_is_mapped_from_two_scenes(
    change_checkpoint: Path, dates: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "map.tif"
    predict(change_checkpoint, dates[0], dates[2], "--out", out, "--probabilities")
    said = capsys.readouterr().out
    assert "Exact: " in said
    assert "changed" in said
    predict(change_checkpoint, dates[0], dates[1], "--out", tmp_path, "--probabilities")
    first, second = tmp_path / "map_probabilities.tif", tmp_path / "s_2021-05-01_map_probabilities.tif"
    assert (classes_of(first) != classes_of(second)).any()


def test_a_series_is_a_folder_or_its_dates(
    series_checkpoint: Path, dates: list[Path], tmp_path: Path
) -> None:
    predict(series_checkpoint, dates[0].parent, "--out", tmp_path)
    predict(series_checkpoint, *reversed(dates), "--out", tmp_path)
    first, second = tmp_path / "site_map.tif", tmp_path / "s_2021-07-01_map.tif"
    np.testing.assert_array_equal(classes_of(first), classes_of(second))


def test_several_folders_are_several_series(
    series_checkpoint: Path, dates: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in dates:
        (other / path.name).write_bytes(path.read_bytes())
    (other / "labels.tif").touch()
    predict(series_checkpoint, dates[0].parent, other, "--out", tmp_path / "maps")
    assert {path.name for path in (tmp_path / "maps").glob("*.tif")} == {"site_map.tif", "other_map.tif"}
    assert "also holds labels.tif: no date in the name" in " ".join(capsys.readouterr().out.split())


def test_a_quantity_is_told_by_its_range(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = Schema(BANDS, (), quantity=Quantity("height", "m"))
    checkpoint = make_checkpoint(tmp_path / "h.ckpt", "mlp", "segmentation", schema, hidden="4")
    out = tmp_path / "map.tif"
    predict(checkpoint, scene, "--out", out)
    values, said = classes_of(out), capsys.readouterr().out
    assert map_kind(out) == "values"
    assert (
        f"height: {values.min():.5g} to {values.max():.5g} m, mean {values.mean():.5g} m, on 6,300 px" in said
    )
    assert "class" not in said


def test_a_quantity_that_depends_on_its_tiles_is_told_with_its_unit(
    make_scene: MakeScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = Schema(BANDS, (), quantity=Quantity("height", "m"))
    args = {"encoder": "resnet18", "depth": 3, "channels": 4}
    checkpoint = make_checkpoint(tmp_path / "h.ckpt", "unet", "segmentation", schema, **args)
    values = np.random.default_rng(0).integers(1, 255, (3, 70, 90), np.uint8)
    values[:, :9] = 0
    path = make_scene("gaps.tif", values, names=BANDS, nodata=0)
    predict(checkpoint, path, "--out", tmp_path / "map.tif", "--tile", 32, "--halo", 0)
    said = capsys.readouterr().out
    assert "compared pixels get a value that differs by more than 0.2 m." in said
    assert "on 5,490 px; 810 px have no value" in said


def test_chips_with_several_labels_are_told_apart(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = Schema(BANDS, parse_classes(["water", "wood"]), multilabel=True)
    checkpoint = make_checkpoint(tmp_path / "c.ckpt", "mlp", "classification", schema, hidden="4")
    out = tmp_path / "map.tif"
    predict(checkpoint, scene, "--out", out, "--tile", 4, "--probabilities")
    said = capsys.readouterr().out
    assert "tile(s) of 4 px, halo 2 px" in said
    with rasterio.open(out) as dataset:
        labels = dataset.read()
    line = next(line for line in said.splitlines() if line.startswith("water"))
    assert f"{labels[0].sum():,}" in line
    assert f"{labels[0].mean():.1%}" in line
    assert "label " in said
    assert out.with_name("map_probabilities.tif").exists()


def test_a_random_forest_maps_like_any_network(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = Schema(BANDS, parse_classes(["dark", "bright"]))
    args = {"trees": 5, "features": "texture"}
    checkpoint = make_checkpoint(tmp_path / "rf.ckpt", "random_forest", "segmentation", schema, **args)
    whole, tiled = tmp_path / "a.tif", tmp_path / "b.tif"
    predict(checkpoint, scene, "--out", whole)
    predict(checkpoint, scene, "--out", tiled, "--tile", 16, "--batch-size", 3)
    assert capsys.readouterr().out.count("Exact: ") == 2
    np.testing.assert_array_equal(classes_of(whole), classes_of(tiled))
    with pytest.raises(ConfigError, match="runs on the CPU, on all its cores; found --device cuda"):
        predict(checkpoint, scene, "--out", tmp_path / "c.tif", "--device", "cuda")


@pytest.mark.parametrize(
    ("scenes", "error", "words"),
    [
        ([0], ConfigError, r"change between two dates; found 1 scene\(s\)"),
        ([0, 1, 2], ConfigError, r"change between two dates; found 3 scene\(s\)"),
        ([2, 0], DataError, "is earlier than .* Exchange them"),
        (["site"], ConfigError, r"change between two dates; found 1 scene\(s\)"),
    ],
)
def test_scenes_that_are_no_pair_are_refused(
    change_checkpoint: Path,
    dates: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenes: list[int | str],
    error: type[EosegError],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [dates[scene] if isinstance(scene, int) else scene for scene in scenes]
    with pytest.raises(error, match=words):
        predict(change_checkpoint, *paths)
    assert not list(tmp_path.glob("*_map.tif"))


def test_a_series_with_a_missing_date_is_refused(
    series_checkpoint: Path, dates: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"3 dates and takes no other number; found 2\. The longest gap"):
        predict(series_checkpoint, dates[0], dates[2], "--out", tmp_path / "map.tif")
    with pytest.raises(ConfigError, match="among 2 paths"):
        predict(series_checkpoint, dates[0].parent, dates[2])


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
    before, made = out.read_bytes(), out.stat().st_ino
    predict(checkpoint, scene, "--out", out)  # a list of scenes may go on after those that are done
    assert out.stat().st_ino == made
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        predict(checkpoint, scene, "--out", out, "--tile", "32", "--halo", "0")
    predict(checkpoint, scene, "--out", out, "--overwrite")
    assert out.read_bytes() == before
    assert out.stat().st_ino != made


def test_a_file_that_eoseg_did_not_make_is_refused_before_any_work(
    checkpoint: Path, scene: Path, tmp_path: Path
) -> None:
    (tmp_path / "map.tif").write_text("mine")
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        predict(checkpoint, scene, "--out", tmp_path / "map.tif")
    assert (tmp_path / "map.tif").read_text() == "mine"
    for name, option in (("other_uncertainty.tif", ["--uncertainty"]), ("other.stac.json", [])):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputError, match=rf"{name}' exists already.*--overwrite"):
            predict(checkpoint, scene, "--out", tmp_path / "other.tif", *option)
        (tmp_path / name).unlink()


RANKS = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}


def as_rank(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    for name, value in {**RANKS, "RANK": str(number), "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)


def test_ranks_of_a_launcher_share_one_scene(
    checkpoint: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--tile", 32, "--halo", 32)
    predict(checkpoint, scene, "--out", tmp_path / "whole.tif", *options)
    for number in (1, 0):
        assert not (tmp_path / "map.tif").exists()
        as_rank(monkeypatch, number)
        predict(checkpoint, scene, "--out", tmp_path / "map.tif", *options)
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_ranks_of_a_launcher_take_whole_scenes(
    checkpoint: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path / "second.tif"
    second.write_bytes(scene.read_bytes())
    as_rank(monkeypatch, 1)
    predict(checkpoint, scene, second, "--out", tmp_path / "maps")
    made = sorted(path.name for path in (tmp_path / "maps").glob("*.tif"))
    assert made == ["scene_map.tif", "second_map.tif"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["absent.ckpt", "scene.tif"], CheckpointError, "There is no checkpoint 'absent.ckpt'"),
        (["model.ckpt", "absent.tif"], DataError, "There is no file 'absent.tif'"),
        (["scene.tif", "scene.tif"], CheckpointError, "scene.tif"),
        (["model.ckpt", "model.ckpt", "--out", "x.tif"], DataError, "not a raster"),
        (["model.ckpt", "scene.tif", "scene.tif"], ConfigError, "'scene_map.tif'"),
        (["model.ckpt", "scene.tif", "scene.tif", "--out", "x.tif"], ConfigError, "there are 2 scenes"),
        (["model.ckpt", "scene.tif", "--out", "a/b/c.tif"], OutputError, "cannot be made"),
        (["model.ckpt", "scene.tif", "--out", "scene.tif", "--overwrite"], ConfigError, "scene itself"),
        (["model.ckpt", "scene.tif", "--tile", "20"], ConfigError, "output stride, 8 px; found 20"),
        (["model.ckpt", "scene.tif", "--halo", "5", "--tile", "8"], ConfigError, "halo must be a multiple"),
        (["model.ckpt", "scene.tif", "--device", "tpu"], ConfigError, "no device 'tpu'"),
        (["model.ckpt", "scene.tif", "--seam-map", "x.jpg"], ConfigError, "NAME.png; found 'x.jpg'"),
        (["model.ckpt", "scene.tif", "--seam-map", "a/x.png"], OutputError, "no folder 'a'"),
        (["model.ckpt", "scene.tif", "--seam-map", "taken.png"], OutputError, "'taken.png' exists already"),
        (["model.ckpt", "scene.tif", "b.tif", "--seam-map", "x.png"], ConfigError, "there are 2 maps"),
        (["model.ckpt", "scene.tif", "--bands", "B1,B2"], BandError, "2 band names given"),
        (["model.ckpt", "scene.tif", "--pixel-size", "0"], ConfigError, "metres above 0; found 0"),
        (
            ["model.ckpt", "scene.tif", "--pixel-size", "5000"],
            ConfigError,
            "smaller than one pixel of 5000 m",
        ),
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
    (tmp_path / "taken.png").touch()
    (tmp_path / "b.tif").write_bytes(scene.read_bytes())
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
        (["--pixel-size", "10m"], "expected 'auto', 'native' or metres, found '10m'"),
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


def test_a_pixel_without_a_value_in_one_band_is_mapped_where_asked(
    checkpoint: Path, make_scene: MakeScene, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(1, 255, (3, 20, 20), np.uint8)
    values[0, :3] = 0
    path = make_scene("gaps.tif", values, names=BANDS, nodata=0)
    for policy, missing in (("any", 60), ("all", 0)):
        out = tmp_path / f"{policy}.tif"
        predict(checkpoint, path, "--out", out, "--nodata-policy", policy)
        assert (classes_of(out) == 255).sum() == missing


def sources_of(map_path: Path) -> list[str]:
    """What the STAC item of a map says that it was made of."""
    item = json.loads(item_path(map_path).read_text())
    return [link["href"] for link in item["links"] if link["rel"] == "derived_from"]


def test_a_scene_on_another_machine_is_mapped_as_a_local_one(
    checkpoint: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    maps = tmp_path / "maps"
    predict(checkpoint, scene, "--out", tmp_path / "local.tif")
    with serve(scene.parent) as server:
        predict(checkpoint, f"{server.address}/{scene.name}?sig=a.b", "--out", maps)
    (found,) = maps.glob("*.tif")
    assert found.name == f"{scene.stem}_map.tif"
    np.testing.assert_array_equal(classes_of(found), classes_of(tmp_path / "local.tif"))
    assert sources_of(found) == [f"{server.address}/{scene.name}"]  # without its signature


def test_parts_of_a_scene_and_bands_in_files_are_mapped_as_the_scene(
    checkpoint: Path, make_scene: MakeScene, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(1, 255, (3, 20, 40), np.uint8)
    whole = make_scene("whole.tif", values, names=BANDS)
    left = make_scene("left.tif", values[:, :, :25], names=BANDS)
    right = make_scene("right.tif", values[:, :, 20:], names=BANDS, origin=(500_200.0, 5_400_000.0))
    for name, band in zip(BANDS, values, strict=True):
        make_scene(f"product/x_{name}.tif", band)
    maps = tmp_path / "maps"
    predict(checkpoint, left, right, "--mosaic", "--out", maps)
    predict(checkpoint, whole, tmp_path / "product", "--out", maps)
    for name in ("right", "product"):
        np.testing.assert_array_equal(
            classes_of(maps / f"{name}_map.tif"), classes_of(maps / "whole_map.tif")
        )
    assert sources_of(maps / "right_map.tif") == ["../left.tif", "../right.tif"]
    assert sources_of(maps / "product_map.tif") == [f"../product/x_{name}.tif" for name in BANDS]


def test_a_scene_of_another_pixel_size_is_read_at_that_of_the_training(
    make_scene: MakeScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = Schema(BANDS, parse_classes(["dark", "bright"]), pixel_metres=10.0)
    model = make_checkpoint(tmp_path / "mlp.ckpt", "mlp", "segmentation", schema, hidden="4")
    coarse = np.random.default_rng(0).integers(1, 255, (3, 20, 30), np.uint8)
    fine = make_scene("fine.tif", coarse.repeat(4, 1).repeat(4, 2), names=BANDS, pixel=(2.5, 2.5))
    predict(model, make_scene("coarse.tif", coarse, names=BANDS), "--out", tmp_path / "coarse_map.tif")
    assert "pixels are" not in capsys.readouterr().out
    predict(model, fine, "--out", tmp_path / "map.tif")
    said = " ".join(capsys.readouterr().out.split())
    assert f"Note: '{fine}' is read at 10 m, as the network was trained; its own pixels are 2.5 m." in said
    assert "9,600 px in" in said
    expected = classes_of(tmp_path / "coarse_map.tif").repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(classes_of(tmp_path / "map.tif"), expected)
    for size, told in (("native", ""), ("5", "is read at 5 m, as asked for")):
        predict(model, fine, "--out", tmp_path / f"{size}.tif", "--pixel-size", size)
        said = " ".join(capsys.readouterr().out.split())
        assert told in said
        assert ("is read at" in said) == bool(told)


def test_a_folder_of_several_scenes_is_refused(
    checkpoint: Path, make_scene: MakeScene, tmp_path: Path
) -> None:
    for name in ("a.tif", "b.tif"):
        make_scene(f"scenes/{name}", np.ones((3, 4, 4), np.uint8), names=BANDS)
    with pytest.raises(BandError, match="has two files of the band 'B02': .*bands of one date and tile"):
        predict(checkpoint, tmp_path / "scenes", "--out", tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()


def test_two_ways_to_start_processes_are_refused(
    checkpoint: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_rank(monkeypatch, 0)
    with pytest.raises(ConfigError, match="A launcher has started 2 processes; found --processes 3 too"):
        predict(checkpoint, scene, "--processes", 3)


@pytest.mark.slow
def test_processes_share_a_scene(checkpoint: Path, scene: Path, tmp_path: Path) -> None:
    options = ("--tile", 32, "--halo", 32, "--no-progress")
    predict(checkpoint, scene, "--out", tmp_path / "whole.tif", *options)
    predict(checkpoint, scene, "--out", tmp_path / "map.tif", *options, "--processes", 2)
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
