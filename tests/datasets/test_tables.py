import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from lightning.pytorch import Trainer
from table_factory import KINDS, arrays, table_of, write_arrays

from eoseg.datasets.grouping import ItemSplitConfig
from eoseg.datasets.table_files import TableSource
from eoseg.datasets.tables import TableData, days_of_year
from eoseg.errors import ConfigError, DataError
from eoseg.models import MODELS
from eoseg.models.pixelwise import softmax_regression
from eoseg.recipe import IGNORE
from eoseg.tasks.optim import OptimizerConfig
from eoseg.tasks.segmentation import SegmentationTask


def data_of(folder: Path, path: Any = "pixels.npz", **options: Any) -> TableData:
    own = {name: options.pop(name) for name in ("batch_size", "split", "seed") if name in options}
    return TableData(table_of(folder, path, **options), **own)


def test_rows_of_one_date_are_chips_of_one_pixel(tmp_path: Path):
    write_arrays(tmp_path)
    data = data_of(tmp_path, batch_size=5, band_names="names")
    assert data.chip_size == 1
    assert (data.schema.time, data.schema.steps) == ("single", 1)
    assert data.schema.bands == ("B0", "B1", "B2", "B3")
    assert data.schema.class_names == KINDS
    rows = []
    for batch in data.train_dataloader():
        count = len(batch["id"])
        assert batch["image"].shape == (count, 4, 1, 1)
        assert batch["valid"].shape == batch["mask"].shape == (count, 1, 1)
        assert batch["mask"].dtype == torch.int64
        assert batch["valid"].all()
        assert "days" not in batch
        for image, mask, name in zip(batch["image"], batch["mask"], batch["id"], strict=True):
            file, _, row = name.partition("@")
            assert file == "pixels.npz"
            assert image[:, 0, 0].tolist() == [100 * int(row) + band for band in range(4)]
            assert int(mask) == int(row) % 3
            rows.append(int(row))
    assert sorted(rows) == data.split.of("train").tolist()


def test_rows_of_several_dates_are_series(tmp_path: Path):
    write_arrays(tmp_path, steps=3)
    data = data_of(tmp_path, dates="when")
    assert (data.schema.time, data.schema.steps) == ("series", 3)
    batch = next(iter(data.val_dataloader()))
    count = len(batch["id"])
    assert batch["image"].shape == (count, 3, 4, 1, 1)
    assert batch["valid"].shape == (count, 3, 1, 1)
    assert batch["mask"].shape == (count, 1, 1)
    assert batch["days"].dtype == torch.float32
    assert batch["days"].tolist() == [[1, 17, 33]] * count
    row = int(batch["id"][0].partition("@")[2])
    assert batch["image"][0, 2, 1].item() == 100 * row + 21


def test_days_of_the_year_know_leap_years():
    dates = np.array(["2019-03-01", "2020-03-01", "2020-12-31", "1970-01-01"], "datetime64[D]")
    assert days_of_year(dates).tolist() == [60, 61, 366, 1]


def test_a_date_without_value_is_not_valid(tmp_path: Path):
    values = arrays(steps=3)["X"]
    values[:, 1, 2] = np.nan
    values[:, 2, 0] = -9
    write_arrays(tmp_path, steps=3, X=values)
    data = data_of(tmp_path, dates="when", nodata=-9)
    batch = next(iter(data.train_dataloader()))
    assert batch["valid"][:, :, 0, 0].tolist() == [[True, False, False]] * len(batch["id"])
    assert (batch["image"][:, 1:] == 0).all()
    assert (batch["mask"] != IGNORE).all()  # one date is enough to learn from
    assert data.statistics.nodata_share == pytest.approx(2 / 3)
    assert data.schema.nodata == -9


def test_rows_without_any_value_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    values = arrays()["X"]
    values[[4, 7]] = np.nan
    write_arrays(tmp_path, X=values)
    write_arrays(tmp_path, "more.npz")
    data = data_of(tmp_path, ["more.npz", "pixels.npz"])
    assert set(np.flatnonzero(data.split.numbers < 0)) == {34, 37}
    assert (
        "2 of 60 rows have no value (NaN or nodata) and are left out; the first is row 4 of 'pixels.npz'"
        in caplog.text
    )
    write_arrays(tmp_path, X=np.full((30, 4), np.nan))
    with pytest.raises(
        DataError, match="No row of pixels.npz has a label and values: 30 of 30 have no value"
    ):
        _ = data_of(tmp_path).reader


def test_ignored_rows_are_in_no_split(tmp_path: Path):
    write_arrays(tmp_path)
    data = data_of(tmp_path, classes=["grass", "rock"], ignore=["water"])
    assert (data.split.numbers[2::3] == -1).all()
    assert data.statistics.class_pixels == (6, 6)
    with pytest.raises(DataError, match="'pixels.npz' has 1 labels that are no class: 'water'"):
        _ = data_of(tmp_path, classes=["grass", "rock"]).reader


def test_statistics_are_those_of_the_training_rows_alone(tmp_path: Path):
    write_arrays(tmp_path, steps=2)
    data = data_of(tmp_path, dates="when")
    values = arrays(steps=2)["X"][data.split.of("train")]  # (n, T, F)
    for number, band in enumerate(data.statistics.bands):
        assert band.mean == pytest.approx(values[:, :, number].mean())
        assert band.std == pytest.approx(values[:, :, number].std())
        assert band.maximum == values[:, :, number].max()
    assert data.statistics.pixels == 2 * len(values)
    assert data.statistics.class_pixels == (6, 6, 6)
    assert data.statistics.dtype == "float32"


