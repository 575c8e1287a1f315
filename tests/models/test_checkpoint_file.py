"""The file of a checkpoint, without any network. What else can be wrong with one: test_checkpoint.py."""

from pathlib import Path

import pytest
import torch
from network_factory import make_recipe

from eoseg.errors import CheckpointError
from eoseg.models.checkpoint_file import read_checkpoint


def save(path: Path, **changes: object) -> Path:
    values = {
        "eoseg": make_recipe({"kind": "segmentation", "arch": "none here", "args": {}}).to_dict(),
        "state_dict": {"network.body.x": torch.arange(3.0), "loss.weights": torch.ones(2)},
    }
    torch.save({**values, **changes}, path)
    return path


def test_recipe_and_network_are_read_though_the_network_cannot_be_built(tmp_path):
    recipe, state = read_checkpoint(save(tmp_path / "a.ckpt"))
    assert recipe.schema.bands == ("red", "green", "blue")
    assert list(state) == ["body.x"]
    assert torch.equal(state["body.x"], torch.arange(3.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eoseg": None}, r"a checkpoint, but not one of eoseg"),
        ({"eoseg": {"version": 0}}, r"a.ckpt: "),
        ({"state_dict": {"loss.weights": torch.ones(2)}}, r"holds a recipe but no weights of a network"),
    ],
)
def test_what_is_missing_is_said(tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(save(tmp_path / "a.ckpt", **changes))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"b.ckpt does not exist. Give the path of a .ckpt file"):
        read_checkpoint(tmp_path / "b.ckpt")
