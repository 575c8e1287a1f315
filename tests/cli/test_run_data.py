"""Data are built from a configuration as `eoseg fit` builds them."""

from pathlib import Path

import pytest
from toy_world import write_config

from eoseg.cli.configuration import load_config
from eoseg.cli.run_data import build_data, run_config
from eoseg.datasets.datamodule import SceneData
from eoseg.errors import ConfigError


def test_the_data_of_a_configuration_are_built(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    data = build_data({**load_config(str(config)), "seed_everything": 7}, where=str(config))
    assert isinstance(data, SceneData)
    assert (data.chip_size, data.seed) == (32, 7)
    assert data.schema.class_names == ["soil", "grass", "roof"]


def test_wrong_options_are_one_line() -> None:
    with pytest.raises(ConfigError, match=r"'x.yaml' has no 'data'"):
        build_data({"model": {}}, where="x.yaml")
    with pytest.raises(ConfigError, match=r"'x.yaml': data: "):
        build_data({"data": {"class_path": "SceneData", "init_args": {"chip_size": "many"}}}, where="x.yaml")
    scenes = {"images": "*.tif", "labels": "*.tif", "classes": ["a", "b"]}
    with pytest.raises(ConfigError, match="chip_size must be at least 8 pixels; found 2"):
        build_data(
            {"data": {"class_path": "SceneData", "init_args": {"chip_size": 2, "scenes": scenes}}}, where="x"
        )


def test_a_run_folder_gives_its_configuration_with_its_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not the folder of a finished run: it has no config.yaml"):
        run_config(tmp_path)
    for name in ("model.ckpt", "split.json"):
        (tmp_path / name).touch()
    (tmp_path / "config.yaml").write_text("data: {class_path: SceneData, init_args: {split: {seed: 3}}}")
    split = run_config(tmp_path)["data"]["init_args"]["split"]
    assert split == {"seed": 3, "path": str(tmp_path / "split.json")}
    (tmp_path / "config.yaml").write_text("data: {class_path: TableData, init_args: {split: {seed: 3}}}")
    assert run_config(tmp_path)["data"]["init_args"]["split"] == {"seed": 3}
