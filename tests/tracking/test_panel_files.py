from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from task_worlds import HEIGHT, make_schema, make_statistics
from tracking_fakes import SCHEMA, STATISTICS, FakeData, FakeTask

from eoseg.batch import IGNORE
from eoseg.errors import OutputError
from eoseg.figures import DETECTIONS, NO_LABEL, RIGHT, WRONG
from eoseg.models import Kind
from eoseg.recipe import BandStatistics, Schema
from eoseg.tracking.panel_files import wandb_images, write_panels
from eoseg.tracking.panels import Panel, make_panels

PAIR = make_schema(("unchanged", "changed"), time="pair", steps=2)
GREY = np.full((4, 4, 3), 90, np.uint8)


def write(
    folder: Path, panels: list[Panel], schema: Schema = SCHEMA, kind: Kind = "segmentation", **more
) -> None:
    write_panels(folder, panels, schema, kind=kind, **({"statistics": STATISTICS} | more))


def colors_of(path: Path) -> set[tuple[int, ...]]:
    return {tuple(color) for color in np.asarray(Image.open(path)).reshape(-1, 3).tolist()}


def change_panel() -> Panel:
    classes = np.zeros((4, 4), np.uint8)
    masks = {"truth": classes, "prediction": classes, "error": classes + 3}
    images = {"before": GREY, "after": GREY + 100}
    return Panel("pair@0,0", images, {"truth": GREY, "prediction": GREY, "errors": GREY}, masks)


def test_a_strip_shows_the_four_pictures_side_by_side(tmp_path: Path) -> None:
    write(tmp_path / "panels", make_panels(FakeTask(), FakeData(), "val", 2))
    paths = sorted((tmp_path / "panels").iterdir())
    assert [path.name for path in paths] == [
        "00_val_scene_one_0,0.png",
        "01_val_scene_one_16,0.png",
        "legend.png",
    ]
    strip = np.asarray(Image.open(paths[0]))
    assert strip.shape == (256, 4 * 256 + 3 * 4, 3)

    def pixel(picture: int, row: int, col: int) -> tuple[int, ...]:
        return tuple(strip[row * 16 + 8, picture * 260 + col * 16 + 8].tolist())

    dark, bright = (entry.color for entry in SCHEMA.classes)
    assert [pixel(picture, 12, 3) for picture in range(4)] == [(0, 0, 0), dark, bright, WRONG]
    assert [pixel(picture, 4, 3) for picture in range(4)] == [(0, 0, 0), dark, dark, RIGHT]
    assert [pixel(picture, 0, 12) for picture in range(1, 4)] == [NO_LABEL, dark, NO_LABEL]


def test_the_legend_has_the_colours_of_classes_and_errors(tmp_path: Path) -> None:
    write(tmp_path / "classes", make_panels(FakeTask(), FakeData(), "val", 1))
    expected = {entry.color for entry in SCHEMA.classes} | {RIGHT, WRONG, NO_LABEL}
    assert expected <= colors_of(tmp_path / "classes" / "legend.png")
    write(tmp_path / "change", [change_panel()], PAIR, "change")
    shown = colors_of(tmp_path / "change" / "legend.png")
    assert {entry.color for entry in DETECTIONS} <= shown
    assert np.asarray(Image.open(tmp_path / "change" / "00_pair_0,0.png")).shape[1] == 5 * 256 + 4 * 4


def test_the_legend_of_a_quantity_is_its_scales(tmp_path: Path) -> None:
    target = BandStatistics("height", 20.0, 5.0, 0.0, 10.0, 30.0, 40.0)
    statistics = make_statistics(HEIGHT, class_pixels=(1,), target=target)
    panel = Panel("a@0,0", {"image": GREY}, {"truth": GREY, "estimate": GREY, "error": GREY})
    write(tmp_path, [panel], HEIGHT, statistics=statistics)
    assert {(0x44, 0x01, 0x54), (0xFD, 0xE7, 0x25)} <= colors_of(tmp_path / "legend.png")


def test_classified_chips_come_on_one_sheet(tmp_path: Path) -> None:
    panels = [Panel(f"c@{n},0", {"image": GREY}, answer=("dark", "bright")) for n in range(5)]
    write(tmp_path, panels, kind="classification")
    assert [path.name for path in tmp_path.iterdir()] == ["chips.png"]
    assert {(90, 90, 90), WRONG} <= colors_of(tmp_path / "chips.png")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "panels").write_text("")
    with pytest.raises(OutputError, match="Panels cannot be written"):
        write(tmp_path / "panels", make_panels(FakeTask(), FakeData(), "val", 1))


def test_wandb_masks_are_bytes_with_named_classes() -> None:
    panel = make_panels(FakeTask(), FakeData(), "val", 1)[0]
    (image,) = wandb_images(panel, SCHEMA, "segmentation")
    assert image._caption == panel.caption == f"{panel.id}: lon 7.00000, lat 46.50000"
    assert set(image._masks) == {"prediction", "truth", "error"}
    mask = np.asarray(Image.open(image._masks["truth"]._path))
    assert (mask == panel.masks["truth"]).all()


def test_wandb_has_the_earlier_date_before_the_one_with_masks() -> None:
    before, after = wandb_images(change_panel(), PAIR, "change")
    assert before._caption == "pair@0,0, before"
    assert before._masks is None
    assert np.asarray(Image.open(before._path))[0, 0, 0] == 90
    assert np.asarray(Image.open(after._path))[0, 0, 0] == 190
    names = after._masks["error"]._val["class_labels"]
    assert names == {**{n: entry.name for n, entry in enumerate(DETECTIONS)}, IGNORE: "no label"}


def test_wandb_has_a_quantity_as_one_strip() -> None:
    panel = Panel("a@0,0", {"image": GREY}, {"truth": GREY, "estimate": GREY, "error": GREY})
    (image,) = wandb_images(panel, HEIGHT, "segmentation")
    assert np.asarray(Image.open(image._path)).shape == (256, 4 * 256 + 3 * 4, 3)


def test_wandb_has_the_answer_in_the_caption_of_a_chip() -> None:
    (image,) = wandb_images(Panel("c@0,0", {"image": GREY}, answer=("", "bright")), SCHEMA, "classification")
    assert image._caption == "c@0,0: no label, answer bright"
