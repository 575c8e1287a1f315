"""Which scenes there are, which label belongs to which, and that they fit together.

Only file headers are read here.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from eoseg.datasets.config import SceneSource, as_list
from eoseg.datasets.pairing import SceneFiles, find_scenes, name_scenes, pair_labels, some_of
from eoseg.datasets.patterns import Match, find_files
from eoseg.errors import BandError, ConfigError, DataError, unknown_name
from eoseg.geo.dates import day_of_year
from eoseg.geo.grid import Grid
from eoseg.geo.labels import RasterLabels, is_vector
from eoseg.geo.scene import Scene
from eoseg.geo.values import ValueLabels
from eoseg.recipe import Schema

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SceneEntry:
    """One scene and its label."""

    id: str
    image: str
    """Path of the image; of the earliest, where there are several dates."""
    label: str | None
    """Path of the label raster; None where polygons apply to all scenes, or there are no labels."""
    grid: Grid
    block_shape: tuple[int, int]
    """Height and width of the image file's storage blocks."""
    later: tuple[str, ...] = ()
    """Paths of the images of later dates, in their order."""
    dates: tuple[date, ...] = ()
    """The date of each image, where they are known."""

    @property
    def images(self) -> tuple[str, ...]:
        """Paths of all images, earliest first."""
        return (self.image, *self.later)

    @property
    def days(self) -> tuple[int, ...]:
        """Day of the year of each date, where they are known."""
        return tuple(day_of_year(day) for day in self.dates)


@dataclass(frozen=True)
class SceneIndex:
    """All scenes of a configuration, by id, on headers alone."""

    source: SceneSource
    schema: Schema
    entries: dict[str, SceneEntry]
    """Scenes by their id, sorted by id."""
    vectors: tuple[str, ...]
    """Vector label files, which apply to every scene."""
    dtype: str
    nodata: float | None
    """Nodata value in force: the configuration's, else the files' own."""

    @property
    def is_labelled(self) -> bool:
        """Whether there are labels; without them, every usable pixel counts as of one class."""
        return self.source.labels is not None

    @property
    def label_names(self) -> list[str]:
        """What pixels are counted by: the names of the classes, or that of the quantity."""
        quantity = self.schema.quantity
        if not self.is_labelled:
            return ["valid pixels"]
        return self.schema.class_names if quantity is None else [quantity.name]

    def entry(self, scene_id: str) -> SceneEntry:
        """A scene by its id.

        Raises:
            DataError: There is none.
        """
        if scene_id not in self.entries:
            raise DataError(unknown_name("scene", scene_id, self.entries))
        return self.entries[scene_id]


@dataclass(frozen=True, slots=True)
class _Header:
    grid: Grid
    bands: tuple[str, ...]
    all_bands: tuple[str, ...]
    has_band_names: bool
    dtype: str
    nodata: float | None
    """The file's own."""
    block_shape: tuple[int, int]


def load_index(source: SceneSource) -> SceneIndex:
    """Find, pair and check the scenes of a configuration.

    Raises:
        DataError: Images or labels are missing, unpaired, doubled or unlike each other; dates are missing or
            in the wrong order; vector labels meet a scene without CRS.
        GridError: An image and its label, or two dates of a scene, are on different grids.
        ConfigError: An option has no effect on these files.
    """
    scenes = find_scenes(source)
    labels = [] if source.labels is None else find_files(as_list(source.labels), source.root, option="labels")
    vectors = tuple(match.path for match in labels if is_vector(match.path))
    pairs: list[tuple[SceneFiles, Match | None]] = [(scene, None) for scene in scenes]
    if source.labels is not None:
        _check_label_options(source, vectors, labels)
    if labels and not vectors:
        pairs = list(pair_labels(scenes, labels))
    headers = {path: _read_header(path, source) for scene, _ in pairs for path in scene.paths}
    _require_alike(headers)
    entries: dict[str, SceneEntry] = {}
    unplaced: list[str] = []
    for (scene, label), name in zip(pairs, name_scenes([scene for scene, _ in pairs]), strict=True):
        image, *later = scene.paths
        header = headers[image]
        for path in later:
            header.grid.require_same(headers[path].grid, this=image, that=path)
        if label is not None and _check_label(header.grid, image, label.path, source):
            unplaced.append(label.path)
        label_path = label.path if label is not None else None
        entries[name] = SceneEntry(
            name, image, label_path, header.grid, header.block_shape, tuple(later), scene.dates
        )
    _notice_missing_crs(list(entries.values()), vectors)
    if unplaced:
        _log.warning(
            "%d labels have no CRS although their images have one (first: '%s'): being of one size, they are "
            "paired pixel by pixel.",
            len(unplaced),
            unplaced[0],
        )
    first = next(iter(headers.values()))
    return SceneIndex(
        source=source,
        schema=_schema(source, first, steps=len(scenes[0].paths)),
        entries=dict(sorted(entries.items())),
        vectors=vectors,
        dtype=first.dtype,
        nodata=source.nodata if source.nodata is not None else first.nodata,
    )


