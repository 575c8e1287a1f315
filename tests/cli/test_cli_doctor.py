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
    with pytest.raises(ConfigError, match=r"examines .*SceneData.*; '.*' names EuroSATDataModule"):
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


def test_the_audit_of_the_split_is_printed_and_drawn(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    main(
        "doctor", [str(config), "--picture", str(tmp_path / "split.png"), "--json", str(tmp_path / "a.json")]
    )
    told = " ".join(capsys.readouterr().out.split())
    assert "Leakage clean" in told
    assert "ground in two splits clean No two splits share any ground." in told
    assert "Map of the split:" in told
    assert (tmp_path / "split.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "a.json").read_text())["leakage"]["verdict"] == "clean"


def test_a_picture_of_another_kind_is_refused(config: Path):
    with pytest.raises(ConfigError, match=r"is written as .png; found 'split.jpg'"):
        main("doctor", [str(config), "--picture", "split.jpg"])


def overlap(config: Path) -> list[str]:
    """A second scene that lies one row of pixels over the first, in another split."""
    rng = np.random.default_rng(0)
    image = rng.integers(1, 200, (2, 128, 128)).astype(np.uint8)
    place = (500_000.0, 5_400_000.0 - 1270)
    write_scene(config.parent / "images" / "b.tif", image, names=["B1", "B2"], origin=place)
    write_scene(config.parent / "labels" / "b.tif", image[0] % 2, origin=place)
    return [str(config), "split={method: files, val: [b], test: []}"]


def test_a_split_that_leaks_exits_with_2_unless_the_configuration_allows_it(
    config: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = overlap(config)
    with pytest.raises(SystemExit) as caught:
        main("doctor", arguments)
    assert caught.value.code == 2
    told = " ".join(capsys.readouterr().out.split())
    assert "Leakage leaking" in told
    assert "train and val share 12,800 m2 of ground in 1 place" in told
    config.write_text(config.read_text() + "allow_leakage: true\n")
    main("doctor", arguments)
    assert "warning train and val share" in " ".join(capsys.readouterr().out.split())


def test_of_chips_the_split_is_examined(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(0)
    for number in range(20):
        image = rng.integers(0, 255, (3, 16, 16)).astype(np.uint8)
        path = tmp_path / ("dry", "wet")[number % 2] / f"{number:02d}.png"
        write_scene(path, image, driver="PNG", crs=None)
    chips = {"root": str(tmp_path), "images": "*/*.png", "classes": ["dry", "wet"]}
    path = tmp_path / "chips.yaml"
    split = {"method": "files", "val": ["*/1[0-4].png"], "test": ["*/1[5-9].png"]}
    data = {"class_path": "ChipFileData", "init_args": {"chips": chips, "split": split}}
    path.write_text(yaml.safe_dump({"data": data}))
    main("doctor", [str(path)])
    assert "Leakage clean" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "wet" / "19.png").write_bytes((tmp_path / "dry" / "04.png").read_bytes())
    with pytest.raises(SystemExit):
        main("doctor", [str(path)])
    assert "1 pair of chips show one picture" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(ConfigError, match="Nobody knows where the data lie"):
        main("doctor", [str(path), "--picture", str(tmp_path / "no.png"), "split.test=[]"])
