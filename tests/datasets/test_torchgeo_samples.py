import re
from typing import Any

import pytest
import torch

from eoseg.batch import IGNORE
from eoseg.datasets.torchgeo_samples import Reading, crop, form_of, image_of, own_values, usable_pixels
from eoseg.errors import ConfigError, DataError
from eoseg.recipe import parse_classes

IMAGE = torch.arange(2 * 4 * 4).reshape(2, 4, 4)
MASK = torch.tensor([[0, 1, 2, 255]] * 4)


def reading(sample: dict[str, Any], **options: Any) -> Reading:
    form = form_of(sample, "first")
    values: dict[str, Any] = {"channels": range(form.bands), "ignore": [], "nodata": None, "steps": 1}
    classes = parse_classes(options.pop("classes", ["water", "land", "forest"]))
    return Reading(form, classes, **{**values, **options})


def test_a_mask_becomes_classes_and_255_no_label():
    item = reading({"image": IMAGE, "mask": MASK}).item({"image": IMAGE, "mask": MASK}, "a", None)
    assert item["image"].dtype == torch.float32
    assert torch.equal(item["image"], IMAGE.float())
    assert torch.equal(item["mask"], MASK)
    assert item["valid"].all()
    assert item["id"] == "a"


def test_values_of_masks_are_looked_up():
    sample = {"image": IMAGE, "mask": torch.tensor([[7.0, 9.0, 0.0, 8.0]] * 4)}
    item = reading(sample, classes={"a": 7, "b": [8, 9]}, ignore=[0]).item(sample, "a", None)
    assert item["mask"][0].tolist() == [0, 1, IGNORE, 1]
    assert item["mask"].dtype == torch.int64


