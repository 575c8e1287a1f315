import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torchgeo.samplers import RandomPatchSampler
from torchgeo_factory import (
    EUROSAT_CLASSES,
    bigearthnet,
    deepglobe,
    eurosat,
    l8biome,
    levircd,
    loveda,
    oscd,
    pastis,
    striped,
    vaihingen,
)

from eoseg.batch import IGNORE, Batch
from eoseg.datasets import torchgeo_build
from eoseg.datasets.config import AugmentConfig
from eoseg.datasets.torchgeo import TorchGeoData
from eoseg.errors import BandError, ConfigError, DataError
from eoseg.recipe import Schema


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with several data sets, which do not meet."""
    path = tmp_path_factory.mktemp("data")
    for write in (eurosat, deepglobe, vaihingen, levircd, pastis, oscd):
        (path / write.__name__).mkdir()
        write(path / write.__name__)
    return path


def data_of(folder: Path, name: str, **options: Any) -> TorchGeoData:
    modules = {
        "eurosat": "EuroSATDataModule",
        "deepglobe": "DeepGlobeLandCoverDataModule",
        "vaihingen": "Vaihingen2DDataModule",
        "levircd": "LEVIRCDDataModule",
        "oscd": "OSCDDataModule",
        "pastis": "PASTISDataModule",
    }
    args = {"root": str(folder / name), **options.pop("args", {})}
    return TorchGeoData(modules[name], args=args, **{"batch_size": 2, **options})


def clouds_of(folder: Path, **options: Any) -> TorchGeoData:
    return TorchGeoData("L8BiomeDataModule", args={"paths": str(folder)}, **{"batch_size": 2, **options})


class FakeTrainer:
    def __init__(self, rank: int = 0, world_size: int = 1, training: bool = True) -> None:
        self.current_epoch = 0
        self.global_rank = rank
        self.world_size = world_size
        self.training = training
        self.fit_loop = MagicMock(**{"epoch_loop.batch_progress.current.ready": 0})


def test_classes_are_those_of_the_folders(folder: Path):
    data = data_of(folder, "eurosat")
    assert data.schema.class_names == list(EUROSAT_CLASSES)
    assert data.chip_size == 64
    assert not data.schema.multilabel
    assert data.schema.bands_named_by_config
    for batch in data.val_dataloader():
        assert isinstance(batch, dict)
        for name, label in zip(batch["id"], batch["label"].tolist(), strict=True):
            assert name.split("/")[-2] == EUROSAT_CLASSES[label]


def test_bands_are_chosen_by_name(folder: Path):
    data = data_of(folder, "eurosat", bands=["B8A", "B04"])
    assert data.schema.bands == ("B8A", "B04")
    assert data.schema.file_bands[-1] == "B8A"
    batch = data.panel_chips("val", 1)
    assert batch["image"][0, :, 0, 0].tolist() == [1000 + 1200, 1000 + 300]
    assert [band.name for band in data.statistics.bands] == ["B8A", "B04"]
    narrow = data_of(folder, "eurosat", args={"bands": ["B04", "B03"]}, bands=["B03"])
    assert narrow.panel_chips("val", 1)["image"][0, :, 0, 0].tolist() == [1200]
    with pytest.raises(BandError, match="'B99' is needed"):
        _ = data_of(folder, "eurosat", bands=["B99"]).statistics


def test_classes_can_be_put_together_and_left_out(folder: Path):
    classes = {"water": {"value": ["River", "SeaLake"], "color": "#0000FF"}, "forest": {"value": "Forest"}}
    data = data_of(folder, "eurosat", classes=classes, ignore=[0, 2, 3, 4, 5, 6, 7])
    assert data.schema.class_names == ["water", "forest"]
    assert data.schema.classes[0].color == (0, 0, 255)
    assert data.statistics.class_pixels == (2, 1)
    labels = torch.cat([batch["label"] for batch in data.val_dataloader()]).tolist()
    assert sorted(labels) == [0, 0, 1, *[IGNORE] * 7]
    with pytest.raises(DataError, match="has the label value 0, which stands for no class"):
        _ = data_of(folder, "eurosat", classes=classes).statistics


def test_unknown_is_no_class_unless_it_is_named(folder: Path):
    data = data_of(folder, "deepglobe", chip_size=512)
    assert data.schema.class_names[-1] == "Barren land"
    batch = data.panel_chips("val", 1)
    truth = striped(530, 512, range(7))[9:521]  # the middle of the image
    truth[truth == 6] = IGNORE
    assert torch.equal(batch["mask"][0], torch.from_numpy(truth).long())
    classes: dict[str, Any] = {"known": [0, 1, 2, 3, 4, 5], "unknown": 6}
    named = data_of(folder, "deepglobe", chip_size=512, classes=classes)
    assert set(named.panel_chips("val", 1)["mask"].unique().tolist()) == {0, 1}


def test_a_class_can_be_ignored(folder: Path):
    data = data_of(folder, "vaihingen", chip_size=64, ignore=[0])
    assert data.schema.class_names[0] == "Impervious surfaces"
    assert len(data.schema.classes) == 5
    found = set(data.panel_chips("val", 1)["mask"].unique().tolist())
    assert found == {*range(5), IGNORE}


def test_several_labels(tmp_path: Path):
    bigearthnet(tmp_path)
    data = TorchGeoData("BigEarthNetDataModule", args={"root": str(tmp_path), "bands": "s2"})
    assert data.schema.multilabel
    batch = next(iter(data.val_dataloader()))
    assert isinstance(batch, dict)
    names = [{data.schema.class_names[n] for n in row.nonzero().flatten()} for row in batch["label"]]
    # Burnt areas are none of the 19 classes; airports are neither.
    assert names == [{"Coniferous forest"}, {"Inland wetlands"}]
    by_class = dict(zip(data.schema.class_names, data.statistics.class_pixels, strict=True))
    assert (by_class["Pastures"], by_class["Marine waters"], by_class["Coniferous forest"]) == (1, 1, 1)


def test_no_data_of_loveda_has_no_label(tmp_path: Path):
    loveda(tmp_path)
    data = TorchGeoData("LoveDADataModule", args={"root": str(tmp_path)}, chip_size=512, batch_size=1)
    truth = torch.from_numpy(striped(1024, 1024, range(8))).long()
    expected = torch.where(truth == 0, IGNORE, truth - 1)
    whole = torch.cat([batch["mask"] for batch in data.val_dataloader()])[:4]  # the first image's tiles
    assert torch.equal(whole[0], expected[:512, :512])
    assert torch.equal(whole[3], expected[512:, 512:])
    assert data.has("val")
    assert not data.has("test")
    with pytest.raises(DataError, match="LoveDADataModule has no labelled test split; it has train, val"):
        data.test_dataloader()


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_evaluate_each_pixel_once(folder: Path, world_size: int):
    seen: list[str] = []
    counted = 0
    for rank in range(world_size):
        data = data_of(folder, "vaihingen", chip_size=256, folds=None)
        source = data.sources["train"]
        data.sources["val"] = source  # four images; the real validation split has one
        data.trainer = FakeTrainer(rank, world_size)  # type: ignore[assignment]
        for batch in data.val_dataloader():
            assert isinstance(batch, dict)
            seen += batch["id"]
            counted += int((batch["mask"] != IGNORE).sum())
    assert len(seen) == len(set(seen))
    assert counted == sum(height * width for height, width in map(source.size, range(len(source))))


def test_borders_are_left_out_of_the_evaluation_where_asked_for(folder: Path):
    held = {}
    for border in ("isprs-full", "isprs-eroded"):
        data = data_of(folder, "vaihingen", chip_size=256, border=border)
        batches = list(data.val_dataloader())
        known = sum(int((batch["mask"] != IGNORE).sum()) for batch in batches)
        eroded = sum(int(batch["eroded"].sum()) if "eroded" in batch else 0 for batch in batches)
        held[border] = known, eroded, sum(int(batch["counted"].sum()) for batch in batches)
    full, less = held["isprs-full"], held["isprs-eroded"]
    assert full[0] == full[2] == less[2]
    assert full[1] == 0 < less[1] == full[0] - less[0]


def test_chips_of_one_label_have_no_borders(folder: Path):
    data = data_of(folder, "eurosat", border="isprs-eroded")
    with pytest.raises(ConfigError, match="each chip has one label as a whole"):
        data.val_dataloader()


def test_files_and_members_are_named(folder: Path):
    data = data_of(folder, "eurosat")
    assert all(Path(path).is_file() for path in data.files())
    held = [set(data.members(split)) for split in ("train", "val", "test")]
    assert all(held)
    assert not held[1] & held[2]
    assert data.members("none") == []


def test_pairs_have_the_earlier_date_first(folder: Path):
    data = data_of(folder, "oscd", chip_size=96, bands=["B04"])
    batch = data.panel_chips("test", 1)
    assert data.schema.time == "pair"
    assert data.schema.class_names == ["unchanged", "changed"]
    assert batch["image"].shape == (1, 2, 1, 96, 96)
    before, after = batch["image"][0, :, 0, 0, 0].tolist()
    assert after - before == 10  # the factory's two dates


def test_evaluation_of_oscd_does_not_crop_at_random(folder: Path):
    first, second = (
        [batch["image"] for batch in data_of(folder, "oscd", chip_size=96).test_dataloader()]
        for _ in range(2)
    )
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert sum(len(batch) for batch in first) == 8  # 2 x 2 tiles of either city


def test_series_have_days_and_official_folds(folder: Path):
    data = data_of(folder, "pastis")
    assert (data.schema.time, data.schema.steps, data.chip_size) == ("series", 7, 128)
    assert len(data.schema.classes) == 19
    assert data.schema.class_names[0] == "background"
    batch = data.panel_chips("test", 1)
    assert batch["id"] == ["PASTIS-R/DATA_S2/S2_10004.npy"]
    assert batch["image"].shape == (1, 7, 10, 128, 128)
    assert batch["image"][0, 0, 0, 0, 0] == 1004  # raw, not divided by 255
    assert batch["valid"].all(dim=(2, 3)).sum() == 5 + 10_004 % 3
    assert batch["days"][0, :2].tolist() == [260, 1]
    assert (batch["mask"] == IGNORE).any()  # void
    turned = data_of(folder, "pastis", folds={"train": [5], "val": [1], "test": []})
    assert turned.split_record["images"] == {"train": 1, "val": 2}
    assert turned.split_record["sha256"] != data.split_record["sha256"]


def test_the_split_is_recorded(folder: Path, tmp_path: Path):
    data = data_of(folder, "eurosat")
    record = data.split_record
    assert record["method"] == "torchgeo:EuroSATDataModule"
    assert record["images"] == {"train": 10, "val": 10, "test": 10}
    other = tmp_path / "eurosat"
    other.mkdir()
    eurosat(other)
    assert data_of(tmp_path, "eurosat").split_record == record  # the folder does not matter
    (other / "eurosat-test.txt").write_text((other / "eurosat-val.txt").read_text())
    assert data_of(tmp_path, "eurosat").split_record["sha256"] != record["sha256"]
    data.prepare_data()  # without a run folder nothing is written
    data.run_folder = tmp_path / "run"
    data.prepare_data()
    assert json.loads((data.run_folder / "split.json").read_text()) == record
    assert json.loads((data.run_folder / "statistics.json").read_text())["dtype"] == "uint16"


def test_its_name_is_that_of_the_data_set(folder: Path):
    assert data_of(folder, "eurosat").data_name == "EuroSAT"


def ids(data: TorchGeoData) -> list[str]:
    return [name for batch in data.train_dataloader() for name in batch["id"]]


def test_torchgeo_ignores_the_seed_and_finds_no_chip_in_small_scenes(tmp_path: Path):
    """Why eoseg samples scenes itself; once torchgeo has changed this, it may be used again."""
    l8biome(tmp_path)
    module = torchgeo_build.build("L8BiomeDataModule", {"paths": str(tmp_path)}, None)
    torchgeo_build.set_up(module, None)
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        drawn.append(list(RandomPatchSampler(module.train_dataset, size=64, length=4)))
    assert drawn[0] != drawn[1]
    assert list(RandomPatchSampler(module.train_dataset, size=280)) == []


def test_scenes_are_sampled_by_the_seed(tmp_path: Path):
    l8biome(tmp_path)
    options = {"chip_size": 64, "chips_per_epoch": 8}
    first = ids(clouds_of(tmp_path, **options))
    assert len(first) == 8
    assert ids(clouds_of(tmp_path, **options)) == first
    assert ids(clouds_of(tmp_path, **options, seed=1)) != first


def test_scenes_no_larger_than_a_chip_give_chips(tmp_path: Path):
    l8biome(tmp_path)
    data = clouds_of(tmp_path, chip_size=320)
    batch: Batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 11, 320, 320)
    assert (batch["mask"] != IGNORE).any()
    assert (batch["mask"][~batch["valid"]] == IGNORE).all()


def test_scenes_have_a_pixel_size_nodata_and_no_fill_class(tmp_path: Path):
    l8biome(tmp_path)
    data = clouds_of(tmp_path)
    schema = data.schema
    assert data.chip_size == 224  # torchgeo's patch_size
    assert schema.class_names == ["Cloud Shadow", "Clear", "Thin Cloud", "Cloud"]
    assert schema.nodata == 0
    assert schema.pixel_size is not None
    assert schema.pixel_size[0] == pytest.approx(42, abs=2)  # 30 m in Web Mercator at 45 degrees
    assert data.statistics.nodata_share > 0.05  # beyond the swath
    # Were pixels mixed with the fill of 0 when they were brought to Web Mercator, there would be less.
    assert data.statistics.bands[0].minimum == 7000
    counted = sum(int((batch["mask"] != IGNORE).sum()) for batch in data.test_dataloader())
    assert counted == pytest.approx(300 * 220, rel=0.02)


def test_a_nodata_value_can_be_set(folder: Path):
    data = data_of(folder, "levircd", nodata=100)
    batch = data.panel_chips("train", 1)
    assert data.schema.nodata == 100
    assert not batch["valid"].any()  # green is 100 everywhere
    assert data_of(folder, "levircd").panel_chips("train", 1)["valid"].all()


def test_only_training_chips_are_augmented(folder: Path):
    data = data_of(folder, "vaihingen", chip_size=64)
    data.setup("fit")
    batch = data.panel_chips("train", 4)
    data.trainer = FakeTrainer()  # type: ignore[assignment]
    assert not torch.equal(data.on_after_batch_transfer(batch, 0)["mask"], batch["mask"])
    data.trainer = FakeTrainer(training=False)  # type: ignore[assignment]
    assert data.on_after_batch_transfer(batch, 0) is batch
    still = data_of(folder, "vaihingen", chip_size=64, augment=AugmentConfig(flips_and_rotations=False))
    still.trainer = FakeTrainer()  # type: ignore[assignment]
    assert still.on_after_batch_transfer(batch, 0) is batch


def test_dates_are_swapped_only_where_there_are_two(folder: Path):
    swap = AugmentConfig(swap_dates=True)
    data_of(folder, "levircd", chip_size=64, augment=swap).setup("fit")
    with pytest.raises(ConfigError, match="swap_dates"):
        data_of(folder, "vaihingen", chip_size=64, augment=swap).setup("fit")


def test_an_epoch_has_as_many_chips_as_asked_for(folder: Path):
    assert len(ids(data_of(folder, "eurosat"))) == 10
    assert len(ids(data_of(folder, "levircd", chip_size=200))) == 8  # two images, four chips cover one
    assert len(ids(data_of(folder, "levircd", chip_size=200, chips_per_epoch=5))) == 6  # whole batches


def test_workers_read_the_same_chips(folder: Path):
    alone, shared = (
        data_of(folder, "levircd", chip_size=64, num_workers=n, chips_per_epoch=4) for n in (0, 1)
    )
    for one, other in zip(alone.train_dataloader(), shared.train_dataloader(), strict=True):
        assert one["id"] == other["id"]
        assert torch.equal(one["image"], other["image"])


def test_workers_divide_the_tiles(folder: Path):
    tiles = [
        sorted(
            name
            for batch in data_of(folder, "levircd", chip_size=200, num_workers=n).test_dataloader()
            for name in batch["id"]
        )
        for n in (0, 2)
    ]
    assert tiles[0] == tiles[1]
    assert len(tiles[0]) == 8


def test_statistics_come_from_as_many_images_as_asked_for(folder: Path):
    assert data_of(folder, "eurosat").statistics.pixels == 10 * 64**2
    part = data_of(folder, "eurosat", statistics_images=3).statistics
    assert part.pixels == 3 * 64**2
    assert part.class_pixels == (1,) * 10  # of all chips


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chip_size": 0}, r"data\.chip_size must be at least 1; found 0"),
        ({"batch_size": 0}, r"data\.batch_size must be at least 1"),
        ({"chips_per_epoch": 0}, r"data\.chips_per_epoch must be at least 1"),
        ({"statistics_images": 0}, r"data\.statistics_images must be at least 1"),
        ({"num_workers": -1}, r"data\.num_workers must be at least 0"),
        ({"seed": -1}, r"data\.seed must be at least 0"),
        ({"classes": ["a", "b"], "ignore": [1]}, r"data\.ignore \[1\] names a value of a class"),
        ({"folds": {"train": [1]}}, "has no folds"),
    ],
)
def test_impossible_options_are_refused(folder: Path, options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        data_of(folder, "eurosat", **options)


def test_images_that_are_not_square_need_a_chip_size(folder: Path):
    with pytest.raises(ConfigError, match=r"are not square \(\d+ x \d+ px\). Set data.init_args.chip_size"):
        _ = data_of(folder, "deepglobe").chip_size


def test_data_that_name_no_classes_need_them(folder: Path, monkeypatch: pytest.MonkeyPatch):
    from eoseg.datasets import torchgeo_traits

    monkeypatch.setattr(torchgeo_traits, "_TRAITS", {})
    with pytest.raises(ConfigError, match="LEVIRCDDataModule does not name its classes"):
        _ = data_of(folder, "levircd").schema
    assert data_of(folder, "levircd", classes=["same", "new"]).schema.class_names == ["same", "new"]


def test_a_series_without_known_dates_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    from eoseg.datasets import torchgeo_traits

    monkeypatch.setattr(torchgeo_traits, "_TRAITS", {})
    with pytest.raises(DataError, match="PASTISDataModule yields series of images, but eoseg does not know"):
        _ = data_of(folder, "pastis").schema


def test_a_data_set_for_another_task_is_refused_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch):
    from torchgeo.datasets import LEVIRCD

    boxes = {"image": torch.ones(3, 8, 8), "bbox_xyxy": torch.ones(1, 4)}
    monkeypatch.setattr(LEVIRCD, "__getitem__", lambda self, place: boxes)
    with pytest.raises(DataError, match=r"yields bbox_xyxy, image; expected image and mask") as caught:
        _ = data_of(folder, "levircd").schema
    assert "\n" not in str(caught.value)


def test_panels_need_a_positive_number(folder: Path):
    with pytest.raises(ConfigError, match="0 val chips were asked for"):
        data_of(folder, "eurosat").panel_chips("val", 0)


def test_the_schema_can_be_stored(folder: Path):
    import dataclasses

    schema = data_of(folder, "vaihingen", chip_size=64).schema
    assert isinstance(schema, Schema)
    text = json.dumps(dataclasses.asdict(schema))
    assert "nir" in text
