"""Where a map depends on its tiles, drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eoseg.figures.charts import CHART_DPI, new_chart, render
from eoseg.figures.pictures import Rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = ("the map", "from tiles half a tile further", "pixels that differ")
_LEAST_INCHES = 2.4
_HEADING_INCHES = 0.35


@dataclass(frozen=True, slots=True)
class SeamPicture:
    """A part of a map, computed twice."""

    row: int
    """First row of the scene that is seen."""
    col: int
    """First column of the scene that is seen."""
    images: tuple[Rgb, Rgb, Rgb]
    """The map, what other tiles give, and where the two differ; all of one size."""
    borders: tuple[Sequence[int], Sequence[int]]
    """Rows and columns of the pictures at which tiles of the map begin."""
    other_borders: tuple[Sequence[int], Sequence[int]]
    """Rows and columns at which the other tiles begin."""
    caption: str


def seam_image(pictures: Sequence[SeamPicture]) -> Rgb:
    """Draw parts of a map below each other: the map, what other tiles give, and where the two differ.

    Borders of the map's tiles are drawn through, those of the others dashed. A pixel is at least one pixel
    of the picture.
    """
    sizes = [picture.images[0].shape for picture in pictures]
    width = max(_LEAST_INCHES, *(size[1] / CHART_DPI for size in sizes))
    heights = [max(_LEAST_INCHES, size[0] / size[1] * width) + _HEADING_INCHES for size in sizes]
    figure, axes = new_chart(3 * (width + 0.5), sum(heights))
    axes.remove()
    places = figure.subplots(len(pictures), 3, squeeze=False, height_ratios=heights)
    for picture, row in zip(pictures, places, strict=True):
        for number, (place, image) in enumerate(zip(row, picture.images, strict=True)):
            _draw(place, picture, image)
            title = f"{_TITLES[number]}: {picture.caption}" if number == 2 else _TITLES[number]
            place.set_title(title, fontsize=8, loc="left")
            shown = {0: (True, False), 1: (False, True), 2: (True, True)}[number]
            _mark(place, picture, own=shown[0], other=shown[1])
    return render(figure)


def _draw(place: "Axes", picture: SeamPicture, image: Rgb) -> None:
    height, width = image.shape[:2]
    edges = (picture.col, picture.col + width, picture.row + height, picture.row)
    place.imshow(image, interpolation="nearest", extent=edges)
    place.tick_params(labelsize=6)


def _mark(place: "Axes", picture: SeamPicture, *, own: bool, other: bool) -> None:
    drawn = [(picture.borders, "-", own), (picture.other_borders, "--", other)]
    for (rows, columns), style, is_shown in drawn:
        if is_shown:
            for row in rows:
                place.axhline(picture.row + row, color="black", linestyle=style, linewidth=0.7)
            for column in columns:
                place.axvline(picture.col + column, color="black", linestyle=style, linewidth=0.7)