def test_groups_stay_together_and_folds_change_them(tmp_path: Path):
    write_arrays(tmp_path)
    tested = []
    for fold in range(5):
        data = data_of(tmp_path, groups="cell", split=ItemSplitConfig(folds=5, fold=fold))
        cells = arrays()["cell"]
        parts = [set(cells[data.split.of(name)].tolist()) for name in ("train", "val", "test")]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        tested += data.split.of("test").tolist()
        assert data.split_record["fold"] == fold
    assert sorted(tested) == list(range(30))


def test_a_table_of_its_own_may_test(tmp_path: Path):
    write_arrays(tmp_path, "train.npz", count=12)
    write_arrays(tmp_path, "test.npz", count=6)
    split = ItemSplitConfig("files", val=[], test=["test.npz"])
    data = data_of(tmp_path, ["train.npz", "test.npz"], split=split)
    assert len(data.split.of("train")) == 12
    assert [name for batch in data.test_dataloader() for name in batch["id"]] == [
        f"test.npz@{row}" for row in range(6)
    ]


def test_tables_must_be_alike(tmp_path: Path):
    write_arrays(tmp_path, "a.npz")
    write_arrays(tmp_path, "b.npz", features=3)
    with pytest.raises(DataError, match="'a.npz' has 4 features .*'b.npz' has 3 features"):
        _ = data_of(tmp_path, ["a.npz", "b.npz"]).schema


def test_what_the_run_must_remember_is_written(tmp_path: Path):
    write_arrays(tmp_path)
    data = data_of(tmp_path)
    data.run_folder = tmp_path / "run"
    data.prepare_data()
    assert json.loads((tmp_path / "run" / "split.json").read_text())["sha256"] == data.split.sha256
    assert json.loads((tmp_path / "run" / "statistics.json").read_text())["class_pixels"] == [6, 6, 6]
    again = data_of(tmp_path, split=ItemSplitConfig(path=str(tmp_path / "run" / "split.json")))
    assert again.split.sha256 == data.split.sha256
    assert len(data.panel_chips("test", 4)["id"]) == 4


@pytest.mark.parametrize(("option", "value"), [("batch_size", 0), ("seed", -1)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, option: str, value: int):
    with pytest.raises(ConfigError, match=f"data.{option} must be at least"):
        data_of(tmp_path, **{option: value})


def test_a_network_learns_from_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(MODELS["segmentation"], "linear", softmax_regression)
    rows = "".join(f"{number % 3 * 50 + number % 7},{KINDS[number % 3]}\n" for number in range(90))
    (tmp_path / "pixels.csv").write_text(f"red,y\n{rows}")
    data = data_of(tmp_path, "pixels.csv", batch_size=16)
    task = SegmentationTask(data.schema, data.chip_size, arch="linear", optimizer=OptimizerConfig(lr=0.1))
    trainer = Trainer(
        max_epochs=30,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )
    trainer.fit(task, datamodule=data)
    trainer.test(task, datamodule=data, verbose=False)
    assert trainer.callback_metrics["test/oa"] == 1.0


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        ("mt_modis", (1419, 23, 6), [284, 22, 98, 258, 273, 264, 65, 135, 20]),
        ("cbers_022024", (692, 23, 6), [161, 155, 182, 194]),
        ("s2_rondonia", (361, 36, 11), [32, 108, 221]),
    ],
)
def test_series_of_real_fields(real_data: Path, name: str, shape: tuple[int, ...], counts: list[int]):
    path = real_data / "series" / f"{name}.npz"
    with np.load(path) as file:
        kinds = sorted(set(file["y"].tolist()))
    source = TableSource(
        f"{name}.npz",
        kinds,
        root=str(path.parent),
        band_names="bands",
        dates="dates_days_since_1970",
        groups="cell",
    )
    data = TableData(source, split=ItemSplitConfig(folds=5))
    rows = data.reader
    assert tuple(rows.image.shape[:3]) == shape
    assert rows.valid.all()
    assert np.bincount(rows.mask.flatten().numpy()).tolist() == counts
    assert rows.days is not None
    assert rows.days.min() >= 1
    assert rows.days.max() <= 366


@pytest.mark.real
def test_statlog_has_its_rows(real_data: Path):
    source = TableSource(
        "sat.trn",
        {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 7},
        root=str(real_data / "statlog"),
        label=-1,
        first_line="skip",
    )
    rows = TableData(source).reader
    assert rows.image.shape == (4435, 36, 1, 1)
    assert np.bincount(rows.mask.flatten().numpy()).tolist() == [1072, 479, 961, 415, 470, 1038]


def test_rows_of_a_parquet_file_without_a_label_are_not_learned(tmp_path: Path):
    labels = [None if row % 5 == 4 else KINDS[row % 3] for row in range(30)]
    frame = {"scene": [f"s{row // 3}" for row in range(30)], "label": labels, "f000": np.arange(30.0)}
    pandas.DataFrame(frame).to_parquet(tmp_path / "chips.parquet")
    data = TableData(table_of(tmp_path, "chips.parquet"))
    assert (data.reader.mask == IGNORE).sum() == 6
    assert sum(len(data.split.of(name)) for name in ("train", "val", "test")) == 24
    assert data.split_record["method"] == "groups"
