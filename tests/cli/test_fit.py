"""What `eoseg fit` says before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from eoseg.cli.fit import expand, main
from eoseg.errors import ConfigError

CONFIG = """
data:
  class_path: SceneData
  init_args:
    scenes: {images: "a/*.tif", labels: "b/*.tif", classes: [water, forest]}
    chip_size: 64
model:
  class_path: SegmentationTask
  init_args: {encoder: resnet18}
trainer: {max_epochs: 1}
"""


def write(tmp_path: Path, old: str = "", new: str = "") -> str:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace(old, new) if old else CONFIG)
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("chip_size", "chip_sise", r"'data.init_args'.*no option 'chip_sise'. Did you mean 'chip_size'"),
        ("images", "imags", r"'data.init_args.scenes': There is no option 'imags'. Did you mean 'images'"),
        ("encoder", "encodr", "Did you mean 'encoder'"),
        ("max_epochs", "max_epoch", r"'trainer': There is no option 'max_epoch'. Did you mean 'max_epochs'"),
        ("model:", "modl:", "There is no option 'modl'. Did you mean 'model'"),
        ("SegmentationTask", "SegmentatonTask", "Did you mean 'SegmentationTask'"),
        ("init_args: {enc", "init_arg: {enc", "Did you mean 'init_args'"),
    ],
)
def test_a_mistyped_key_in_the_yaml_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        main("fit", ["--config", write(tmp_path, old, new)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--trainer.max_epoch=3", "Did you mean 'max_epochs'"),
        ("--model.init_args.ach=unet", "Did you mean 'arch'"),
        ("--model.init_args.optimizer.lrr=1", "Did you mean 'lr'"),
        ("--data.init_args.scenes.imags=x", "Did you mean 'images'"),
        ("--run.wandbb=false", "Did you mean 'wandb'"),
        ("--modell=x", "Did you mean '--model'"),
    ],
)
def test_a_mistyped_override_is_one_line(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        main("fit", ["--config", write(tmp_path), override])


def test_a_missing_configuration_is_named() -> None:
    with pytest.raises(ConfigError, match="no configuration file 'nowhere.yaml'"):
        main("fit", ["--config", "nowhere.yaml"])


def test_no_configuration_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="needs a configuration"):
        main("fit", ["--trainer.max_epochs=1"])


def test_broken_yaml_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("data: [1, 2")
    with pytest.raises(ConfigError, match=r"broken.yaml' is not valid YAML"):
        main("fit", ["--config", str(path)])


def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- 1")
    with pytest.raises(ConfigError, match="must hold keys such as data"):
        main("fit", ["--config", str(path)])


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it has no config.yaml, model.ckpt, split.json"):
        main("test", [str(tmp_path)])


def test_a_run_folder_stands_for_its_files(tmp_path: Path) -> None:
    for name in ("config.yaml", "model.ckpt", "split.json"):
        (tmp_path / name).touch()
    found = expand("test", [str(tmp_path), "--no-wandb"])
    assert found == [
        f"--config={tmp_path}/config.yaml",
        f"--ckpt_path={tmp_path}/model.ckpt",
        f"--data.init_args.split.path={tmp_path}/split.json",
        "--run.wandb=false",
    ]


def test_help_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; from eoseg.cli import main\n"
        "try: main(['fit', '--help'])\n"
        "finally: assert not {'torch', 'lightning', 'rasterio'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for option in ("chip_size", "encoder", "max_epochs", "label_encoding", "wandb"):
        assert option in done.stdout
