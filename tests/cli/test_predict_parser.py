"""What `eoseg predict` is told, and from there to maps that say how sure they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from test_predict import BANDS, make_checkpoint, predict

from eoseg import cli
from eoseg.cli.predict_parser import prediction_parser
from eoseg.recipe import Schema, parse_classes

SCHEMA = Schema(BANDS, parse_classes(["water", "wood", "town"]))


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    values = np.random.default_rng(0).integers(0, 255, (3, 40, 50), dtype=np.uint8)
    return make_scene("scene.tif", values, names=BANDS)


def checkpoint(path: Path, *, dropout: float = 0.0, seed: int = 0, schema: Schema = SCHEMA) -> Path:
    args = {"width": 4, "depth": 1, "dropout": dropout}
    made = make_checkpoint(path, "plain_unet", "segmentation", schema, **args)
    values = torch.load(made, weights_only=True)
    torch.manual_seed(seed)
    for name, weights in values["state_dict"].items():
        if name.startswith("network.body") and weights.ndim == 4:
            weights += 0.1 * torch.randn_like(weights)
    torch.save(values, made)
    return made


def test_values_are_what_they_are_meant_to_be() -> None:
    given = ["a.ckpt", "s.tif", "--ensemble", "b.ckpt", "c.ckpt", "--tile", "64", "--pixel-size", "5"]
    found = prediction_parser("predict").parse_args([*given, "--mc-dropout", "4", "--ensemble", "d.ckpt"])
    assert found.ensemble == [Path("b.ckpt"), Path("c.ckpt"), Path("d.ckpt")]
    assert (found.tile, found.halo, found.pixel_size, found.mc_dropout) == (64, "auto", 5.0, 4)
    again = prediction_parser("predict").parse_args(["a.ckpt", "s.tif"])
    assert (again.ensemble, again.mc_dropout) == ([], None)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--tile", "-3"), "expected 'auto' or a number of pixels, found '-3'"),
        (("--pixel-size", "large"), "expected 'auto', 'native' or metres, found 'large'"),
        (("--mc-dropout", "some"), "expected a whole number of at least 1, found 'some'"),
        (("--ensemble",), "expected at least one argument"),
    ],
)
def test_a_value_of_another_kind_is_refused(
    option: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        prediction_parser("predict").parse_args(["a.ckpt", "s.tif", *option])
    assert said in capsys.readouterr().err


def test_several_checkpoints_and_samples_make_one_map(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = (checkpoint(tmp_path / f"{seed}.ckpt", dropout=0.5, seed=seed) for seed in range(3))
    out = tmp_path / "map.tif"
    predict(
        *(first, scene, "--out", out, "--uncertainty", "--probabilities", "--tile", 16),
        *("--ensemble", *others, "--mc-dropout", 2),
    )
    said = capsys.readouterr().out
    assert "6 times through the networks (3 checkpoints x 2 samples by dropout): about" in said
    assert "Mean over 3 checkpoints x 2 samples by dropout: 6 passes for each tile." in said
    assert "Out of range: none of 12 tile(s)" in said
    with rasterio.open(out.with_name("map_uncertainty.tif")) as dataset:
        names = ("entropy", "margin", "spread", "mutual_information", "out_of_range")
        assert dataset.descriptions == names
        assert dataset.read(3).max() > 0
    with rasterio.open(out) as dataset:
        named = json.loads(dataset.tags()["EOSEG_ENSEMBLE"])
    assert [entry["checkpoint"] for entry in named] == ["1.ckpt", "2.ckpt"]
    chances = []
    for number, path in enumerate((first, *others)):
        single = tmp_path / f"single{number}.tif"
        predict(path, scene, "--out", single, "--probabilities", "--mc-dropout", 2)
        with rasterio.open(single.with_name(f"single{number}_probabilities.tif")) as dataset:
            chances.append(dataset.read() / 250)
    with rasterio.open(out.with_name("map_probabilities.tif")) as dataset:
        np.testing.assert_allclose(dataset.read() / 250, np.mean(chances, axis=0), atol=0.0045)


def test_what_cannot_be_averaged_is_one_line(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = checkpoint(tmp_path / "a.ckpt"), tmp_path / "b.ckpt"
    fewer = Schema(BANDS, parse_classes(["water", "wood"]))
    out = tmp_path / "map.tif"
    for make, options, said in (
        (None, ("--ensemble", other), f"There is no checkpoint '{other}'"),
        (lambda: checkpoint(other, schema=fewer), ("--ensemble", other), "have the same classes: "),
        (None, ("--ensemble", first), f"'{first}' holds the same network as '{first}'"),
        (None, ("--mc-dropout", 5), "The network has no layer that drops anything"),
        (None, ("--mc-dropout", 1), "Samples by dropout are 2 or more"),
    ):
        if make is not None:
            make()
        arguments = map(str, ("predict", first, scene, "--out", out, *options))
        with pytest.raises(SystemExit) as exited:
            cli.main(list(arguments))
        assert exited.value.code == 2
        found = capsys.readouterr().err
        assert said in found
        assert found.count("\n") == 1
        assert not out.exists()
