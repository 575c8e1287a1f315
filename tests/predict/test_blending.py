"""Maps of networks with global context: blended, the same after any stop and with any number of processes."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from conftest import MakeScene
from predict_factory import (
    BANDS,
    ChipBrightness,
    Constant,
    Convolutions,
    Global,
    make_network,
    make_recipe,
    smooth_noise,
)
from torch import Tensor, nn

from eoseg.errors import ConfigError, OutputError
from eoseg.geo.mapfile import read_map_info
from eoseg.geo.tiles import TilePlan, plan_tiles
from eoseg.geo.window import Window
from eoseg.models.network import Network
from eoseg.predict import Prediction, PredictOptions, Progress, Rank, predict_scene, predict_share
from eoseg.predict.classifier import Classifier
from eoseg.recipe import Quantity

IMAGE = smooth_noise(150, 170)
OPTIONS = PredictOptions(tile=32, halo=12, probabilities=True)
OVERLAP = 12


class GlobalConstant(nn.Module):
    """Class 2 everywhere, though every pixel might matter."""

    def forward(self, image: Tensor) -> Tensor:
        return Constant()(image) + 0 * image.mean(dim=(1, 2, 3), keepdim=True)


class Estimate(nn.Module):
    """The first band against the mean of the whole image."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] - image[:, :1].mean(dim=(2, 3), keepdim=True)


def predict(
    scene: Path,
    body: nn.Module | None = None,
    name: str = "map.tif",
    options: PredictOptions = OPTIONS,
    **more: object,
) -> Prediction:
    network = make_network(body or Global())
    return predict_scene(network, make_recipe(), str(scene), scene.with_name(name), options=options, **more)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def content(scene: Path, name: str = "map.tif") -> tuple[bytes, bytes]:
    return (
        scene.with_name(name).read_bytes(),
        scene.with_name(name[:-4] + "_probabilities.tif").read_bytes(),
    )


def check_pixels(scene: Path) -> None:
    """Both files have the pixels of the map that was made in one go; tags may differ."""
    for more in (".tif", "_probabilities.tif"):
        np.testing.assert_array_equal(
            read(scene.with_name(f"map{more}")), read(scene.with_name(f"whole{more}"))
        )


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", IMAGE, names=BANDS)


def axis_weights(plan: TilePlan, place: int, along: int) -> np.ndarray:
    """How much a tile counts along an axis, 0 beyond its reach; written anew, in numpy."""
    start, stop = place * plan.core, min((place + 1) * plan.core, along)
    pixel = np.arange(along) + 0.5
    rising = 0.5 - 0.5 * np.cos(np.pi * np.clip((pixel - start + OVERLAP) / (2 * OVERLAP), 0, 1))
    falling = 0.5 + 0.5 * np.cos(np.pi * np.clip((pixel - stop + OVERLAP) / (2 * OVERLAP), 0, 1))
    return (rising if start else 1) * (falling if stop < along else np.ones(along))


def of_read(network: Network, image: np.ndarray, read: Window) -> Tensor:
    """Logits `(K, height, width)` of a part of an image."""
    part = torch.from_numpy(image[:, *read.slices_in(Window(0, 0, 1, 1))].astype(np.float32))[None]
    with torch.inference_mode():
        return network(part, torch.ones(1, *part.shape[2:], dtype=torch.bool))[0]


def reference(network: Network, image: np.ndarray, plan: TilePlan) -> np.ndarray:
    """Blended probabilities `(K, H, W)`: each read through the network, weighed and added to the whole."""
    total = np.zeros((4, plan.height, plan.width))
    for index, tile in enumerate(plan):
        rows, cols = tile.read.slices_in(Window(0, 0, 1, 1))
        chances = of_read(network, image, tile.read).softmax(0).numpy()
        row, column = divmod(index, plan.columns)
        weight = np.outer(axis_weights(plan, row, plan.height), axis_weights(plan, column, plan.width))
        total[:, rows, cols] += chances * weight[rows, cols]
    np.testing.assert_allclose(total.sum(axis=0), 1, rtol=1e-5)
    return total


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_blended_map_is_what_the_reference_gives(scene: Path, batch_size: int) -> None:
    options = PredictOptions(tile=32, halo=OVERLAP, probabilities=True, batch_size=batch_size)
    prediction = predict(scene, options=options)
    expected = reference(make_network(Global()), IMAGE, plan_tiles(150, 170, core=32, halo=OVERLAP, stride=1))
    best = np.sort(expected, axis=0)
    clear = best[-1] - best[-2] > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(read(prediction.path)[0][clear], expected.argmax(axis=0)[clear])
    assert prediction.probabilities is not None
    np.testing.assert_allclose(read(prediction.probabilities) / 250, expected, atol=0.0021)
    assert (prediction.exact, prediction.blended) == (False, 24)
    assert read_map_info(prediction.path).tags["EOSEG_BLEND"] == "Hann over 24 px"


