"""The whole way, from labelled scenes to a map that is right, byte for byte the same each time."""

import json
import os
from pathlib import Path

import pytest
import rasterio
import yaml
from toy_world import make_toy, write_config

from eoseg.cli import main
from eoseg.models.checkpoint import read_checkpoint


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
    assert config["model"]["init_args"]["loss"] == "cross_entropy"
    assert config["data"]["init_args"]["split"]["method"] == "blocks"


def test_the_checkpoint_says_how_it_came_about(way: Path) -> None:
    run = runs_of(way)[0]
    recipe, _ = read_checkpoint(run / "model.ckpt")
    split = json.loads((run / "split.json").read_text())
    record = {key: split[key] for key in ("method", "seed", "sha256")}
    trained = dict(recipe.provenance["split"])  # type: ignore[call-overload]
    assert trained.pop("leakage")["verdict"] == "clean"
    assert trained == record | split["parameters"]
    assert recipe.provenance["chosen_by"] == "val/miou, highest"
    assert recipe.schema.bands == ("red", "nir")
    assert recipe.network["args"] == {  # the defaults too: they may change
        "encoder": "resnet18",
        "depth": 3,
        "channels": 8,
        "interpolation": "nearest",
    }


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
    tested = way / "runs" / "toy-test" / "latest"
    assert "test/miou" in (tested / "metrics.csv").read_text()
    assert (tested / "confusion_test.csv").is_file()
