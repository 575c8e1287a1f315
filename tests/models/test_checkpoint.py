import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from network_factory import BANDS, make_image, make_network, make_recipe

from eoseg.errors import CheckpointError, OutputError
from eoseg.models import Network
from eoseg.models.checkpoint import export_checkpoint, load_network, read_checkpoint

CONFIG = {"kind": "segmentation", "arch": "unet", "args": {"channels": 4, "depth": 3}}


@pytest.fixture(scope="module")
def network() -> Network:
    return make_network("unet", BANDS[3], args=CONFIG["args"]).eval()


def checkpoint_of(network: Network, **changes: object) -> dict[str, object]:
    """What Lightning saves of a task, in small."""
    return {
        "pytorch-lightning_version": "2.6.0",
        "epoch": 3,
        "global_step": 40,
        "optimizer_states": [{"state": {0: torch.zeros(100_000)}}],
        "state_dict": {f"network.{key}": value for key, value in network.state_dict().items()},
        "eoseg": make_recipe(CONFIG, output_stride=8).to_dict(),
        **changes,
    }


@pytest.fixture
def save(tmp_path: Path, network: Network):
    def write(**changes: object) -> Path:
        path = tmp_path / "some.ckpt"
        torch.save(checkpoint_of(network, **changes), path)
        return path

    return write


def test_a_checkpoint_alone_rebuilds_the_network(save, network):
    loaded, recipe = load_network(save())
    assert recipe == make_recipe(CONFIG, output_stride=8)
    assert not loaded.training
    assert loaded.output_stride == 8
    image, valid = make_image(3, 32, 40)
    with torch.inference_mode():
        assert torch.equal(loaded(image, valid), network(image, valid))


def test_weights_of_other_modules_are_left_out(save, network):
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    _, read = read_checkpoint(save(state_dict={**state, "loss.weights": torch.ones(3)}))
    assert read.keys() == network.state_dict().keys()


def test_the_file_may_go_once_it_is_read(save, network):
    path = save()
    loaded, _ = load_network(path)
    path.write_bytes(b"")  # what is still mapped would now be gone
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


class Malicious:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("bare", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path, network, bare):
    marker, path = tmp_path / "executed", tmp_path / "evil.ckpt"
    if bare:
        path.write_bytes(pickle.dumps(Malicious(marker)))
    else:
        torch.save(checkpoint_of(network, callbacks=Malicious(marker)), path)
    with pytest.raises(CheckpointError, match=r"is not a checkpoint") as error:
        load_network(path)
    assert not marker.exists()
    assert "\n" not in str(error.value)
    if not bare:  # the same file is dangerous to who loads it without care
        torch.load(path, weights_only=False)
        assert marker.exists()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none.ckpt does not exist. Give the path of a .ckpt file"):
        load_network(tmp_path / "none.ckpt")
    with pytest.raises(CheckpointError, match=r"is a folder"):
        load_network(tmp_path)


def text(path: Path) -> None:
    path.write_text("not a checkpoint at all")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")


def cut_off(path: Path) -> None:
    torch.save({"state_dict": {"x": torch.zeros(10_000)}}, path)
    path.write_bytes(path.read_bytes()[:5000])


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": {}}))


def a_tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


@pytest.mark.parametrize("write", [text, empty, archive, cut_off, plain_pickle, a_tensor])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, write):
    path = tmp_path / "x.ckpt"
    write(path)
    with pytest.raises(CheckpointError, match=r"x\.ckpt") as error:
        load_network(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))


def test_a_checkpoint_of_another_program_is_refused(save):
    with pytest.raises(CheckpointError, match=r"not one of eoseg: it holds no recipe"):
        load_network(save(eoseg=None))


def test_a_recipe_of_another_version_is_refused_with_the_path(save):
    recipe = {**make_recipe(CONFIG).to_dict(), "recipe_version": 99}
    with pytest.raises(CheckpointError, match=r"some\.ckpt: .*version 99"):
        load_network(save(eoseg=recipe))


def test_an_incomplete_recipe_is_refused(save):
    recipe = make_recipe(CONFIG).to_dict()
    del recipe["schema"]
    with pytest.raises(CheckpointError, match=r"recipe is incomplete"):
        load_network(save(eoseg=recipe))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"arch": "unet"}, "does not say which network it is for"),
        ({**CONFIG, "arch": "unet9"}, "cannot be built here: There is no model for segmentation 'unet9'"),
        ({**CONFIG, "args": {"level": 1}}, "cannot be built here: There is no option"),
        (
            {**CONFIG, "args": {"channels": 8, "depth": 3}},
            "do not fit its network .*of another shape, such as body.decoder",
        ),
        ({**CONFIG, "args": {}}, "do not fit its network .*missing, such as body.decoder"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(save, config, message):
    with pytest.raises(CheckpointError, match=message) as error:
        load_network(save(eoseg=make_recipe(config).to_dict()))
    assert "\n" not in str(error.value)


def test_another_output_stride_is_refused(save):
    with pytest.raises(CheckpointError, match=r"says output stride 16, its network has 8"):
        load_network(save(eoseg=make_recipe(CONFIG, output_stride=16).to_dict()))


def test_a_recipe_without_weights_is_refused(save):
    with pytest.raises(CheckpointError, match=r"no weights of a network"):
        read_checkpoint(save(state_dict={"other": torch.zeros(1)}))


def test_an_export_holds_network_and_recipe_and_nothing_else(save, tmp_path, network):
    source, target = save(), tmp_path / "model.ckpt"
    assert export_checkpoint(source, target) == target
    values = torch.load(target, weights_only=True)
    assert values.keys() == {"pytorch-lightning_version", "epoch", "global_step", "eoseg", "state_dict"}
    assert target.stat().st_size < source.stat().st_size - 300_000
    loaded, recipe = load_network(target)
    assert recipe == load_network(source)[1]
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_an_export_to_an_impossible_place_leaves_nothing(save, tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written"):
        export_checkpoint(save(), tmp_path / "no" / "folder" / "model.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["some.ckpt"]


def test_an_export_that_fails_keeps_the_old_file(save, tmp_path, monkeypatch):
    target = tmp_path / "model.ckpt"
    target.write_text("old")

    def full(values: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    source = save()
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"No space left on device"):
        export_checkpoint(source, target)
    assert target.read_text() == "old"
    assert not list(tmp_path.glob("*.part"))
