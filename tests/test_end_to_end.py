"""The whole way on a toy world whose answer is known: three materials, told apart by two bands."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from conftest import write_scene

from eoseg.cli import main
from eoseg.models.checkpoint import read_checkpoint

LEVELS = np.array([[400, 300], [700, 2500], [2200, 2000]])  # soil, grass, roof in two bands


def make_toy(folder: Path, seed: int, size: tuple[int, int]) -> tuple[Path, Path]:
    """Blocks of 16 px of three materials with noise, a nodata corner; returns image and label paths."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (size[0] // 16 + 1, size[1] // 16 + 1))
    label = blocks.repeat(16, axis=0).repeat(16, axis=1)[: size[0], : size[1]].astype(np.uint8)
    image = LEVELS[label].transpose(2, 0, 1) + rng.normal(0, 60, (2, *size))
    image = image.clip(1, 10_000).astype(np.uint16)
    image[:, :8, :8] = 0
    name = f"scene_{seed}.tif"
    return (
        write_scene(
            folder / "images" / name, image, nodata=0, names=["red", "nir"], origin=(5e5 + 1e5 * seed, 5.4e6)
        ),
        write_scene(folder / "labels" / name, label, origin=(5e5 + 1e5 * seed, 5.4e6)),
    )


def write_config(folder: Path, **trainer: object) -> Path:
    for seed in range(3):
        make_toy(folder, seed, (192, 192))
    config = {
        "data": {
            "class_path": "SceneData",
            "init_args": {
                "scenes": {
                    "root": str(folder),
                    "images": "images/*.tif",
                    "labels": "labels/*.tif",
                    "classes": {"soil": "#AA7744", "grass": "#44AA55", "roof": "#CC3344"},
                },
                "chip_size": 32,
                "batch_size": 8,
                "split": {"val": 0.2, "test": 0.2, "block_size": 64, "buffer": 4},
            },
        },
        "model": {
            "class_path": "SegmentationTask",
            "init_args": {
                "network_args": {"depth": 3, "channels": 8},
                "optimizer": {"lr": 0.01},
            },
        },
        "trainer": {"max_epochs": 6, "accelerator": "cpu", **trainer},
    }
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train twice with one seed, map an unseen scene with both; a folder with `runs`, maps and truth."""
    folder = tmp_path_factory.mktemp("way")
    config = write_config(folder)
    image, label = make_toy(folder / "unseen", 9, (130, 171))
    before = dict(os.environ)
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    try:
        for number, wandb in enumerate(([], ["--no-wandb"])):
            main(["fit", f"--config={config}", f"--run.folder={folder / 'runs'}", *wandb])
            model = folder / "runs" / "toy" / "latest" / "model.ckpt"
            main(
                ["predict", str(model), str(image), f"--out={folder / f'map_{number}.tif'}", "--no-progress"]
            )
    finally:
        os.environ.clear()
        os.environ.update(before)
    (folder / "truth.txt").write_text(str(label))
    return folder


def runs_of(way: Path) -> list[Path]:
    return sorted(path for path in (way / "runs" / "toy").iterdir() if not path.is_symlink())


def test_a_second_run_gets_its_own_folder(way: Path) -> None:
    assert len(runs_of(way)) == 2


@pytest.mark.parametrize(
    "name", ["model.ckpt", "config.yaml", "split.json", "statistics.json", "environment.json", "metrics.csv"]
)
def test_a_run_folder_holds_what_is_needed_to_repeat_it(way: Path, name: str) -> None:
    for run in runs_of(way):
        assert (run / name).stat().st_size > 0


def test_wandb_gets_an_offline_run_unless_it_is_switched_off(way: Path) -> None:
    first, second = runs_of(way)
    assert list(first.glob("wandb/offline-run-*/run-*.wandb"))
    assert not (second / "wandb").exists()


def test_the_resolved_configuration_names_every_option(way: Path) -> None:
    config = yaml.safe_load((runs_of(way)[0] / "config.yaml").read_text())
    assert config["model"]["init_args"]["encoder"] == "resnet18"
    assert config["data"]["init_args"]["split"]["method"] == "blocks"


def test_the_checkpoint_says_how_it_came_about(way: Path) -> None:
    run = runs_of(way)[0]
    recipe, _ = read_checkpoint(run / "model.ckpt")
    split = json.loads((run / "split.json").read_text())
    assert recipe.provenance["split"] == {"method": "blocks", "sha256": split["sha256"]}
    assert recipe.provenance["chosen_by"] == "val/miou, highest"
    assert recipe.schema.bands == ("red", "nir")


def test_the_same_seed_gives_the_same_checkpoint_and_map_byte_for_byte(way: Path) -> None:
    first, second = ((run / "model.ckpt").read_bytes() for run in runs_of(way))
    assert first == second
    assert (way / "map_0.tif").read_bytes() == (way / "map_1.tif").read_bytes()


def test_the_map_lies_on_the_scenes_grid_and_is_right(way: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth_path = Path((way / "truth.txt").read_text())
    with rasterio.open(way / "map_0.tif") as made, rasterio.open(truth_path) as truth:
        assert (made.crs, made.transform, made.shape) == (truth.crs, truth.transform, truth.shape)
        assert made.nodata == 255
        assert made.colormap(1)[1] == (0x44, 0xAA, 0x55, 255)
        assert (made.read(1)[:8, :8] == 255).all()
    main(["evaluate", str(way / "map_0.tif"), str(truth_path), f"--out={way / 'evaluation.json'}"])
    scores = json.loads((way / "evaluation.json").read_text())["scores"]
    assert scores["mean_iou"] > 0.8
    assert "grass" in capsys.readouterr().out


def test_a_finished_run_is_tested_by_its_folder(way: Path) -> None:
    run = runs_of(way)[0]
    main(["test", str(run), f"--run.folder={way / 'runs'}", "--no-wandb"])
    tested = way / "runs" / "config-test" / "latest"
    assert "test/miou" in (tested / "metrics.csv").read_text()
    assert (tested / "confusion_test.csv").is_file()


def test_everything_works_without_wandb_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", _without_wandb(monkeypatch))
    config = write_config(tmp_path, max_epochs=1)
    main(["fit", f"--config={config}", f"--run.folder={tmp_path / 'runs'}"])
    assert (tmp_path / "runs" / "toy" / "latest" / "model.ckpt").is_file()
    assert "W&B is not installed" in caplog.text


def _without_wandb(monkeypatch: pytest.MonkeyPatch) -> object:
    import importlib.util

    real = importlib.util.find_spec
    return lambda name, package=None: None if name == "wandb" else real(name, package)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--data.init_args.chip_size=40", "chip_size 40 does not suit"),
        ("--data.init_args.scenes.images=nothing/*.tif", "nothing/"),
        ("--data.init_args.scenes.bands=[red,swir]", "swir"),
        ("--model.init_args.loss=dise", "Did you mean 'dice'"),
        ("--data.init_args.chip_size=many", "chip_size"),
        ("--weights_only=false", "weights_only is always true"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    config = write_config(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["fit", f"--config={config}", f"--run.folder={tmp_path / 'runs'}", "--no-wandb", override])
    assert caught.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not list(tmp_path.glob("runs/**/*.ckpt"))
