"""What tells one run from another."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil
from conftest import MakeScene
from predict_factory import BANDS, Brightness, make_network, make_recipe, smooth_noise
from torch import nn

from eoseg.geo.scene import Scene
from eoseg.predict import PredictOptions, predict_scene
from eoseg.predict.dated import DatedRasters
from eoseg.predict.plan import Layout, plan_tiles
from eoseg.predict.provenance import (
    ensemble_hashes,
    fingerprint,
    hash_checkpoint,
    hash_recipe,
    is_made,
    is_map,
    local_files,
    read_run,
    run_name,
    source_paths,
)


def describe(
    path: Path,
    *,
    scale: float = 1.0,
    core: int = 32,
    read_at: float | None = None,
    others: Sequence[str] = (),
    **options: object,
) -> dict[str, str]:
    body = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False))
    nn.init.constant_(body[0].weight, scale)
    layout = Layout(plan_tiles(40, 50, core=core, halo=0, stride=1), 1, True, "")
    with Scene(path) as scene:
        rasters = DatedRasters("single", (str(path),))
        chosen = PredictOptions(**options)
        arguments = (make_network(body), make_recipe(), rasters, scene.grid, layout, chosen, None)
        return fingerprint(*arguments, pixel_size=read_at, others=others)


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", smooth_noise(40, 50), names=BANDS)


def test_the_same_run_is_the_same(scene: Path) -> None:
    assert describe(scene) == describe(scene)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"scale": 2.0}, "the checkpoint"),
        ({"core": 16}, "tile and halo"),
        ({"probabilities": True}, "probabilities"),
        ({"uncertainty": True}, "uncertainty"),
        ({"tta": True}, "test-time augmentation"),
        ({"mc_dropout": 2}, "samples by dropout"),
        ({"others": ["ab", "cd"]}, "the ensemble"),
        ({"bands": BANDS[::-1]}, "the bands"),
        ({"nodata": 3.0}, "nodata"),
        ({"nodata_policy": "all"}, "the nodata policy"),
        ({"aoi": "area.gpkg"}, "the area of interest"),
    ],
)
def test_what_changes_values_is_told_by_name(scene: Path, change: dict[str, object], name: str) -> None:
    before, after = describe(scene), describe(scene, **change)
    assert [key for key in before if before[key] != after[key]] == [name]
    assert run_name(before) != run_name(after)


def test_another_pixel_size_is_another_run(scene: Path) -> None:
    before, after = describe(scene), describe(scene, read_at=20.0)
    assert [key for key in before if before[key] != after[key]] == ["the pixel size"]
    assert run_name(before) != run_name(after)


def test_what_changes_no_value_is_no_other_run(scene: Path) -> None:
    assert describe(scene) == describe(scene, batch_size=7, overwrite=True)


def test_a_run_knows_the_networks_of_its_ensemble(scene: Path) -> None:
    assert ensemble_hashes(describe(scene)) == []
    assert ensemble_hashes(describe(scene, others=["ab", "cd"])) == ["ab", "cd"]


def test_a_checkpoint_has_the_hash_of_its_file_or_of_its_network(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"abc")
    network, recipe = make_network(nn.Conv2d(3, 4, 1)), make_recipe()
    assert hash_checkpoint(network, recipe, path).startswith("ba7816bf8f01cfea")
    assert hash_checkpoint(network, recipe, None) == hash_checkpoint(network, recipe, None)
    assert hash_checkpoint(make_network(nn.Conv2d(3, 4, 1)), recipe, None) != hash_checkpoint(
        network, recipe, None
    )


def test_a_recipe_has_a_hash_of_its_own() -> None:
    assert hash_recipe(make_recipe()) == hash_recipe(make_recipe())
    assert hash_recipe(make_recipe()) != hash_recipe(make_recipe(chip_size=65))


def test_the_sources_of_a_raster_are_found_here_and_elsewhere(scene: Path, tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner.vrt", tmp_path / "outer.vrt"
    rasterio.shutil.copy(scene, inner, driver="VRT")
    names = ("inner.vrt", "inner.vrt", "/vsicurl/https://example.com/b.tif")
    sources = "".join(
        f'<SourceFilename relativeToVRT="{int(not name.startswith("/"))}">{name}</SourceFilename>'
        for name in names
    )
    outer.write_text(f"<VRTDataset>{sources}</VRTDataset>")
    assert source_paths(str(outer)) == [str(scene), names[2]]
    assert local_files(str(outer)) == [scene]
    assert source_paths("s3://bucket/a.tif") == ["s3://bucket/a.tif"]


def test_a_scene_that_was_touched_is_another_run_of_the_same_name(scene: Path) -> None:
    before = describe(scene)
    os.utime(scene, (1, 1))
    assert describe(scene) != before
    assert run_name(describe(scene)) == run_name(before)


def test_a_map_counts_as_made_until_its_scene_is_newer(scene: Path) -> None:
    out = scene.with_name("map.tif")
    rasters = DatedRasters("single", (str(scene),))
    assert not is_map(out)
    predict_scene(make_network(Brightness()), make_recipe(), str(scene), out)
    assert is_map(out)
    assert not is_map(scene)
    run = read_run(out)
    assert run is not None
    assert is_made(out, run, rasters)
    assert not is_made(out, "another", rasters)
    os.utime(scene, (2**32, 2**32))
    assert not is_made(out, run, rasters)


def test_a_virtual_scene_is_as_old_as_its_sources_wherever_it_lies(scene: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        rasterio.shutil.copy(scene, folder / "v.vrt", driver="VRT")
        text = (folder / "v.vrt").read_text()
        path = re.sub(r'relativeToVRT="1">[^<]*<', f'relativeToVRT="0">{scene}<', text)
        (folder / "v.vrt").write_text(path)
    first, second = (describe(folder / "v.vrt") for folder in folders)
    assert first == second
    os.utime(scene, (1, 1))
    assert describe(folders[0] / "v.vrt")["the scene"] != first["the scene"]
    assert run_name(describe(folders[0] / "v.vrt")) == run_name(first)
    changed = (folders[0] / "v.vrt").read_text().replace("<SourceBand>1<", "<SourceBand>2<")
    (folders[0] / "v.vrt").write_text(changed)
    assert run_name(describe(folders[0] / "v.vrt")) != run_name(first)
