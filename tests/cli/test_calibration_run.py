"""A run from training to a calibrated map, as a new user goes it, and what a test writes of its figures."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import yaml
from toy_world import make_toy, write_config

from eoseg.cli import main
from eoseg.models.checkpoint import export_checkpoint, load_network, read_checkpoint
from eoseg.recipe import Recipe
from eoseg.spatial_blocks import read_blocks

TEMPERATURE = 4.0


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose last layer was made too sure, calibrated and tested before and after."""
    folder = tmp_path_factory.mktemp("way")
    config = write_config(folder, max_epochs=2)
    for seed in range(3):
        make_toy(folder, seed, (256, 256))
    values = yaml.safe_load(config.read_text())
    arguments = values["data"]["init_args"]
    arguments["split"] = {"method": "files", "val": ["scene_1"], "test": ["scene_2"]}
    arguments["chips_per_epoch"] = 96
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    runs = [f"--run.folder={folder / 'runs'}", "--no-wandb"]
    main(["fit", f"--config={config}", *runs])
    trained = (folder / "runs" / "toy" / "latest").resolve()
    distort(trained / "model.ckpt")
    main(["test", str(trained), *runs])
    main(["calibrate", str(trained), *runs])
    main(["test", str(folder / "runs" / "toy-calibrate" / "latest"), *runs])
    return folder / "runs"


def distort(checkpoint: Path) -> None:
    """Multiply the logits of a network by the temperature, in its last layer."""
    values = torch.load(checkpoint, weights_only=True)
    last = [name for name in values["state_dict"] if "segmentation_head" in name]
    assert last
    for name in last:
        values["state_dict"][name] *= TEMPERATURE
    torch.save(values, checkpoint)


def figures(way: Path, name: str) -> dict:
    return json.loads((way / name / "latest" / "figures.json").read_text())


def test_the_error_is_smaller_after_the_calibration_on_both_splits(way: Path) -> None:
    found = figures(way, "toy-calibrate")["calibration"]
    assert found["after"]["ece"] < found["before"]["ece"] / 2
    assert found["after"]["nll"] < found["before"]["nll"]
    before, after = (figures(way, name) for name in ("toy-test", "toy-calibrate-test"))
    assert after["calibration"]["ece"] < before["calibration"]["ece"] / 2
    assert after["figures"]["test/miou"] == pytest.approx(before["figures"]["test/miou"])  # the same map
    assert before["calibration"]["scaling"] is None
    assert after["calibration"]["scaling"]["method"] == "temperature"
    assert (way / "toy-calibrate" / "latest" / "reliability.png").is_file()


def test_the_recipe_says_the_calibration_and_loads_safely(way: Path) -> None:
    model = way / "toy-calibrate" / "latest" / "model.ckpt"
    recipe, state = read_checkpoint(model)
    own, weights = read_checkpoint(way / "toy" / "latest" / "model.ckpt")
    assert recipe.scaling is not None
    assert own.scaling is None
    told = recipe.provenance["calibrated_on"]
    assert told["ece_after"] < told["ece_before"]
    assert all(torch.equal(state[name], weights[name]) for name in weights)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_predict_and_export_give_the_calibrated_probabilities(way: Path, tmp_path: Path) -> None:
    scene = str(way.parent / "images" / "scene_2.tif")
    held = []
    for name in ("toy", "toy-calibrate"):
        out = tmp_path / f"{name}.tif"
        main(["predict", str(way / name / "latest" / "model.ckpt"), scene, f"--out={out}", "--probabilities"])
        with rasterio.open(tmp_path / f"{name}_probabilities.tif") as file, rasterio.open(out) as classes:
            held.append((file.read() / 250, classes.read(1), classes.tags()))
    assert (held[0][1] == held[1][1]).mean() > 0.999  # temperature leaves the map as it is
    assert held[1][2]["EOSEG_CALIBRATION"] == "temperature scaling"
    network, recipe = load_network(way / "toy-calibrate" / "latest" / "model.ckpt")
    with rasterio.open(scene) as file:
        image = torch.from_numpy(file.read().astype(np.float32))[None]
    with torch.no_grad():
        chances = network(image, (image != 0).all(dim=1)).softmax(dim=1)[0].numpy()
    known = held[1][1] != 255
    assert np.abs(held[1][0] - chances)[:, known].max() < 0.01
    assert held[0][0].max(axis=0)[known].mean() > held[1][0].max(axis=0)[known].mean() + 0.01
    assert recipe.scaling is not None


def test_figures_of_a_map_tell_what_chose_its_network(way: Path, tmp_path: Path) -> None:
    out, figure_file = tmp_path / "map.tif", tmp_path / "accuracy.json"
    images = way.parent / "images" / "scene_2.tif"
    main(["predict", str(way / "toy" / "latest" / "model.ckpt"), str(images), f"--out={out}"])
    main(["evaluate", str(out), str(way.parent / "labels" / "scene_2.tif"), f"--out={figure_file}"])
    found = json.loads(figure_file.read_text())["protocol"]
    trained = figures(way, "toy")["protocol"]
    leakage = found["training"]["split"].pop("leakage")  # of the audit before the training
    assert leakage["verdict"] != "leaking"
    assert found["training"] == {
        key: trained[key] for key in ("data", "split", "seed", "chosen_by", "chosen_on")
    }
    assert (found["border"], found["test_time_augmentation"]) == ("isprs-full", False)
    assert found["versions"]["numpy"]


