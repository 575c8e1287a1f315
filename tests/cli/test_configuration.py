"""What is said of a configuration before anything heavy is imported."""

from pathlib import Path

import pytest

from eoseg.cli.configuration import check_config, choices, expand, load_config, resume, train
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
        train("fit", ["--config", write(tmp_path, old, new)])
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
        train("fit", ["--config", write(tmp_path), override])


def test_a_missing_configuration_is_named() -> None:
    with pytest.raises(ConfigError, match="no configuration file 'nowhere.yaml'"):
        train("fit", ["--config", "nowhere.yaml"])


def test_no_configuration_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="needs a configuration"):
        train("fit", ["--trainer.max_epochs=1"])


def test_broken_yaml_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("data: [1, 2")
    with pytest.raises(ConfigError, match=r"broken.yaml' is not valid YAML"):
        train("fit", ["--config", str(path)])


def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- 1")
    with pytest.raises(ConfigError, match="must hold keys such as data"):
        train("fit", ["--config", str(path)])


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it has no config.yaml, model.ckpt, split.json"):
        train("test", [str(tmp_path)])


def test_a_run_folder_stands_for_its_files(tmp_path: Path) -> None:
    for name in ("model.ckpt", "split.json"):
        (tmp_path / name).touch()
    split = [f"--data.init_args.split.path={tmp_path}/split.json"]
    for data, short in (("eoseg.datasets.datamodule.SceneData", split), ("TableData", [])):
        (tmp_path / "config.yaml").write_text(f"data: {{class_path: {data}}}")
        found = expand("test", [str(tmp_path), "--no-wandb"])
        assert found == [
            f"--config={tmp_path}/config.yaml",
            f"--ckpt_path={tmp_path}/model.ckpt",
            *("--trainer.devices=auto", "--trainer.num_nodes=1", "--trainer.strategy=auto"),
            *short,
            "--run.wandb=false",
        ]


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_run_folder_is_not_needed_where_the_files_are_named(command: str) -> None:
    arguments = ["--config=a.yaml", "--ckpt_path=b.ckpt"]
    assert expand(command, arguments) == arguments


def test_fit_takes_its_arguments_as_they_are() -> None:
    assert expand("fit", ["--config", "a.yaml", "--no-wandb"]) == ["--config", "a.yaml", "--run.wandb=false"]


@pytest.mark.parametrize("joined", [True, False])
def test_the_size_of_a_batch_has_a_short_form(joined: bool) -> None:
    def given(value: str) -> list[str]:
        return [f"--batch-size={value}"] if joined else ["--batch-size", value]

    assert expand("fit", ["-c", "a", *given("4"), "-x"]) == ["-c", "a", "--data.init_args.batch_size=4", "-x"]
    callback = "--trainer.callbacks+=eoseg.tasks.batch_size.AutoBatchSize"
    assert expand("fit", given("auto")) == [callback]
    assert expand("test", ["--config=a", *given("4")]) == ["--config=a", "--data.init_args.batch_size=4"]


@pytest.mark.parametrize(
    ("command", "value", "message"),
    [
        ("fit", "largest", r"--batch-size is a number, or auto for the largest that fits; found 'largest'"),
        ("fit", "-1", r"found '-1'"),
        ("fit", "", r"found ''"),
        ("test", "auto", r"--batch-size is a number; found 'auto'"),
    ],
)
def test_a_batch_size_that_is_none_is_refused(command: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expand(command, ["--config=a", "--batch-size", value])


def test_a_configuration_of_a_class_of_ones_own_is_left_to_the_parser() -> None:
    check_config({"model": {"class_path": "my.Task", "init_args": {"anything": 1}}}, where="x.yaml")
    with pytest.raises(ConfigError, match="In 'model': .*no class 'MyTask'"):
        check_config({"model": {"class_path": "MyTask"}}, where="x.yaml")


def test_the_classes_that_can_be_named_are_those_that_exist() -> None:
    assert set(choices("data")) == {"SceneData", "ChipFileData", "TableData", "TorchGeoData"}
    assert set(choices("model")) == {
        *("SegmentationTask", "ClassificationTask", "ChangeTask", "SeriesTask"),
        *("RegressionTask", "PretrainTask"),
    }


@pytest.mark.parametrize("spelling", [["--config={}"], ["--config", "{}"], ["-c", "{}"]])
def test_a_configuration_is_found_in_each_spelling(tmp_path: Path, spelling: list[str]) -> None:
    path = write(tmp_path, "encoder", "encodr")
    with pytest.raises(ConfigError, match="Did you mean 'encoder'"):
        train("fit", [part.format(path) for part in spelling])


def test_options_are_those_of_the_class_that_the_file_names(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "class_path: SegmentationTask\n  init_args: {encoder",
        "class_path: ChangeTask\n  init_args: {encoder",
    )
    assert load_config(path)["model"]["class_path"] == "ChangeTask"
    with pytest.raises(ConfigError, match="no option 'huber_delta'"):
        train("fit", ["--config", path, "--model.init_args.huber_delta=1"])


def test_the_link_to_the_latest_run_is_followed_so_that_records_name_the_run(tmp_path: Path) -> None:
    run = tmp_path / "20260101-120000"
    run.mkdir()
    for name in ("model.ckpt", "split.json", "config.yaml"):
        (run / name).write_text("data: {class_path: SceneData}")
    (tmp_path / "latest").symlink_to(run.name)
    arguments = expand("test", [str(tmp_path / "latest")])
    assert f"--ckpt_path={run / 'model.ckpt'}" in arguments
    assert not [argument for argument in arguments if "/latest/" in argument]


@pytest.mark.parametrize("more", [[], ["--no-wandb"]])
@pytest.mark.parametrize("spelling", ["--resume={}", "--resume {}"])
def test_a_run_to_go_on_with_is_its_configuration_and_its_folder(
    tmp_path: Path, spelling: str, more: list[str]
) -> None:
    write(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_text("")
    found = resume("fit", [*spelling.format(tmp_path).split(" "), *more])
    assert found == [f"--config={tmp_path}/config.yaml", *more, f"--run.resume={tmp_path}"]
    assert resume("fit", ["--resume", str(tmp_path), "--config=a.yaml"]) == [
        "--config=a.yaml",
        f"--run.resume={tmp_path}",
    ]


@pytest.mark.parametrize("given", [["--register", "team/maps"], ["--register=team/maps"]])
def test_a_registry_has_a_short_form(given: list[str]) -> None:
    expanded = expand("fit", ["--config=c.yaml", *given])
    assert " ".join(expanded).replace("=", " ") == "--config c.yaml --run.register team/maps"
