"""The unknown part of a scene is proposed, and not ten times."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
import torch
from conftest import write_scene
from task_worlds import make_statistics
from torch import Tensor, nn

from eoseg.errors import ConfigError, DataError, OutputError
from eoseg.models.network import Kind, Network
from eoseg.predict.suggest import SuggestOptions, suggest_places
from eoseg.recipe import Recipe, Schema, parse_classes

LEVELS = np.array([[400, 300], [700, 2500], [2200, 2000]])
UNKNOWN = (1300, 1600)
"""Values between those of two classes."""
CHIP = 32


class Nearest(nn.Module):
    """Takes each pixel for the material whose values are nearest."""

    def __init__(self) -> None:
        super().__init__()
        self.wants_raw = True

    def forward(self, image: Tensor) -> Tensor:
        levels = torch.tensor(LEVELS, dtype=torch.float32)
        return -((image[:, None] - levels[None, :, :, None, None]) / 600).square().sum(dim=2)


class OfChips(Nearest):
    """The same for chips, with features."""

    def features(self, image: Tensor) -> Tensor:
        return image.mean(dim=(2, 3)) / 1000

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).mean(dim=(2, 3))


def trained(kind: Kind = "segmentation", **schema: object) -> tuple[Network, Recipe]:
    network = Network(
        OfChips() if kind == "classification" else Nearest(), bands=["x", "y"], output_stride=1, kind=kind
    )
    made = Schema(("x", "y"), **{"classes": parse_classes(["soil", "grass", "roof"]), **schema})  # type: ignore[arg-type]
    statistics = make_statistics(made, mean=1200.0, std=800.0)
    network.normalize.set_statistics(statistics)
    return network.eval(), Recipe("SegmentationTask", made, statistics, {"arch": "nearest"}, CHIP, 1)


def write_world(path: Path) -> Path:
    """8 x 8 squares of a chip's size: fields of the three classes, an unknown kind in 3 x 3 of them."""
    rng = np.random.default_rng(0)
    values = LEVELS[rng.integers(0, 3, (8, 8))]
    values[1:4, 4:7] = UNKNOWN
    image = values.transpose(2, 0, 1).repeat(CHIP, axis=1).repeat(CHIP, axis=2)
    noisy = (image + rng.normal(0, 40, image.shape)).clip(1, 9999).astype(np.uint16)
    noisy[:, -CHIP:, -CHIP:] = 0
    return write_scene(path, noisy, names=["x", "y"], nodata=0)


def is_unknown(row: int, col: int) -> bool:
    return 1 <= row // CHIP < 4 and 4 <= col // CHIP < 7


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_the_unknown_region_is_first_and_its_neighbours_do_not_follow(tmp_path: Path, kind: Kind):
    scene, out = write_world(tmp_path / "a.tif"), tmp_path / "next.gpkg"
    found = suggest_places(*trained(kind), [str(scene)], out, options=SuggestOptions(count=6))
    frame = geopandas.read_file(out, layer="next")
    assert (found.chosen, found.cells, len(frame)) == (6, 63, 6)  # one has no value
    unknown = [is_unknown(row, col) for row, col in zip(frame["row"], frame["col"], strict=True)]
    assert unknown[0]
    assert 1 <= sum(unknown) <= 4  # not all six, though the region holds nine
    assert found.chosen_uncertainty > found.mean_uncertainty
    assert frame["uncertainty"][0] > 2 * found.mean_uncertainty
    for number, shape in enumerate(frame.geometry):
        assert not frame.geometry[:number].intersects(shape).any()
        row, col = frame["row"][number], frame["col"][number]
        expected = shapely.box(
            5e5 + 10 * col, 5.4e6 - 10 * (row + CHIP), 5e5 + 10 * (col + CHIP), 5.4e6 - 10 * row
        )
        assert shape.equals(expected)
    assert list(frame["rank"]) == [1, 2, 3, 4, 5, 6]
    assert set(frame["likeliest"]) <= {"soil", "grass", "roof"}
    assert found.by == (
        "features of the network" if kind == "classification" else "class shares and band values"
    )


def test_what_is_labelled_already_is_left_out(tmp_path: Path):
    scene = write_world(tmp_path / "a.tif")
    drawn = shapely.box(5e5 + 320 * 4, 5.4e6 - 320 * 4, 5e5 + 320 * 7, 5.4e6 - 320).buffer(-5)
    area = tmp_path / "labelled.gpkg"
    geopandas.GeoDataFrame(geometry=[drawn], crs="EPSG:32632").to_crs(4326).to_file(area)
    options = SuggestOptions(count=4, labelled=str(area))
    found = suggest_places(*trained(), [str(scene)], tmp_path / "next.gpkg", options=options)
    assert found.labelled == 9
    frame = geopandas.read_file(tmp_path / "next.gpkg", layer="next")
    assert not any(is_unknown(row, col) for row, col in zip(frame["row"], frame["col"], strict=True))
    away = geopandas.GeoDataFrame(geometry=[drawn], crs="EPSG:32632").translate(9e4)
    away.to_file(tmp_path / "away.gpkg")
    with pytest.raises(DataError, match="lies outside"):
        suggest_places(
            *trained(),
            [str(scene)],
            tmp_path / "none.gpkg",
            options=SuggestOptions(count=4, labelled=str(tmp_path / "away.gpkg")),
        )


def test_scenes_and_sizes_are_as_asked_for(tmp_path: Path):
    scenes = [str(write_world(tmp_path / f"{name}.tif")) for name in "ab"]
    out = tmp_path / "next.gpkg"
    found = suggest_places(*trained(), scenes, out, options=SuggestOptions(count=3, chip_size=64))
    assert (found.cells, found.chip_size) == (32, 64)
    assert set(geopandas.read_file(out, layer="next")["scene"]) <= {"a.tif", "b.tif"}
    with pytest.raises(OutputError, match="exists already"):
        suggest_places(*trained(), scenes, out)
    suggest_places(*trained(), scenes, out, options=SuggestOptions(count=2, overwrite=True))
    assert len(geopandas.read_file(out, layer="next")) == 2


def test_bad_input_is_refused(tmp_path: Path):
    scene, out = str(write_world(tmp_path / "a.tif")), tmp_path / "next.gpkg"
    for scenes, words in (([], "No scene"), ([scene, scene], "given twice")):
        with pytest.raises(ConfigError, match=words):
            suggest_places(*trained(), scenes, out)
    with pytest.raises(ConfigError, match=r"There are 63 squares of 32 px to choose from, and 64 are wanted"):
        suggest_places(*trained(), [scene], out, options=SuggestOptions(count=64))
    with pytest.raises(ConfigError, match="number of places is 1 or more; found 0"):
        SuggestOptions(count=0)
    with pytest.raises(ConfigError, match="this one gives several labels"):
        suggest_places(*trained(multilabel=True), [scene], out)
    network, recipe = trained()
    network.kind = "change"
    with pytest.raises(ConfigError, match="takes several dates"):
        suggest_places(network, recipe, [scene], out)
    assert not out.exists()
