import logging
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torchgeo import datamodules, datasets
from torchgeo_factory import eurosat, levircd, loveda, oscd, pastis

from eoseg.datasets.torchgeo_build import build, set_up
from eoseg.datasets.torchgeo_sources import ImageSource
from eoseg.errors import ConfigError, DataError


def test_an_unknown_datamodule_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'EuroSATDataModule'"):
        build("EurosatDataModule", {}, None)
    with pytest.raises(ConfigError, match="no datamodule of torchgeo 'GeoDataModule'"):
        build("GeoDataModule", {}, None)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"batch_size": 4}, r"args\.batch_size has no effect here: set data\.init_args\.batch_size"),
        ({"patch_size": 4}, r"args\.patch_size has no effect here: set data\.init_args\.chip_size"),
        ({"length": 4}, r"args\.length has no effect here: set data\.init_args\.chips_per_epoch"),
        ({"transforms": None}, r"args\.transforms has no effect here"),
        ({"split": "train"}, r"args\.split has no effect here"),
        ({"downlaod": True}, r"no argument of EuroSATDataModule 'downlaod'. Did you mean 'download'"),
        ({"bands": ["B99"]}, "EuroSATDataModule refuses its arguments"),
    ],
)
def test_arguments_without_effect_are_refused(args: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        build("EuroSATDataModule", args, None)
    assert "\n" not in str(caught.value)


def test_text_of_the_command_line_gets_the_type_of_the_argument():
    module = build("LEVIRCDPlusDataModule", {"download": "false", "val_split_pct": "0.5", "root": "7"}, None)
    assert module.kwargs == {"download": False, "root": "7"}
    assert module.val_split_pct == 0.5
    with pytest.raises(ConfigError, match=r"args\.download is of type bool, such as False; found 'perhaps'"):
        build("LEVIRCDPlusDataModule", {"download": "perhaps"}, None)


@pytest.mark.parametrize(
    ("name", "args", "folds", "message"),
    [
        ("EuroSATDataModule", {}, {"train": [1]}, "has no folds"),
        ("PASTISDataModule", {"folds": [1]}, None, r"args\.folds has no effect here: the official folds"),
        ("PASTISDataModule", {"val_split_pct": 0.1}, None, r"args\.val_split_pct has no effect"),
        ("PASTISDataModule", {"padding_length": 61}, None, r"args\.padding_length has no effect"),
        ("PASTISDataModule", {}, {"train": [1, 6]}, "names the folds 1 to 5"),
        ("PASTISDataModule", {}, {"train": [1, 2], "val": [2]}, "each at most once"),
        ("PASTISDataModule", {}, {"training": [1]}, "for train, val and test"),
    ],
)
def test_folds_are_checked(name: str, args: dict[str, Any], folds: dict[str, list[int]] | None, message: str):
    with pytest.raises(ConfigError, match=message):
        build(name, args, folds)


def test_pastis_is_divided_by_its_official_folds(tmp_path: Path):
    # torchgeo 0.10.1 divides the patches at random.
    pastis(tmp_path)
    module = build("PASTISDataModule", {"root": str(tmp_path)}, None)
    numbers = {
        split: [int(name[-5]) for name in source.names] for split, source in set_up(module, None).items()
    }
    assert numbers == {"train": [0, 1, 2, 5], "val": [3], "test": [4]}
    turned = set_up(module, {"train": [4, 5], "val": [1]})
    assert [name[-5] for name in turned["train"].names] == ["3", "4"]
    assert set(turned) == {"train", "val"}


def test_crops_at_random_are_taken_out(tmp_path: Path):
    # torchgeo crops OSCD at random in all splits, test included.
    oscd(tmp_path)
    module = build("OSCDDataModule", {"root": str(tmp_path)}, None)
    module.setup("test")
    assert module.test_dataset.transforms is not None
    sources = set_up(module, None)
    assert {split: len(source) for split, source in sources.items()} == {"train": 4, "val": 1, "test": 2}
    for source in sources.values():
        assert isinstance(source, ImageSource)
        assert source.dataset.transforms is None
        assert source.sample(0)["image"].shape[-1] == 180


def test_a_random_split_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    oscd(tmp_path)
    found = []
    load = datasets.OSCD._load_files
    for step in (1, -1):
        monkeypatch.setattr(datasets.OSCD, "_load_files", lambda self, step=step: load(self)[::step])
        found.append(set_up(build("OSCDDataModule", {"root": str(tmp_path)}, None), None)["train"].names)
    assert found[0] == found[1]


def test_data_without_test_labels_have_no_test_split(tmp_path: Path):
    loveda(tmp_path)
    assert set(set_up(build("LoveDADataModule", {"root": str(tmp_path)}, None), None)) == {"train", "val"}


def test_missing_data_are_told_in_one_line(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"EuroSATDataModule does not find its data: Dataset not found in"
    ) as caught:
        set_up(build("EuroSATDataModule", {"root": str(tmp_path)}, None), None)
    assert "\n" not in str(caught.value)


def test_a_folder_without_training_images_is_told(tmp_path: Path):
    for name in ("A", "B", "label"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"LEVIRCDDataModule finds no training image in '"):
        set_up(build("LEVIRCDDataModule", {"root": str(tmp_path)}, None), None)


def test_data_are_downloaded_where_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server, root = tmp_path / "server", tmp_path / "data" / "eurosat"
    server.mkdir()
    eurosat(server)
    with zipfile.ZipFile(server / "EuroSATallBands.zip", "w") as archive:
        for file in sorted(server.rglob("*.tif")):
            archive.write(file, file.relative_to(server))
    monkeypatch.setattr(datasets.EuroSAT, "url", server.as_uri() + "/")
    args = {"root": str(root), "download": True, "checksum": False}
    sources = set_up(build("EuroSATDataModule", args, None), None)
    assert {split: len(source) for split, source in sources.items()} == dict.fromkeys(
        ("train", "val", "test"), 10
    )
    assert (root / "eurosat-train.txt").is_file()
    checked = build("EuroSATDataModule", {"root": str(tmp_path / "checked"), "download": True}, None)
    with pytest.raises(DataError, match="EuroSATDataModule does not find its data: .* is corrupted"):
        set_up(checked, None)


def test_what_torchgeo_prints_does_not_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    levircd(tmp_path)
    set_up(build("LEVIRCDDataModule", {"root": str(tmp_path), "download": True}, None), None)
    assert capsys.readouterr().out == ""


def module_of(**splits: Any) -> SimpleNamespace:
    """A datamodule whose splits are there."""
    held = {f"{split}_dataset": dataset for split, dataset in splits.items()}
    return SimpleNamespace(kwargs={}, dataset_class=datasets.EuroSAT, setup=lambda stage: None, **held)


class Listed:
    def __init__(self, files: list[str], classes: list[str] | None = None) -> None:
        self.files = files
        self.classes = classes

    def __len__(self) -> int:
        return len(self.files)


def test_splits_number_their_classes_alike():
    module = module_of(train=Listed(["a"], ["forest", "lake"]), val=Listed(["b"], ["lake"]))
    with pytest.raises(
        DataError, match="The val images have the classes lake, the training images forest, lake"
    ):
        set_up(module, None)


def test_an_image_in_two_splits_is_told(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        set_up(module_of(train=Listed(["a", "b"]), val=Listed(["b", "c"])), None)
    assert "1 images are in more than one split, such as 'b'" in caplog.text
    caplog.clear()
    set_up(module_of(train=Listed(["a"]), val=Listed(["b"])), None)
    assert not caplog.text


def test_every_datamodule_of_torchgeo_is_found_by_its_name():
    names = [name for name in datamodules.__all__ if name not in ("MisconfigurationException",)]
    assert len(names) > 50
    assert type(build("L7IrishDataModule", {"paths": "x"}, None)).__name__ == "L7IrishDataModule"
