"""Files that give what torch gives, read as other programs read them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from predict_factory import (
    Brightness,
    ChipBrightness,
    Later,
    NotANumber,
    Pooled,
    make_network,
    make_recipe,
    smooth_noise,
    whole_image,
)
from torch import Tensor, nn

from eoseg.errors import CheckpointError, ConfigError, OutputError
from eoseg.predict import onnx_file
from eoseg.predict.onnx_file import OnnxFile, export_onnx
from eoseg.predict.onnx_metadata import RECIPE_KEY
from eoseg.recipe import Quantity, Recipe, Scaling

ALONE = """
import sys
for name in ("eoseg", "torch"):
    sys.modules[name] = None
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
np.save(sys.argv[3], session.run(None, {"image": np.load(sys.argv[2])})[0])
"""


def run(path: Path, image: NDArray[np.generic]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {"image": image.astype(np.float32)})[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> OnnxFile:
    """A network of stride 2, for any size."""
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return export_onnx(make_network(Pooled(), stride=2), make_recipe(stride=2), out)


def test_a_file_takes_any_number_and_size_of_images(exported: OnnxFile) -> None:
    assert exported.input_shape == ("batch", 3, "2*rows", "2*columns")
    assert exported.output_shape == ("batch", 4, "2*rows", "2*columns")
    assert exported.parity.worst <= exported.tolerance == 1e-4
    assert exported.parity.pixels == 64 * 64 + 3 * 68 * 64
    assert run(exported.path, np.zeros((3, 3, 10, 6))).shape == (3, 4, 10, 6)


def test_a_file_is_of_the_age_that_its_readers_need(exported: OnnxFile) -> None:
    import onnx

    model = onnx.load(exported.path)
    onnx.checker.check_model(model)
    assert (model.ir_version, model.opset_import[0].version, exported.opset) == (8, 18, 18)


def test_a_file_of_a_calibrated_network_gives_calibrated_probabilities(
    exported: OnnxFile, tmp_path: Path
) -> None:
    scaling = Scaling("vector", (0.5, 1.0, 2.0, 0.7), (0.3, -0.2, 0.1, -0.2))
    recipe, network = replace(make_recipe(stride=2), scaling=scaling), make_network(Pooled(), stride=2)
    network.calibrate(scaling, 4)
    written = export_onnx(network, recipe, tmp_path / "calibrated.onnx")
    image = smooth_noise(12, 8).astype(np.float32)[None]
    network.calibrate(None, 4)
    with torch.inference_mode():
        plain = network(torch.from_numpy(image), torch.ones(1, 12, 8, dtype=torch.bool)).numpy()
    scale, bias = (np.array(held)[:, None, None] for held in (scaling.scale, scaling.bias))
    expected = torch.from_numpy(plain * scale + bias).softmax(dim=1).numpy()
    found = run(written.path, image)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - run(exported.path, image)).max() > 0.01


def test_a_file_runs_without_eoseg_and_torch_and_gives_their_probabilities(
    exported: OnnxFile, tmp_path: Path
) -> None:
    image = smooth_noise(24, 16).astype(np.float32)[None]
    image[0, 1, 3:9, 4:8] = np.nan
    np.save(tmp_path / "in.npy", image)
    names = [str(exported.path), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", ALONE, *names], check=True, timeout=120)
    valid = torch.from_numpy(~np.isnan(image).any(axis=1))
    with torch.inference_mode():
        logits = make_network(Pooled(), stride=2)(torch.from_numpy(image), valid)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), logits.softmax(dim=1), atol=1e-6)


def test_a_file_holds_its_recipe(exported: OnnxFile) -> None:
    told = onnxruntime.InferenceSession(exported.path).get_modelmeta().custom_metadata_map
    assert Recipe.from_dict(json.loads(told[RECIPE_KEY])) == make_recipe(stride=2)
    assert not exported.for_deepness


def deepness(path: Path, tile: NDArray[np.generic]) -> NDArray[np.intp]:
    """The classes that the QGIS plugin Deepness finds for a tile `(H, W, C)`, by what its code does."""
    session = onnxruntime.InferenceSession(path)
    (taken,) = session.get_inputs()
    (given,) = session.get_outputs()
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["model_type"]) == "Segmentor"
    side = json.loads(told["tile_size"])
    assert taken.shape[1:] == [tile.shape[2], side, side]
    assert len(given.shape) == 4
    assert given.shape[-3] == len(json.loads(told["class_names"]))
    mean = np.array([float(value) for value in json.loads(told["standardization_mean"])], np.float32)
    std = np.array([float(value) for value in json.loads(told["standardization_std"])], np.float32)
    batch = (np.float32(tile[None] * 1.0 / 255.0) - mean) / std
    (result,) = session.run(None, {taken.name: batch.transpose(0, 3, 1, 2)})
    result[result < json.loads(told["seg_thresh"])] = 0.0
    return result.argmax(axis=1)[0]


def test_the_qgis_plugin_finds_the_classes_of_the_map(tmp_path: Path) -> None:
    recipe = make_recipe(dtype="uint16", values=(0, 100, 9900, 10000))
    network = make_network(Brightness(), recipe=recipe)
    written = export_onnx(network, recipe, tmp_path / "model.onnx", tile=32, nodata=0)
    assert written.for_deepness
    scene = smooth_noise(32, 32).astype(np.uint16) * 39
    scene[:, :4] = 0
    known = (scene != 0).all(axis=0)
    found = deepness(written.path, scene.transpose(1, 2, 0))
    np.testing.assert_array_equal(found[known], whole_image(network, scene, known)[known])
    assert set(found[known]) == {0, 1, 2, 3}
    assert set(found[:4].ravel()) == {1}  # "no value" is the mean, between two classes; the first wins


def test_two_dates_go_in_one_image(tmp_path: Path) -> None:
    recipe = make_recipe(time="pair", steps=2)
    network = make_network(Later(), recipe=recipe)
    written = export_onnx(network, recipe, tmp_path / "change.onnx")
    assert written.input_shape == ("batch", 2, 3, "rows", "columns")
    dates = np.stack([smooth_noise(8, 8, seed=seed) for seed in (1, 2)])
    found = run(written.path, dates[None])[0].argmax(axis=0)
    with torch.inference_mode():
        logits = network(torch.from_numpy(dates)[None], torch.ones(1, 2, 8, 8, dtype=torch.bool))
    np.testing.assert_array_equal(found, logits[0].argmax(dim=0))


def test_chips_have_one_size_and_labels_their_own_probabilities(tmp_path: Path) -> None:
    recipe = make_recipe(chip_size=16, multilabel=True)
    network = make_network(ChipBrightness(), recipe=recipe, kind="classification")
    written = export_onnx(network, recipe, tmp_path / "chips.onnx")
    assert (written.input_shape, written.output_shape) == (("batch", 3, 16, 16), ("batch", 4))
    assert (written.output, written.for_deepness) == ("labels", False)
    chip = np.full((1, 3, 16, 16), 127.5)
    logits = -(np.array([-1.5, -0.5, 0.5, 1.5]) ** 2)
    np.testing.assert_allclose(run(written.path, chip)[0], 1 / (1 + np.exp(-logits)), atol=1e-5)
    with pytest.raises(ConfigError, match="chips of 16 px and no others; found --tile 32"):
        export_onnx(network, recipe, tmp_path / "other.onnx", tile=32)


def test_a_quantity_has_its_unit(tmp_path: Path) -> None:
    recipe = make_recipe(quantity=Quantity("height", "m"))
    network = make_network(nn.Conv2d(3, 1, 1), recipe=recipe)
    nn.init.ones_(network.body.weight)
    nn.init.zeros_(network.body.bias)
    written = export_onnx(network, recipe, tmp_path / "height.onnx", tile=16)
    assert (written.output, written.tolerance) == ("values", 5e-4)  # 1e-4 of the deviation, 5 m
    # one deviation above the mean in each band: 3 deviations of 5 m above 10 m
    np.testing.assert_allclose(run(written.path, np.full((1, 3, 16, 16), 127.5 + 58.75)), 25, rtol=1e-5)


class OtherWhenTraced(nn.Module):
    """What the graph holds is not what torch computes."""

    def forward(self, image: Tensor) -> Tensor:
        logits = Brightness()(image)
        return logits.flip(1) if torch.compiler.is_compiling() else logits


def test_a_graph_with_another_result_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="another result than torch: values differ by up to 0"):
        export_onnx(make_network(OtherWhenTraced()), make_recipe(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_onnxruntime_cannot_run_is_not_written(
    exported: OnnxFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    for_three_bands = onnx.load(exported.path)
    monkeypatch.setattr(onnx_file, "to_onnx", lambda *_, **__: for_three_bands)
    recipe = make_recipe(["B02", "B03"])
    with pytest.raises(CheckpointError, match="cannot run the network.*It says: .*invalid dimensions"):
        export_onnx(make_network(Brightness(), recipe=recipe), recipe, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    network, recipe = make_network(NotANumber(), stride=2), make_recipe(stride=2)
    out = tmp_path / "model.onnx"
    with pytest.raises(ConfigError, match="multiples of 2 pixels, found height 33"):
        export_onnx(network, recipe, out, tile=33)
    with pytest.raises(CheckpointError, match="no finite numbers"):
        export_onnx(network, recipe, out)
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        export_onnx(network, recipe, out)
    assert out.read_text() == "mine"


def test_an_existing_file_stays_as_it_is_where_the_new_one_cannot_be_written(
    exported: OnnxFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported.path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    import onnx

    model = onnx.load(exported.path)
    monkeypatch.setattr(onnx_file, "_trace", lambda *_: (model, exported.parity))  # tracing takes seconds
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export_onnx(make_network(Pooled(), stride=2), make_recipe(stride=2), exported.path, overwrite=True)
    assert exported.path.read_bytes() == before
    assert [path.name for path in exported.path.parent.iterdir()] == ["model.onnx"]
