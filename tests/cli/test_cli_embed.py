"""`eoseg embed`, and a classical model that learns from its table."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import torch
import yaml
from conftest import write_scene

from eoseg import cli
from eoseg.cli.embed import main
from eoseg.errors import ConfigError, DataError, OutputError
from eoseg.models import build_network
from eoseg.recipe import BandStatistics, Recipe, Schema, Statistics, parse_classes

BANDS = ("B02", "B03")
CHIP = 16
SCENES = 6


def make_checkpoint(path: Path, arch: str, kind: str, **args: int | float) -> Path:
    """A network with random weights."""
    torch.manual_seed(0)
    classes = () if kind == "pretraining" else parse_classes(["dark", "bright"])
    network = build_network(arch, kind=kind, bands=BANDS, num_classes=2, args=args, chip_size=CHIP)
    recipe = Recipe(
        task="SomeTask",
        schema=Schema(BANDS, classes),
        statistics=Statistics(
            tuple(BandStatistics(name, 120, 60, 0, 5, 250, 255) for name in BANDS), "uint8", 9, 9, (9,)
        ),
        network={"kind": kind, "arch": arch, "args": dict(args)},
        chip_size=CHIP,
        output_stride=network.output_stride,
    )
    network.normalize.set_statistics(recipe.statistics)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of dark and of bright blocks of a chip's size, one class a third as frequent; and a network."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for number in range(SCENES):
        label = (rng.random((4, 4)) < 0.3).astype(np.uint8).repeat(CHIP, 0).repeat(CHIP, 1)
        image = np.where(label, 190, 70) + rng.normal(0, 15, (2, *label.shape))
        origin = (500_000.0 + 1000 * number, 5_400_000.0)
        write_scene(
            folder / "images" / f"s{number}.tif",
            image.clip(0, 255).astype(np.uint8),
            origin=origin,
            names=BANDS,
        )
        write_scene(folder / "labels" / f"s{number}.tif", label, origin=origin)
    make_checkpoint(folder / "lenet.ckpt", "lenet5", "classification")
    return folder


def files(world: Path, kind: str) -> list[str]:
    return [str(path) for path in sorted((world / kind).iterdir())]


def test_a_table_of_all_scenes_is_written_and_told(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.parquet"
    arguments = [str(world / "lenet.ckpt"), *files(world, "images"), "--out", str(out)]
    main("embed", [*arguments, "--labels", *files(world, "labels"), "--no-progress"])
    frame = geopandas.read_parquet(out)
    assert len(frame) == SCENES * 16
    assert [name for name in frame if name.startswith("f")][-1] == "f083"
    counts = frame.label.value_counts().to_dict()
    told = capsys.readouterr().out
    assert "96 chips of 16 px: 84 features each" in told
    assert f"Labels: dark {counts['dark']}, bright {counts['bright']}" in told
    assert "Footprints: CRS EPSG:32632" in told
    assert f"Table: {out}" in told
    with pytest.raises(OutputError, match="exists already"):
        main("embed", arguments)
    main("embed", [*arguments, "--overwrite", "--step", "8", "--no-progress"])
    assert len(geopandas.read_parquet(out)) == SCENES * 64


@pytest.mark.parametrize(
    ("arch", "kind", "args"),
    [
        ("unet", "segmentation", {"depth": 3, "channels": 4}),
        ("autoencoder", "pretraining", {"depth": 3, "channels": 4, "mask_patch": 4}),
    ],
)
def test_segmenters_and_autoencoders_have_features_too(
    world: Path, tmp_path: Path, arch: str, kind: str, args: dict[str, int]
) -> None:
    checkpoint = make_checkpoint(tmp_path / "model.ckpt", arch, kind, **args)
    scene, label = files(world, "images")[0], files(world, "labels")[0]
    out = tmp_path / "t.parquet"
    main("embed", [str(checkpoint), scene, "--out", str(out), "--labels", label, "--no-progress"])
    frame = geopandas.read_parquet(out)
    assert frame.filter(regex="^f").shape == (16, 128)
    assert set(frame.label) == ({"0", "1"} if kind == "pretraining" else {"dark", "bright"})


def test_a_forest_learns_from_the_table(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "chips.parquet"
    labels = files(world, "labels")
    main(
        "embed",
        [
            *(str(world / "lenet.ckpt"), *files(world, "images"), "--out", str(out)),
            *("--labels", *labels, "--no-progress"),
        ],
    )
    config = {
        "data": {
            "class_path": "TableData",
            "init_args": {
                "table": {"path": str(out), "classes": ["dark", "bright"]},
                "split": {"val": 0.34, "test": 0.17},
            },
        },
        "model": {
            "class_path": "SegmentationTask",
            "init_args": {"arch": "random_forest", "network_args": {"trees": 20}},
        },
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "max_epochs": 1},
        "run": {"folder": str(tmp_path / "runs"), "wandb": False},
    }
    path = tmp_path / "forest.yaml"
    path.write_text(yaml.safe_dump(config))
    cli.main(["fit", "--config", str(path)])
    run = tmp_path / "runs" / "forest" / "latest"
    figures = json.loads((run / "figures.json").read_text())["figures"]
    matrix = np.loadtxt(run / "confusion_val.csv", delimiter=",", skiprows=1, usecols=(1, 2))
    majority = matrix.sum(axis=1).max() / matrix.sum()
    assert majority < 0.9
    assert figures["val/oa"] > majority + 0.05
    assert json.loads((run / "split.json").read_text())["method"] == "groups"  # whole scenes


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["absent.tif"], DataError, "There is no file 'absent.tif'"),
        (["SCENE", "--labels", "absent.tif"], DataError, "There is no file 'absent.tif'"),
        (["SCENE", "--labels", "LABEL", "LABEL"], ConfigError, r"1 scene\(s\), but 2 label raster"),
        (["SCENE", "--chip-size", "32"], ConfigError, "made for chips of 16 px; found --chip-size 32"),
        (["SCENE", "--step", "20"], ConfigError, "leave gaps"),
        (["SCENE", "--label-values"], ConfigError, "Give --labels too"),
    ],
)
def test_what_does_not_fit_is_one_line(
    world: Path, tmp_path: Path, more: list[str], error: type[Exception], message: str
) -> None:
    held = {"SCENE": files(world, "images")[0], "LABEL": files(world, "labels")[0]}
    arguments = [held.get(word, word) for word in more]
    with pytest.raises(error, match=message) as caught:
        main("embed", [str(world / "lenet.ckpt"), *arguments, "--out", str(tmp_path / "t.parquet")])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_table_must_be_named(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main("embed", [str(world / "lenet.ckpt"), *files(world, "images")])
    assert "--out" in capsys.readouterr().err
