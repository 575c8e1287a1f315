"""Adding a model is one function and one dict entry; adding a data set of image/label pairs is a YAML."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from conftest import write_scene
from toy_world import LEVELS, make_toy, write_config

from eoseg.cli import main
from eoseg.models import MODELS

# Both texts stand in the README; tests/test_readme.py holds them against each other.
MODEL = '''\
from torch import nn

from eoseg.models import MODELS, Dimensions


def two_layers(dims: Dimensions, *, width: int = 16) -> nn.Module:
    """Two 3 x 3 convolutions."""
    first = nn.Conv2d(dims.channels, width, kernel_size=3, padding=1)
    body = nn.Sequential(first, nn.ReLU(), nn.Conv2d(width, dims.classes, kernel_size=3, padding=1))
    body.output_stride = 1  # any height and width will do
    return body


MODELS["segmentation"]["two_layers"] = two_layers
'''

CONFIG = """\
data:
  class_path: SceneData
  init_args:
    scenes:
      root: fields
      images: "*/photo.png"
      labels: "*/classes.png"
      classes: {soil: 10, grass: 20, roof: 30}
    chip_size: 32
    split: {block_size: 32, buffer: 0}
model: {class_path: SegmentationTask}
trainer: {max_epochs: 1}
"""


def test_a_model_is_one_function_and_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(MODELS["segmentation"], "two_layers", MODELS["segmentation"]["mlp"])  # undone after
    exec(compile(MODEL, "README.md", "exec"), {})
    toy = write_config(tmp_path, max_epochs=3)
    config = yaml.safe_load(toy.read_text())
    config["model"]["init_args"] |= {"arch": "two_layers", "network_args": {"width": 8}}
    toy.write_text(yaml.safe_dump(config, sort_keys=False))
    main(["fit", f"--config={toy}", "--no-wandb", "--run.panels_every=0"])
    image, label = make_toy(tmp_path / "unseen", 9, (70, 91))
    main(["predict", "runs/toy/latest/model.ckpt", str(image), "--out=map.tif", "--no-progress"])
    with rasterio.open("map.tif") as made, rasterio.open(label) as truth:
        assert (made.crs, made.transform, made.shape) == (truth.crs, truth.transform, truth.shape)
        found, expected = made.read(1), truth.read(1)
    known = found != 255
    assert known.mean() > 0.9
    assert (found == expected)[known].mean() > 0.8


def test_its_options_are_known_by_name_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(MODELS["segmentation"], "two_layers", MODELS["segmentation"]["mlp"])
    exec(compile(MODEL, "README.md", "exec"), {})
    main(["models", "two_layers"])
    assert "two_layers (segmentation): Two 3 x 3 convolutions." in capsys.readouterr().out


def write_fields(folder: Path) -> None:
    """A folder for each field with a photo and its classes, as PNG without georeference."""
    for number in range(4):
        blocks = np.random.default_rng(number).integers(0, 3, (6, 6))
        label = blocks.repeat(16, axis=0).repeat(16, axis=1)
        image = (LEVELS[label].transpose(2, 0, 1) // 10).astype(np.uint8)  # two bands
        photo = np.concatenate([image, image[:1]])
        for name, values in (("photo", photo), ("classes", (10 * (label + 1)).astype(np.uint8))):
            write_scene(folder / f"field {number}" / f"{name}.png", values, crs=None, driver="PNG")


def test_a_data_set_of_pairs_is_a_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_fields(tmp_path / "fields")
    Path("fields.yaml").write_text(CONFIG)
    main(["doctor", "fields.yaml"])
    told = capsys.readouterr().out
    assert "Scenes  4, 3 bands of uint8" in told
    assert "paired pixel by pixel" in " ".join(told.split())  # a photo has no georeference: said, no error
    small = ["--model.init_args.network_args={depth: 3, channels: 4}", "--run.panels_every=0", "--no-wandb"]
    main(["fit", "--config=fields.yaml", *small])
    run = Path("runs/fields/latest")
    assert (run / "model.ckpt").is_file()
    classes = yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]["scenes"]["classes"]
    assert classes == {"soil": 10, "grass": 20, "roof": 30}
