"""`eoseg export`, from a checkpoint to a file and what is told of it."""

from pathlib import Path

import onnxruntime
import pytest
import torch

from eoseg import cli
from eoseg.models import build_network
from eoseg.recipe import BandStatistics, Recipe, Schema, Statistics, parse_classes

BANDS = ("B02", "B03")


def make_checkpoint(
    path: Path, arch: str, kind: str = "segmentation", *, threshold: float | None = None, **args: int
) -> Path:
    """A network with random weights."""
    torch.manual_seed(0)
    network = build_network(arch, kind=kind, bands=BANDS, num_classes=2, args=args, chip_size=32)
    recipe = Recipe(
        task="SegmentationTask",
        schema=Schema(BANDS, parse_classes(["land", "water"]), pixel_size=(10.0, 10.0), nodata=0),
        statistics=Statistics(
            tuple(BandStatistics(name, 1200, 600, 1, 200, 4000, 9000) for name in BANDS), "uint16", 9, 9, (9,)
        ),
        network={"kind": kind, "arch": arch, "args": dict(args)},
        chip_size=32,
        output_stride=network.output_stride,
        threshold=threshold,
    )
    network.normalize.set_statistics(recipe.statistics)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return path


@pytest.mark.slow
def test_a_unet_is_written_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = make_checkpoint(tmp_path / "best.ckpt", "unet", depth=3, channels=4)
    cli.main(["export", str(checkpoint)])
    told = capfd.readouterr()
    assert "Takes image (batch, 2, 8*rows, 8*columns): B02, B03, NaN or 0 for 'no value'" in told.out
    assert "Gives probabilities (batch, 2, 8*rows, 8*columns): land, water" in told.out
    assert "(0.0001 allowed); 0 of 19,456 results differ" in told.out
    assert "Deepness (QGIS): needs one size; add --tile 512, say" in told.out
    assert "ONNX: best.onnx, " in told.out
    assert told.err == ""
    assert (tmp_path / "best.onnx").is_file()


def test_options_fix_the_size_the_gaps_and_the_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = make_checkpoint(tmp_path / "best.ckpt", "mlp", threshold=0.3)
    out = tmp_path / "qgis.onnx"
    out.write_text("old")
    options = ["--out", str(out), "--overwrite", "--tile", "32", "--nodata", "-9999"]
    cli.main(["export", str(checkpoint), *options])
    told = capsys.readouterr().out
    assert "Takes image (batch, 2, 32, 32): B02, B03, NaN or -9999 for 'no value'" in told
    assert "Note: 'eoseg predict' maps 'water' from a probability of 0.3 on" in told
    assert "Deepness (QGIS): can run the file" in told
    metadata = onnxruntime.InferenceSession(out).get_modelmeta().custom_metadata_map
    assert (metadata["resolution"], metadata["tile_size"]) == ("1000.0", "32")
    assert metadata["eoseg_nodata"] == "-9999.0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.ckpt"], "There is no checkpoint 'none.ckpt'"),
        (["forest.ckpt"], "a classical model"),
        (["forest.ckpt", "--out", "none/model.onnx"], "There is no folder 'none'"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "forest.ckpt", "random_forest")
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", *arguments])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in told
    assert told.count("\n") == 1
    assert list(tmp_path.glob("*.onnx*")) == []
