"""The shipped configurations on the real data that they are for: a few steps, to see that all of it works."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml

from eoseg.cli import main

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[1]


def shipped(name: str, real_data: Path, folder: Path, **trainer: object) -> Path:
    """A shipped configuration that finds the data wherever it is, and trains for two steps."""
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    options = config["data"]["init_args"]
    options["scenes"]["root"] = str(real_data / Path(options["scenes"]["root"]).name)
    options |= {"chips_per_epoch": 4, "batch_size": 2}
    config["trainer"] = {"max_epochs": 1, "limit_val_batches": 2, "num_sanity_val_steps": 0, **trainer}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def train(config: Path) -> Path:
    runs = config.parent / "runs"
    main(["fit", f"--config={config}", f"--run.folder={runs}", "--no-wandb", "--run.panels_every=0"])
    return runs / config.stem / "latest" / "model.ckpt"


def test_dubai_is_split_by_tile_and_a_tile_put_together_is_mapped(real_data: Path, tmp_path: Path) -> None:
    model = train(shipped("dubai", real_data, tmp_path))
    split = json.loads((model.parent / "split.json").read_text())
    tiles = {
        part: {r["scene"].split("/")[0] for r in split["regions"] if r["split"] == part}
        for part in ("train", "test")
    }
    assert tiles == {"train": {"Tile 1", "Tile 2", "Tile 4"}, "test": {"Tile 6"}}
    # The smallest tile, whose parts differ by a pixel and whose masks have palettes.
    for kind in ("images", "masks"):
        parts = sorted((real_data / "dubai" / "Tile 2" / kind).iterdir())
        script = [sys.executable, str(ROOT / "scripts" / "mosaic_parts.py"), "--columns", "3"]
        subprocess.run([*script, "--out", str(tmp_path / f"{kind}.tif"), *map(str, parts)], check=True)
    made = tmp_path / "map.tif"
    main(["predict", str(model), str(tmp_path / "images.tif"), f"--out={made}", "--no-progress"])
    reference = ["--label-encoding", "colors", "--ignore", "#9B9B9B", "#000000"]
    out = tmp_path / "evaluation.json"
    main(["evaluate", str(made), str(tmp_path / "masks.tif"), *reference, f"--out={out}"])
    assert json.loads(out.read_text())["scores"]["overall_accuracy"] > 0


def test_aberystwyth_is_trained_on_sparse_polygons_and_mapped_wall_to_wall(
    real_data: Path, tmp_path: Path
) -> None:
    model = train(shipped("aberystwyth", real_data, tmp_path))
    scene = real_data / "aberystwyth_s2" / "sen2_20210527_aber_10band.tif"
    made = tmp_path / "map.tif"
    main(["predict", str(model), str(scene), f"--out={made}", "--no-progress"])
    with rasterio.open(made) as found, rasterio.open(scene) as given:
        assert (found.crs, found.transform, found.shape) == (given.crs, given.transform, given.shape)
        assert ((found.read(1) == 255) == (given.read() == 0).any(axis=0)).all()
    split = model.parent / "split.json"
    polygons = real_data / "aberystwyth_s2" / "cls_poly_smpls.gpkg"
    out = tmp_path / "evaluation.json"
    main(["evaluate", str(made), str(polygons), "--split", str(split), f"--out={out}"])
    assert np.sum(json.loads(out.read_text())["confusion_matrix"]["pixels"]) == 1368


def test_the_doctor_finds_the_undeclared_nodata_of_rachel_carson(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = shipped("rachel_carson", real_data, tmp_path)
    main(["doctor", str(config)])
    assert "255 fills" not in capsys.readouterr().out
    config.write_text(config.read_text().replace("nodata: 255", "nodata: null"))
    main(["doctor", str(config)])
    assert "nodata: 255" in " ".join(capsys.readouterr().out.split())


def test_rachel_carson_is_mapped_in_degrees_with_its_corners_left_out(
    real_data: Path, tmp_path: Path
) -> None:
    model = train(shipped("rachel_carson", real_data, tmp_path))
    scene = real_data / "rachel_carson_s2" / "s2_rcr_20181013_8band_2201x2629.tif"
    made = tmp_path / "map.tif"
    main(["predict", str(model), str(scene), f"--out={made}", "--no-progress", "--tile=512", "--halo=32"])
    with rasterio.open(made) as found, rasterio.open(scene) as given:
        assert (found.crs, found.transform, found.shape) == (given.crs, given.transform, given.shape)
        assert ((found.read(1) == 255) == (given.read() == 255).any(axis=0)).all()
