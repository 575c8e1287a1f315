"""Figures on chips are compared with figures in place."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_scene
from predict_factory import make_network, make_recipe
from torch import Tensor, nn

from eoseg.datasets.chips import chip_in
from eoseg.datasets.config import SceneSource
from eoseg.datasets.index import load_index
from eoseg.datasets.reader import SceneReader
from eoseg.datasets.splits import Region
from eoseg.geo.window import Window
from eoseg.predict.surroundings import Surroundings, measure_surroundings
from eoseg.recipe import Quantity

BANDS = ("B02",)


class Brightness(nn.Module):
    """Class 1 where the band is above its mean: looks at the pixel alone."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([-image, image], dim=1)


class SeesTheEdge(nn.Module):
    """As above, but only where it is within 20 px of the image's edge: right on chips alone."""

    def forward(self, image: Tensor) -> Tensor:
        # Zero times the image lets the probe see that every pixel within 20 px matters.
        seen = nn.functional.conv2d(torch.ones_like(image) + 0 * image, torch.ones(1, 1, 41, 41), padding=20)
        sign = torch.where(seen < 41 * 41, 1, -1) + 0 * seen
        return torch.cat([-image, image], dim=1) * sign


@pytest.fixture
def reader(tmp_path: Path) -> SceneReader:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, (128, 128)).astype(np.uint8)
    image = np.where(label, 200, 50).astype(np.uint8)
    write_scene(tmp_path / "images" / "a.tif", image, names=BANDS)
    write_scene(tmp_path / "labels" / "a.tif", label)
    source = SceneSource(
        images="images/*.tif", labels="labels/*.tif", classes=["dark", "bright"], root=str(tmp_path)
    )
    return SceneReader(load_index(source))


def measure(body: nn.Module, reader: SceneReader) -> Surroundings:
    region = Region(next(iter(reader.index.entries)), Window(32, 32, 64, 64), "val")
    chips = [chip_in(region, row, col, 32) for row in (32, 64) for col in (32, 64)]
    found = measure_surroundings(make_network(body, recipe=make_recipe(BANDS)), reader, chips)
    assert found is not None
    return found


def test_a_network_that_looks_at_a_pixel_alone_is_as_good_in_place(reader: SceneReader) -> None:
    found = measure(Brightness(), reader)
    assert (found.pixels, found.right_alone, found.right_in_place) == (64 * 64, 64 * 64, 64 * 64)
    assert not found.is_notable


class Changed(nn.Module):
    """Class 1 where the second date is brighter: looks at the pixel alone."""

    def forward(self, image: Tensor) -> Tensor:
        return Brightness()(image[:, 1] - image[:, 0])


def test_a_network_for_change_is_compared_on_both_dates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, (128, 128)).astype(np.uint8)
    write_scene(tmp_path / "before" / "a.tif", np.full((128, 128), 100, np.uint8), names=BANDS)
    write_scene(tmp_path / "after" / "a.tif", np.where(label, 200, 50).astype(np.uint8), names=BANDS)
    write_scene(tmp_path / "labels" / "a.tif", label)
    source = SceneSource(
        images="before/*.tif",
        after="after/*.tif",
        labels="labels/*.tif",
        classes=["no", "yes"],
        root=str(tmp_path),
    )
    reader = SceneReader(load_index(source))
    region = Region(next(iter(reader.index.entries)), Window(32, 32, 64, 64), "val")
    network = make_network(Changed(), recipe=make_recipe(BANDS, time="pair", steps=2))
    found = measure_surroundings(network, reader, [chip_in(region, 32, 32, 32)])
    assert found is not None
    assert (found.pixels, found.right_alone, found.right_in_place) == (1024, 1024, 1024)


@pytest.mark.parametrize("kind", ["classification", "pretraining", "quantity"])
def test_what_has_no_class_per_pixel_is_not_compared(reader: SceneReader, kind: str) -> None:
    recipe = make_recipe(BANDS, quantity=Quantity("height") if kind == "quantity" else None)
    network = make_network(Brightness(), recipe=recipe, kind=None if kind == "quantity" else kind)
    region = Region(next(iter(reader.index.entries)), Window(32, 32, 64, 64), "val")
    assert measure_surroundings(network, reader, [chip_in(region, 32, 32, 32)]) is None


def test_a_network_that_relies_on_the_edges_of_chips_is_found_out(reader: SceneReader) -> None:
    found = measure(SeesTheEdge(), reader)
    assert found.accuracy_alone == 1.0
    assert found.accuracy_in_place < 0.1
    assert found.halo >= 20
    assert found.is_notable
