"""What torchgeo's data sets say of themselves, and where eoseg knows better."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torchgeo import datasets
from torchgeo_factory import (
    EUROSAT_CLASSES,
    OSCD_TRAIN,
    bigearthnet,
    eurosat,
    landcoverai,
    levircd,
    loveda,
    oscd,
    pastis,
    potsdam,
)

from eoseg.datasets.torchgeo_traits import (
    default_bands,
    default_classes,
    put_in_order,
    sample_names,
    traits_of,
)
from eoseg.errors import DataError


def classes_of(dataset: Any) -> dict[str, tuple[int | str, ...]]:
    return {entry.name: entry.values for entry in default_classes(dataset) or ()}


def test_classes_of_folders_are_in_alphabetical_order(tmp_path: Path):
    eurosat(tmp_path)
    dataset = datasets.EuroSAT(tmp_path)
    assert classes_of(dataset) == {name: (n,) for n, name in enumerate(EUROSAT_CLASSES)}
    for place, name in enumerate(sample_names(dataset)):
        assert name.split("/")[-2] == EUROSAT_CLASSES[int(dataset[place]["label"])]


def test_loveda_numbers_its_classes_from_one(tmp_path: Path):
    # torchgeo's attribute starts with background and ends with no-data; in the masks no-data is 0.
    loveda(tmp_path)
    dataset = datasets.LoveDA(tmp_path)
    assert dataset.classes[0] == "background"
    assert classes_of(dataset)["background"] == (1,)
    assert classes_of(dataset)["agriculture"] == (7,)
    assert traits_of(dataset).ignore == (0,)


def test_radar_bands_of_bigearthnet_have_the_order_of_their_files(tmp_path: Path):
    bigearthnet(tmp_path)
    dataset = datasets.BigEarthNet(tmp_path, bands="s1")
    vertical, horizontal = (default_bands(dataset, 2).index(name) for name in ("VV", "VH"))
    image = dataset[0]["image"]
    # In the files -9.5 and -16.5; torchgeo reads whole numbers.
    assert image[vertical, 0, 0] > -11
    assert image[horizontal, 0, 0] < -15
    both = datasets.BigEarthNet(tmp_path)
    assert default_bands(both, 14)[:3] == ["VH", "VV", "B01"]
    assert len(classes_of(both)) == 19


def test_bands_have_names_where_torchgeo_gives_none(tmp_path: Path):
    potsdam(tmp_path)
    assert default_bands(datasets.Potsdam2D(tmp_path), 4) == ["red", "green", "blue", "nir"]
    other = SimpleNamespace()
    assert default_bands(other, 3) == ["red", "green", "blue"]
    assert default_bands(other, 2) == ["band_1", "band_2"]
    wrong = SimpleNamespace(bands=("B1", "B2", "B3"))
    assert default_bands(wrong, 2) == ["band_1", "band_2"]


def test_colours_come_from_the_data_set(tmp_path: Path):
    landcoverai(tmp_path)
    potsdam(tmp_path)
    by_map = default_classes(datasets.LandCoverAI(tmp_path))
    by_list = default_classes(datasets.Potsdam2D(tmp_path))
    assert by_map is not None
    assert by_list is not None
    assert {entry.name: entry.color for entry in by_map}["Woodland"] == (38, 115, 0)
    assert {entry.name: entry.color for entry in by_list}["Tree"] == (0, 255, 0)


def test_a_data_set_without_classes_names_none():
    assert default_classes(SimpleNamespace()) is None
    assert default_classes(SimpleNamespace(classes=[1, 2])) is None


def test_the_order_of_the_file_system_does_not_matter(tmp_path: Path):
    oscd(tmp_path)
    dataset = datasets.OSCD(tmp_path)
    dataset.files.reverse()
    put_in_order(dataset)
    assert [entry["region"] for entry in dataset.files] == sorted(OSCD_TRAIN)
    assert sample_names(dataset) == sorted(OSCD_TRAIN)


def test_pairs_put_together_by_their_place_are_checked(tmp_path: Path):
    levircd(tmp_path)
    dataset = datasets.LEVIRCD(tmp_path)
    put_in_order(dataset)
    assert sample_names(dataset) == ["A/train_0.png", "A/train_1.png"]
    (tmp_path / "B" / "train_0.png").unlink()
    with pytest.raises(DataError, match=r"train_0.png, .*train_1.png, .* do not belong together"):
        put_in_order(datasets.LEVIRCD(tmp_path))


def test_names_do_not_depend_on_the_folder(tmp_path: Path):
    names = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        pastis(folder)
        names.append(sample_names(datasets.PASTIS(folder)))
    assert names[0] == names[1]
    assert names[0][0] == "PASTIS-R/DATA_S2/S2_10000.npy"


def test_a_data_set_without_files_numbers_its_samples():
    class Dataset:
        split = "train"

        def __len__(self) -> int:
            return 2

    assert sample_names(Dataset()) == ["train/0", "train/1"]


def test_series_have_the_days_of_their_dates(tmp_path: Path):
    pastis(tmp_path)
    dataset = datasets.PASTIS(tmp_path)
    days = traits_of(dataset).days
    assert days is not None
    assert days(dataset)[0] == [260, 1, 2, 3, 4, 5]  # 17 September 2018, then January 2019
    (tmp_path / "PASTIS-R" / "metadata.geojson").write_text('{"features": []}')
    with pytest.raises(DataError, match=r"does not give the dates of each patch under 'dates-S2'"):
        days(dataset)