def test_a_constant_network_gives_a_constant_map_up_to_every_border(scene: Path) -> None:
    prediction = predict(scene, GlobalConstant())
    assert prediction.blended == 24
    assert prediction.probabilities is not None
    assert (read(prediction.path) == 2).all()
    assert len(np.unique(read(prediction.probabilities)[2])) == 1


def test_without_blending_cores_are_written_as_they_are(scene: Path) -> None:
    blended = predict(scene)
    off = predict(scene, name="off.tif", options=PredictOptions(tile=32, halo=12, blend="off"))
    assert off.blended == 0
    assert "EOSEG_BLEND" not in read_map_info(off.path).tags
    network, found = make_network(Global()), read(off.path)[0]
    for tile in plan_tiles(150, 170, core=32, halo=12, stride=1):
        expected = of_read(network, IMAGE, tile.read).argmax(0).numpy()[tile.core.slices_in(tile.read)]
        np.testing.assert_array_equal(found[tile.core.slices_in(Window(0, 0, 1, 1))], expected)
    assert (read(blended.path)[0] != found).any()
    assert blended.disagreement is not None
    assert off.disagreement is not None
    assert blended.disagreement.share < off.disagreement.share


def test_a_halo_that_is_too_small_is_blended_and_one_that_suffices_is_not(scene: Path) -> None:
    small = predict(scene, Convolutions(6), options=PredictOptions(tile=32, halo=4))
    assert (small.exact, small.blended) == (False, 8)
    enough = predict(scene, Convolutions(6), "a.tif", PredictOptions(tile=32, halo=6))
    assert (enough.exact, enough.blended, enough.notices) == (True, 0, ())
    off = predict(scene, Convolutions(6), "b.tif", PredictOptions(tile=32, halo=6, blend="off"))
    assert "--blend off changes nothing here" in off.notices[0]
    assert enough.path.read_bytes() == off.path.read_bytes()


def test_without_a_halo_nothing_overlaps(scene: Path) -> None:
    alone = predict(scene, options=PredictOptions(tile=32, halo=0, blend="off"))
    assert alone.blended == 0
    assert "changes nothing here: without a halo tiles do not overlap" in alone.notices[0]
    default = predict(scene, name="b.tif", options=PredictOptions(tile=32, halo=0))
    assert (default.blended, default.notices) == (0, ())
    assert default.path.read_bytes() == alone.path.read_bytes()


def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    done: list[int] = []
    forward = Classifier._forward

    def counted(self, tiles):
        done.extend(tile.index for tile in tiles)
        return forward(self, tiles)

    monkeypatch.setattr(Classifier, "_forward", counted)
    monkeypatch.setattr("eoseg.predict.engine.measure_disagreement", lambda *arguments, **more: None)
    return done


