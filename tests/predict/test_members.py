"""Networks of an ensemble take and give the same, and are not one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from predict_factory import ChipBrightness, Convolutions, make_network, make_recipe

from eoseg.errors import CheckpointError, ConfigError
from eoseg.models import build_network
from eoseg.predict.members import Member, load_members, require_alike
from eoseg.recipe import Quantity, Recipe

HEIGHT = Quantity("height", "m")


def member(recipe: Recipe | None = None, *, seed: int = 0, name: str = "a.ckpt") -> Member:
    recipe = recipe or make_recipe()
    return Member(make_network(Convolutions(2, seed=seed), recipe=recipe), recipe, Path(name))


def test_networks_of_one_task_are_alike() -> None:
    require_alike([member()])
    require_alike([member(), member(seed=1, name="b.ckpt"), member(seed=2, name="c.ckpt")])


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        ({}, {"bands": ("B04", "B03", "B02")}, "same bands: 'a.ckpt' has B02, B03, B04, 'b.ckpt' has B04"),
        (
            {},
            {"classes": ("water", "wood", "town", "field")},
            "same classes: 'a.ckpt' has water, wood, field",
        ),
        ({}, {"multilabel": True}, "same labels per chip: 'a.ckpt' has one, 'b.ckpt' has several"),
        ({}, {"quantity": HEIGHT}, "same classes: .* 'b.ckpt' has none"),
        ({"quantity": HEIGHT}, {"quantity": Quantity("height")}, "quantity: .* height in m, .* in no unit"),
        ({"time": "series", "steps": 3}, {"time": "series", "steps": 4}, "same number of dates: .* 3, .* 4"),
    ],
)
def test_what_differs_is_named(own: dict[str, object], other: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=f"{said}.*Leave it out, or train"):
        require_alike([member(make_recipe(**own)), member(make_recipe(**other), seed=1, name="b.ckpt")])


def test_kinds_and_chips_are_told_apart() -> None:
    recipe = make_recipe(chip_size=8)
    chips, others = (
        Member(make_network(ChipBrightness(), recipe=one, kind="classification"), one, Path(f"{size}.ckpt"))
        for size, one in ((8, recipe), (16, replace(recipe, chip_size=16)))
    )
    with pytest.raises(
        ConfigError, match="same kind: 'a.ckpt' has segmentation, '8.ckpt' has classification"
    ):
        require_alike([member(recipe), chips])
    with pytest.raises(ConfigError, match="same chip size: '8.ckpt' has 8 px, '16.ckpt' has 16 px"):
        require_alike([chips, others])


def test_pixels_of_other_sizes_need_a_choice() -> None:
    members = [
        member(make_recipe(pixel_metres=size), seed=seed, name=f"{seed}.ckpt")
        for seed, size in enumerate((10.0, 20.0))
    ]
    with pytest.raises(ConfigError, match="'0.ckpt' was trained on 10 m, '1.ckpt' on 20 m. .*--pixel-size"):
        require_alike(members)
    require_alike(members, any_pixel_size=True)
    require_alike([members[0], member(make_recipe(pixel_metres=10.4), seed=1)])
    require_alike([members[0], member(seed=1)])  # a checkpoint that does not note it


def test_a_network_counts_once_whatever_its_file_is_called() -> None:
    with pytest.raises(ConfigError, match="'copy.ckpt' holds the same network as 'a.ckpt'"):
        require_alike([member(), member(seed=1, name="b.ckpt"), member(name="copy.ckpt")])
    without_file = replace(member(), checkpoint=None)
    with pytest.raises(ConfigError, match="^a network holds the same"):
        require_alike([member(), without_file])


def test_checkpoints_are_read(tmp_path: Path) -> None:
    recipe = replace(
        make_recipe(),
        network={"kind": "segmentation", "arch": "plain_unet", "args": {"width": 2, "depth": 1}},
    )
    network = build_network(
        "plain_unet", bands=recipe.schema.bands, num_classes=4, args={"width": 2, "depth": 1}
    )
    network.normalize.set_statistics(recipe.statistics)
    recipe = replace(recipe, output_stride=network.output_stride)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, tmp_path / "a.ckpt")
    (found,) = load_members([tmp_path / "a.ckpt"])
    assert found.checkpoint == tmp_path / "a.ckpt"
    assert found.recipe.schema == recipe.schema
    assert not found.network.training
    (tmp_path / "b.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="b.ckpt"):
        load_members([tmp_path / "a.ckpt", tmp_path / "b.ckpt"])