def test_figures_come_with_their_protocol_and_intervals(way: Path) -> None:
    found = figures(way, "toy-test")
    protocol = found["protocol"]
    assert protocol["measured_on"] == {
        "split": "test",
        "sha256": protocol["measured_on"]["sha256"],
        "compared_pixels": 256 * 256 - 64,
        "eroded_pixels": 0,
        "ignored_pixels": 64,  # the corner without values
    }
    assert protocol["chosen_by"] == "val/miou, highest"
    assert protocol["chosen_on"]["split"] == "val"
    assert protocol["split"]["method"] == "files"
    assert protocol["classes"] == {"soil": [0], "grass": [1], "roof": [2]}
    assert (protocol["world_size"], protocol["test_time_augmentation"]) == (1, False)
    assert (protocol["border"], protocol["same_data_as_training"]) == ("isprs-full", True)
    assert protocol["data"]["files"] == 6
    assert protocol["versions"]["torch"]
    low, high = found["intervals"]["values"]["mean_iou"]
    assert low <= found["figures"]["test/miou"] <= high
    assert found["intervals"]["blocks"] == 16
    for name in ("overall_accuracy", "kappa", "iou/roof", "f1/soil"):
        assert found["intervals"]["values"][name] is not None
    blocks, record = read_blocks(way / "toy-test" / "latest" / "blocks_test.npz")
    assert blocks.matrices.sum() == 256 * 256 - 64
    assert record == protocol


def test_the_checkpoint_carries_the_protocol_of_its_training(way: Path) -> None:
    provenance = read_checkpoint(way / "toy" / "latest" / "model.ckpt")[0].provenance
    assert {"data", "split", "classes", "border", "chosen_on", "world_size", "versions"} <= set(provenance)
    assert provenance["left_out"] == {
        "compared_pixels": 256 * 256 - 64,
        "eroded_pixels": 0,
        "ignored_pixels": 64,
    }
    assert figures(way, "toy")["protocol"]["measured_on"]["split"] == "val"


def test_openings_of_the_test_set_are_counted_over_runs(way: Path) -> None:
    counts = [
        figures(way, name)["protocol"]["test_set_opened"] for name in ("toy-test", "toy-calibrate-test")
    ]
    assert counts == [1, 2]


def test_the_runs_can_be_compared(way: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", str(way / "toy-test" / "latest"), str(way / "toy-calibrate-test" / "latest")])
    printed = capsys.readouterr().out
    assert "Paired on 16 blocks" in printed
    assert "no difference shown" in printed


def test_what_is_calibrated_is_not_calibrated_again(way: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["calibrate", str(way / "toy-calibrate" / "latest"), f"--run.folder={way}", "--no-wandb"])
    assert "is calibrated already" in capsys.readouterr().err


def test_eroded_borders_change_figures_and_record(way: Path, tmp_path: Path) -> None:
    run = str(way / "toy" / "latest")
    eroded = "--data.init_args.border=isprs-eroded"
    main(["test", run, f"--run.folder={tmp_path}", "--no-wandb", eroded, "--run.block_size=128"])
    found, full = figures(tmp_path, "toy-test"), figures(way, "toy-test")
    held = found["protocol"]["measured_on"]
    assert found["protocol"]["border"] == "isprs-eroded"
    assert held["eroded_pixels"] > 10_000  # blocks of 16 px lose up to 3 px on each side
    assert held["compared_pixels"] + held["eroded_pixels"] == 256 * 256 - 64
    assert found["figures"]["test/miou"] > full["figures"]["test/miou"]
    assert found["intervals"]["reason"] is not None  # four blocks
    assert "4 blocks of 128 x 128 px" in found["intervals"]["reason"]


def test_a_test_on_what_chose_the_checkpoint_is_refused(
    way: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.ckpt"
    recipe, _ = read_checkpoint(way / "toy" / "latest" / "model.ckpt")
    recipe.provenance["chosen_on"] = figures(way, "toy-test")["protocol"]["measured_on"]
    export_checkpoint(way / "toy" / "latest" / "model.ckpt", model, recipe=recipe)
    with pytest.raises(SystemExit):
        main(
            [
                *("test", str(way / "toy" / "latest"), f"--ckpt_path={model}"),
                *(f"--run.folder={tmp_path / 'runs'}", "--no-wandb"),
            ]
        )
    assert "on the very split that is to be tested" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_threshold_is_chosen_again_for_the_calibrated_probabilities(tmp_path: Path) -> None:
    config = write_config(tmp_path, max_epochs=1)
    values = yaml.safe_load(config.read_text())
    values["data"]["init_args"]["scenes"]["classes"] = {"ground": [0, 1], "roof": [2]}
    values["model"]["init_args"]["threshold"] = "validation"
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    runs = [f"--run.folder={tmp_path / 'runs'}", "--no-wandb", "--run.panels_every=0"]
    main(["fit", f"--config={config}", *runs])
    trained = (tmp_path / "runs" / "toy" / "latest").resolve()
    before = read_checkpoint(trained / "model.ckpt")[0].threshold
    assert before is not None
    main(["calibrate", str(trained), *runs])
    after = read_checkpoint(tmp_path / "runs" / "toy-calibrate" / "latest" / "model.ckpt")[0]
    found = figures(tmp_path / "runs", "toy-calibrate")["figures"]
    assert (found["before"]["val/threshold"], found["after"]["val/threshold"]) == pytest.approx(
        (before, after.threshold)
    )
    assert (
        after.threshold != before
    )  # a temperature moves all probabilities, and the best threshold with them
    assert found["after"]["val/f1/roof"] >= found["before"]["val/f1/roof"] - 0.005