def test_255_may_be_a_class():
    sample = {"image": IMAGE, "mask": torch.tensor([[0, 255, 0, 255]] * 4)}
    item = reading(sample, classes={"same": 0, "changed": 255}).item(sample, "a", None)
    assert item["mask"][0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("value", [3, 300, -1])
def test_an_unknown_value_is_named(value: int):
    sample = {"image": IMAGE, "mask": torch.full((4, 4), value)}
    with pytest.raises(DataError, match=rf"'a' has the label value {value}, which stands for no class"):
        reading(sample).item(sample, "a", None)


def test_fractions_are_no_classes():
    sample = {"image": IMAGE, "mask": torch.full((4, 4), 0.5)}
    with pytest.raises(DataError, match=r"The labels of 'a' are fractions, such as 0\.5"):
        reading(sample).item(sample, "a", None)


def test_bands_are_chosen_in_the_order_asked_for():
    sample = {"image": IMAGE, "mask": MASK}
    item = reading(sample, channels=[1]).item(sample, "a", None)
    assert torch.equal(item["image"], IMAGE[1:].float())


def test_nodata_in_any_band_and_nan_are_invalid():
    image = IMAGE.float().clone()
    image[1, 2, 3] = torch.nan
    image[0, 0, 0] = 16  # elsewhere 16 is the first value of the second band
    sample = {"image": image, "mask": MASK}
    item = reading(sample, nodata=16).item(sample, "a", None)
    assert torch.nonzero(~item["valid"]).tolist() == [[0, 0], [2, 3]]
    assert (item["image"][:, ~item["valid"]] == 0).all()
    assert (item["mask"][~item["valid"]] == IGNORE).all()


def test_two_images_are_a_pair_with_the_earlier_date_first():
    sample = {"image1": IMAGE, "image2": IMAGE + 1, "mask": MASK[None]}
    form = form_of(sample, "a")
    assert (form.time, form.bands, form.target) == ("pair", 2, "mask")
    item = reading(sample, steps=2).item(sample, "a", None)
    assert torch.equal(item["image"], torch.stack([IMAGE, IMAGE + 1]).float())
    assert item["mask"].shape == (4, 4)


def test_of_a_pair_both_dates_and_of_a_series_any_date_must_be_valid():
    valid = torch.tensor([[[True, False]], [[True, True]], [[False, False]]])
    assert usable_pixels(valid[:2], "pair").tolist() == [[True, False]]
    assert usable_pixels(valid, "series").tolist() == [[True, True]]
    assert usable_pixels(valid[2], "single").tolist() == [[False, False]]


def series(dates: int) -> dict[str, Any]:
    return {"image": torch.ones(dates, 2, 4, 4), "mask": MASK}


def test_a_short_series_is_filled_up_with_invalid_dates():
    item = reading(series(5), steps=5).item(series(3), "a", [10, 20, 30])
    assert item["image"].shape == (5, 2, 4, 4)
    assert item["valid"].all(dim=(1, 2)).tolist() == [True, True, True, False, False]
    assert (item["image"][3:] == 0).all()
    assert item["days"].tolist() == [10, 20, 30, 30, 30]
    assert torch.equal(item["mask"], MASK)


@pytest.mark.parametrize("days", [None, [1, 2]])
def test_each_image_of_a_series_has_a_date(days: list[int] | None):
    with pytest.raises(DataError, match=r"The series 'a' has 3 images and \d dates"):
        reading(series(3), steps=3).item(series(3), "a", days)


def test_a_label_per_chip():
    sample = {"image": IMAGE, "label": torch.tensor(2)}
    item = reading(sample).item(sample, "a", None)
    assert item["label"].shape == ()
    assert int(item["label"]) == 2
    assert "mask" not in item
    assert reading(sample).class_of(1) == 1


def test_several_labels_per_chip():
    sample = {"image": IMAGE, "label": torch.tensor([1, 0, 1])}
    assert reading(sample).item(sample, "a", None)["label"].tolist() == [1, 0, 1]
    with pytest.raises(DataError, match=r"The label of 'a' has 3 places for 2 classes"):
        reading(sample, classes=["one", "two"]).item(sample, "a", None)


@pytest.mark.parametrize(
    ("sample", "found"),
    [
        ({"image": IMAGE, "bbox_xyxy": MASK}, "'a' yields bbox_xyxy, image; expected image and mask"),
        ({"image": IMAGE}, "'a' yields image; expected"),
        ({"mask": MASK}, "'a' yields mask; expected"),
        ({"image": IMAGE[0], "mask": MASK}, "'a' yields images of shape (4, 4)"),
        ({"image": IMAGE, "mask": MASK[:2]}, "has 4 x 4 px, its mask the shape (2, 4)"),
        ({"image": IMAGE, "mask": torch.zeros(3, 4, 4)}, "The mask of 'a' has the shape (3, 4, 4)"),
    ],
)
def test_samples_of_another_form_are_refused_in_one_line(sample: dict[str, Any], found: str):
    with pytest.raises(DataError, match=re.escape(found)) as caught:
        form_of(sample, "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "other",
    [
        {"image": IMAGE[:1], "mask": MASK},
        {"image": IMAGE, "label": torch.tensor(1)},
        {"image": torch.stack([IMAGE, IMAGE]), "mask": MASK},
    ],
)
def test_all_samples_have_one_form(other: dict[str, Any]):
    with pytest.raises(DataError, match=r"the first one 2 bands, one date and a mask"):
        reading({"image": IMAGE, "mask": MASK}).item(other, "a", None)


def test_a_pair_has_two_dates():
    with pytest.raises(DataError, match="'a' has 3 dates; expected 2"):
        reading(series(2), steps=2).item(series(3), "a", None)


def test_images_keep_their_values():
    assert image_of({"image": IMAGE.to(torch.uint8), "label": 1}, "a").tolist() == IMAGE.float().tolist()


def test_a_crop_beyond_the_image_is_invalid_there():
    sample = {"image": IMAGE, "mask": MASK}
    item = reading(sample).item(sample, "a", None)
    part = crop(item, 1, 2, 3)
    assert part["id"] == "a@1,2"
    assert torch.equal(part["image"][:, :, :2], IMAGE[:, 1:, 2:].float())
    assert part["valid"].tolist() == [[True, True, False]] * 3
    assert part["mask"][0].tolist() == [2, IGNORE, IGNORE]
    assert (crop(item, 0, 0, 6)["mask"][4:] == IGNORE).all()


def test_classes_may_be_put_together_by_name():
    own = parse_classes({"Forest": 1, "River": 2, "Lake": 3})
    given = parse_classes({"water": ["River", "Lake"], "forest": 1})
    assert [entry.values for entry in own_values(given, own)] == [(2, 3), (1,)]
    with pytest.raises(ConfigError, match=r"no class of this data set 'Rivver'. Did you mean 'River'"):
        own_values(parse_classes({"water": "Rivver", "rest": "Lake"}), own)


def test_negative_values_are_refused():
    with pytest.raises(ConfigError, match="Label values are at least 0; found -1"):
        reading({"image": IMAGE, "mask": MASK}, ignore=[-1])