def _check_label_options(source: SceneSource, vectors: Sequence[str], labels: Sequence[Match]) -> None:
    if vectors and len(vectors) != len(labels):
        raster = next(match.path for match in labels if match.path not in vectors)
        raise DataError(
            f"'labels' mixes vectors ('{vectors[0]}') and rasters ('{raster}'). Give one kind: rasters pair "
            "with images by name, vectors apply to all."
        )
    if vectors and source.quantity is not None:
        raise ConfigError(
            f"quantity: {source.quantity} needs label rasters of numbers, but the labels are vectors "
            f"('{vectors[0]}'). Burn them into rasters (gdal_rasterize -a), or name classes."
        )
    if vectors and source.label_encoding != "values":
        raise ConfigError(
            "label_encoding: colors is for label rasters, but the labels are vectors. Leave it out."
        )
    if not vectors and source.attribute is not None:
        raise ConfigError(
            f"attribute: {source.attribute} is for vector labels, but the labels are rasters. Leave it out."
        )


def _read_header(path: str, source: SceneSource) -> _Header:
    with Scene(path, bands=source.bands, band_names=source.band_names) as scene:
        return _Header(
            scene.grid,
            tuple(scene.bands),
            tuple(scene.all_bands),
            scene.has_band_names,
            scene.dtype,
            scene.nodata,
            scene.block_shape,
        )


def _require_alike(headers: dict[str, _Header]) -> None:
    (first_path, first), *others = headers.items()
    for path, header in others:
        for what, ours, theirs, remedy in (
            (
                "bands",
                first.all_bands,
                header.all_bands,
                "Write the same bands into both (rio stack, gdal_translate)",
            ),
            ("data type", first.dtype, header.dtype, "Convert one to the other's type (rio convert --dtype)"),
            (
                "nodata value",
                first.nodata,
                header.nodata,
                "Declare the same (rio edit-info --nodata) in both",
            ),
        ):
            if ours != theirs and not (ours != ours and theirs != theirs):  # NaN equals NaN here
                raise BandError(
                    f"All scenes must have the same {what}: '{first_path}' has {_said(ours)}, '{path}' has "
                    f"{_said(theirs)}. {remedy}."
                )


def _said(value: object) -> str:
    return f"{len(value)} ({', '.join(value)})" if isinstance(value, tuple) else str(value)


def open_raster_labels(path: str, source: SceneSource) -> RasterLabels | ValueLabels:
    """Open a label raster: of numbers where the configuration names a quantity, else of classes."""
    if source.quantity is not None:
        return ValueLabels(path, ignore=source.ignore)
    return RasterLabels(
        path, classes=source.map_classes, encoding=source.label_encoding, ignore=source.ignore
    )


def _check_label(grid: Grid, image: str, label: str, source: SceneSource) -> bool:
    """Refuse a label on another grid; True where it has no CRS and only its size fits.

    Many sets ship PNG labels beside GeoTIFF images: there, equal sizes are all one can check.
    """
    labels = open_raster_labels(label, source)
    labels.close()
    same_size = (labels.grid.height, labels.grid.width) == (grid.height, grid.width)
    if same_size and grid.is_georeferenced and not labels.grid.is_georeferenced:
        return True
    grid.require_same(labels.grid, this=image, that=label)
    return False


def _notice_missing_crs(entries: list[SceneEntry], vectors: Sequence[str]) -> None:
    without = [entry.image for entry in entries if not entry.grid.is_georeferenced]
    if not without:
        return
    if vectors:
        raise DataError(
            f"{len(without)} scenes have no CRS, so the polygons of '{vectors[0]}' cannot be laid over them: "
            f"{some_of(without)}. Give them one (rio edit-info --crs), or use raster labels."
        )
    _log.warning(
        "%d of %d scenes have no CRS (first: '%s'): they are paired pixel by pixel, and maps made of them "
        "will have none.",
        len(without),
        len(entries),
        without[0],
    )


def _schema(source: SceneSource, header: _Header, *, steps: int) -> Schema:
    return Schema(
        bands=header.bands,
        classes=source.map_classes,
        file_bands=header.all_bands,
        bands_named_by_config=source.band_names is not None and not header.has_band_names,
        nodata=source.nodata if header.nodata is None else None,
        pixel_size=header.grid.pixel_size if header.grid.is_georeferenced else None,
        pixel_metres=header.grid.pixel_metres,
        time=source.time,
        steps=steps,
        quantity=source.label_quantity,
    )
