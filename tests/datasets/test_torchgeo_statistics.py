from typing import Any

import numpy as np
import pytest
import torch

from eoseg.batch import IGNORE
from eoseg.datasets.torchgeo_samples import Reading, form_of
from eoseg.datasets.torchgeo_sources import ImageSource
from eoseg.datasets.torchgeo_statistics import survey_images
from eoseg.errors import DataError
from eoseg.recipe import Schema, parse_classes

CLASSES = parse_classes(["water", "land"])


class Listed:
    """A data set in memory."""

    def __init__(self, samples: list[dict[str, Any]]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.samples[place]


def source_of(samples: list[dict[str, Any]], **options: Any) -> ImageSource:
    source = ImageSource(Listed(samples), range(len(samples)))
    form = form_of(samples[0], "a")
    values: dict[str, Any] = {"channels": range(form.bands), "ignore": [], "nodata": None, "steps": 1}
    source.reading = Reading(form, CLASSES, **{**values, **options})
    return source


def survey(source: ImageSource, images: int = 100, seed: int = 0) -> Any:
    assert source.reading is not None
    bands = tuple(f"B{n}" for n in range(source.reading.form.bands))
    return survey_images(source, Schema(bands, CLASSES), images=images, chip_size=4, seed=seed)


def sample(value: float, size: int = 8) -> dict[str, Any]:
    mask = torch.zeros(size, size, dtype=torch.int64)
    mask[0], mask[1] = 1, IGNORE
    image = torch.full((2, size, size), value)
    image[1] += torch.arange(size)
    return {"image": image, "mask": mask}


def test_statistics_are_those_of_the_pixels():
    statistics = survey(source_of([sample(10), sample(20)]))
    first, second = statistics.bands
    assert (first.mean, first.std, first.minimum, first.maximum) == (15, 5, 10, 20)
    values = np.add.outer([10, 20], np.arange(8)).ravel()
    assert second.mean == pytest.approx(values.mean())
    assert second.std == pytest.approx(values.std())
    assert (statistics.pixels, statistics.valid_pixels, statistics.dtype) == (128, 128, "uint8")
    assert statistics.class_pixels == (2 * 6 * 8, 2 * 8)


def test_invalid_pixels_do_not_count():
    first = sample(10)
    first["image"][0, :, 0] = 0
    statistics = survey(source_of([first, sample(20)], nodata=0))
    assert statistics.bands[0].minimum == 10
    assert (statistics.pixels, statistics.valid_pixels) == (128, 120)


def test_the_sample_is_bounded_and_follows_from_the_seed():
    source = source_of([sample(value) for value in range(1, 51)])
    part = survey(source, images=10)
    assert part.pixels == 10 * 64
    assert part == survey(source, images=10)
    assert part != survey(source, images=10, seed=1)


def test_large_images_are_thinned_and_their_labels_are_not():
    statistics = survey(source_of([sample(10, 1500)]))
    assert statistics.pixels == 750**2
    assert statistics.class_pixels == (1498 * 1500, 1500)
    assert statistics.bands[1].mean == pytest.approx(10 + np.arange(0, 1500, 2).mean())


@pytest.mark.parametrize(
    ("value", "kind"), [(255, "uint8"), (3000, "uint16"), (-5, "int16"), (0.5, "float32")]
)
def test_the_type_of_the_files_is_guessed_from_the_values(value: float, kind: str):
    held = sample(1)
    held["image"] = torch.full((2, 8, 8), value)
    assert survey(source_of([held])).dtype == kind


def test_dates_are_pooled_and_those_that_were_filled_in_do_not_count():
    image = torch.stack([torch.full((1, 8, 8), value) for value in (10.0, 30.0, 50.0)])
    source = source_of([{"image": image, "mask": sample(1)["mask"]}], steps=5)
    source.days = [[1, 2, 3]]
    statistics = survey(source)
    assert statistics.bands[0].mean == 30
    assert statistics.valid_pixels == 3 * 64


def test_chips_are_counted_by_their_labels():
    chips = [{"image": torch.ones(1, 4, 4), "label": torch.tensor(n % 3 > 0).long()} for n in range(9)]
    assert survey(source_of(chips)).class_pixels == (3, 6)
    source = source_of(chips)
    source.dataset.targets = [int(chip["label"]) for chip in chips]  # as torchvision's ImageFolder
    assert survey(source, images=2).class_pixels == (3, 6)  # though two images are read


def test_several_labels_are_counted_each():
    chips = [{"image": torch.ones(1, 4, 4), "label": torch.tensor([1, n % 2])} for n in range(4)]
    assert survey(source_of(chips)).class_pixels == (4, 2)


def test_nothing_to_learn_from_is_told():
    empty = sample(1)
    empty["mask"][:] = IGNORE
    with pytest.raises(DataError, match="The training images hold no label"):
        survey(source_of([empty]))
    with pytest.raises(DataError, match="The training images hold no valid pixel"):
        survey(source_of([sample(0)], nodata=0))
