import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import write_scene

from eoseg.cli.doctor import main
from eoseg.errors import ConfigError, DataError, OutputError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of one scene of 128 x 128 px with stripes of two classes."""
    rows, cols = np.indices((128, 128))
    write_scene(
        tmp_path / "images" / "a.tif", np.stack([rows, cols]).astype(np.uint8) + 1, names=["B1", "B2"]
    )
    write_scene(tmp_path / "labels" / "a.tif", ((rows + cols) // 5 % 2).astype(np.uint8))
    scenes = {
        "root": str(tmp_path),
        "images": "images/*.tif",
        "labels": "labels/*.tif",
        "classes": ["dry", "wet"],
    }
    data = {"class_path": "SceneData", "init_args": {"scenes": scenes, "chip_size": 16}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"data": data, "trainer": {"max_epochs": 1}}))
    return path


def test_the_facts_are_printed(config: Path, capsys: pytest.CaptureFixture[str]):
    main("doctor", [str(config)])
    told = capsys.readouterr().out
    for words in (
        "Scenes  1, 2 bands of uint8",
        "EPSG:32632",
        "8 bit, 0-255",
        "dry",
        "blocks (block_size",
        "No problem found",
    ):
        assert words in told


def test_changes_on_the_command_line_have_their_effect(config: Path, capsys: pytest.CaptureFixture[str]):
    main("doctor", [str(config), "split.val=0.3", "data.init_args.scenes.bands=[B2]", "chip_size=32"])
    told = capsys.readouterr().out
    assert "val 0.3" in told
    assert "1 bands of uint8" in told


def test_everything_is_written_as_json(config: Path, tmp_path: Path):
    main("doctor", [str(config), "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["classes"] == ["dry", "wet"]
    assert len(found["split_sha256"]) == 64


def test_an_unwritable_json_file_is_one_line(config: Path, tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        main("doctor", [str(config), "--json", str(tmp_path / "no" / "found.json")])


def test_errors_in_the_data_exit_with_2_after_the_facts(config: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main("doctor", [str(config), "scenes.classes={dry: 0, wet: 7}"])
    assert caught.value.code == 2
    told = capsys.readouterr().out
    assert "8 bit, 0-255" in told
    assert "label value 1" in " ".join(told.split())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["scenes.image=x"], "There is no option 'image'. Did you mean 'images'"),
        (["chip=64"], "There is no option 'chip'. Did you mean 'chip_size'"),
        (["chip_size=abc"], "Expected a <class 'int'>"),
        (["split.method=block"], "split"),
        (["chip_size"], "is written KEY=VALUE, such as chip_size=64; found 'chip_size'"),
        (["chip_size={"], "'{' is not valid YAML"),
        (["chip_size=null"], "chip_size"),
    ],
)
def test_a_wrong_option_is_one_line(config: Path, changes: list[str], message: str):
    with pytest.raises(ConfigError) as caught:
        main("doctor", [str(config), *changes])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_configurations_that_it_cannot_examine_are_refused(tmp_path: Path, config: Path):
    with pytest.raises(ConfigError, match="There is no configuration file"):
        main("doctor", [str(tmp_path / "no.yaml")])
    path = tmp_path / "other.yaml"
    path.write_text("trainer: {max_epochs: 1}")
    with pytest.raises(ConfigError, match=r"has no data.init_args"):
        main("doctor", [str(path)])
    path.write_text("data: {class_path: torchgeo.datamodules.EuroSATDataModule, init_args: {}}")
    with pytest.raises(ConfigError, match=r"examines SceneData; '.*' names EuroSATDataModule"):
        main("doctor", [str(path)])
    path.write_text("data: {class_path: SceneData, init_args: {chip_size: 16}}")
    with pytest.raises(ConfigError, match=r"data.init_args has no 'scenes'"):
        main("doctor", [str(path)])


def test_an_empty_folder_is_one_line(config: Path):
    for image in (config.parent / "images").iterdir():
        image.unlink()
    with pytest.raises(DataError, match=r"nothing matches .*exists, but it is empty"):
        main("doctor", [str(config)])


def test_it_imports_neither_torch_nor_lightning(config: Path):
    script = (
        "import sys; from eoseg.cli.doctor import main; main('doctor', sys.argv[1:]); "
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(config)], check=True, capture_output=True)


@pytest.mark.real
@pytest.mark.parametrize("name", ["dubai", "aberystwyth", "rachel_carson"])
def test_the_shipped_configurations_of_real_data_have_no_error(
    name: str, real_data: Path, capsys: pytest.CaptureFixture[str]
):
    config = Path(__file__).parents[2] / "configs" / f"{name}.yaml"
    root = yaml.safe_load(config.read_text())["data"]["init_args"]["scenes"]["root"]
    main("doctor", [str(config), f"scenes.root={real_data / Path(root).name}"])
    assert "Split" in capsys.readouterr().out


def test_scenes_without_labels_are_told_as_such(config: Path, capsys: pytest.CaptureFixture[str]):
    main("doctor", [str(config), "scenes.labels=null", "scenes.classes=null"])
    told = capsys.readouterr().out
    assert "Labels  none: every valid pixel takes part" in told
    assert "labelled" not in told
    assert "Classes" not in told
    assert "No problem found" in told