def test_blending_computes_no_tile_twice(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = passes(monkeypatch)
    assert predict(scene).tiles == 30
    assert done == list(range(30))


def test_tiles_are_computed_where_a_valid_pixel_is_in_their_reach(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = passes(monkeypatch)
    values = IMAGE.clip(1)
    values[:, :70] = values[:, :, 90:] = 0  # valid: in cores from row 64 on and up to column 96
    prediction = predict(make_scene("s.tif", values, names=BANDS, nodata=0))
    assert done == [row * 6 + column for row in (1, 2, 3, 4) for column in (0, 1, 2, 3)]
    assert prediction.skipped == 30 - 3 * 3
    assert (read(prediction.path)[0, :70] == 255).all()
    assert (read(prediction.path)[0, 70:, :90] != 255).all()


def test_an_area_of_interest_changes_no_pixel_inside(scene: Path, tmp_path: Path) -> None:
    place = Affine(10, 0, 500_000, 0, -10, 5_400_000)
    corners = [place @ corner for corner in ((70, 20), (120, 20), (120, 61), (70, 61), (70, 20))]
    path = tmp_path / "area.geojson"
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [corners]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    whole = read(predict(scene, name="whole.tif").path)[0]
    found = read(predict(scene, options=PredictOptions(tile=32, halo=12, aoi=str(path))).path)[0]
    inside = np.zeros_like(found, bool)
    inside[20:61, 70:120] = True
    np.testing.assert_array_equal(found, np.where(inside, whole, 255))


@pytest.mark.parametrize("memory", [1, 10**9])
def test_panels_change_no_byte(scene: Path, memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = PredictOptions(tile=16, halo=8, probabilities=True)
    predict(scene, name="whole.tif", options=options)
    monkeypatch.setattr(PredictOptions, "strip_bytes", property(lambda self: memory))
    done = passes(monkeypatch)
    predict(scene, options=options)
    # 11 columns: in panels of 4, 4 and 3, with one more beside them, or two
    assert len(done) == 10 * (5 + 6 + 4 if memory == 1 else 11)
    check_pixels(scene)


def stopped_at(tiles: int):
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == tiles:
            raise KeyboardInterrupt

    return stop


def test_a_blended_run_goes_on_where_it_stopped(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict(scene, name="whole.tif")
    done = passes(monkeypatch)
    for tiles in (4, 9):
        with pytest.raises(KeyboardInterrupt):
            predict(scene, progress=stopped_at(tiles))
    prediction = predict(scene)
    assert prediction.resumed >= 9
    assert len(done) - 30 <= 2 * (2 * 6 + 4)  # a stop costs two rows of tiles and those in flight
    check_pixels(scene)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_ranks_make_the_blended_map_that_one_process_makes(scene: Path, count: int) -> None:
    predict(scene, name="whole.tif")
    made = []
    for number in np.random.default_rng(count).permutation(count):
        made.append(
            predict_share(
                make_network(Global()),
                make_recipe(),
                str(scene),
                scene.with_name("map.tif"),
                rank=Rank(int(number), count),
                options=OPTIONS,
            )
        )
    assert made[:-1] == [None] * (count - 1)
    assert content(scene) == content(scene, "whole.tif")


def test_parts_that_were_not_blended_are_never_taken(scene: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        predict(scene, progress=stopped_at(5))
    off = PredictOptions(tile=32, halo=12, probabilities=True, blend="off")
    with pytest.raises(OutputError, match="the blending of tiles was 'Hann over 24 px' and is 'none'"):
        predict(scene, options=off)


def test_a_quantity_is_blended(scene: Path) -> None:
    recipe = make_recipe(quantity=Quantity("height", "m"))
    network = make_network(Estimate(), recipe=recipe)
    jumps = {}
    for blend in ("auto", "off"):
        options = PredictOptions(tile=32, halo=12, blend=blend)
        out = scene.with_name(f"{blend}.tif")
        found = read(predict_scene(network, recipe, str(scene), out, options=options).path)[0]
        offsets = found - 5 / 58.75 * IMAGE[0].astype(
            float
        )  # what a tile's mean is taken for, in the quantity's unit
        jumps[blend] = np.abs(np.diff(offsets, axis=1)).max()
    assert jumps["off"] > 0.2
    assert jumps["auto"] < jumps["off"] / 4


def test_chips_are_never_blended(make_scene: MakeScene) -> None:
    recipe = make_recipe(chip_size=64)
    network = make_network(ChipBrightness(), recipe=recipe, kind="classification")
    path = make_scene("s.tif", IMAGE, names=BANDS)
    for options, words in (
        (PredictOptions(blend="off"), "found --blend off"),
        (PredictOptions(check_seams=3), "found --check-seams"),
    ):
        with pytest.raises(ConfigError, match=f"tiles have no seams; {words}"):
            predict_scene(network, recipe, str(path), path.with_name("map.tif"), options=options)
