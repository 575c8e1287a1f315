"""Which scenes there are, which label belongs to which, and that they fit together.

Only file headers are read here.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from eoseg.datasets.config import SceneSource, as_list
from eoseg.datasets.patterns import Match, find_files
from eoseg.errors import BandError, ConfigError, DataError, unknown_name
from eoseg.geo.grid import Grid
from eoseg.geo.labels import RasterLabels, is_vector
from eoseg.geo.scene import Scene
from eoseg.recipe import Schema

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SceneEntry:
    """One scene and its label."""

    id: str
    image: str
    label: str | None
    """Path of the label raster; None where polygons apply to all scenes."""
    grid: Grid
    block_shape: tuple[int, int]
    """Height and width of the image file's storage blocks."""


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
        DataError: Images or labels are missing, unpaired, doubled or unlike each other; vector labels
            meet a scene without CRS.
        GridError: An image and its label are on different grids.
        ConfigError: An option has no effect on these files.
    """
    images = find_files(as_list(source.images), source.root, option="images")
    labels = find_files(as_list(source.labels), source.root, option="labels")
    vectors = tuple(match.path for match in labels if is_vector(match.path))
    _check_label_options(source, vectors, labels)
    pairs = [(image, None) for image in images] if vectors else _pair(images, labels)
    headers = {image.path: _read_header(image.path, source) for image, _ in pairs}
    _require_alike(headers)
    entries: dict[str, SceneEntry] = {}
    unplaced: list[str] = []
    for (image, label), name in zip(pairs, _ids([image for image, _ in pairs]), strict=True):
        header = headers[image.path]
        if label is not None and _check_label(header.grid, image.path, label.path, source):
            unplaced.append(label.path)
        label_path = label.path if label is not None else None
        entries[name] = SceneEntry(name, image.path, label_path, header.grid, header.block_shape)
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
        schema=_schema(source, first),
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
    if vectors and source.label_encoding != "values":
        raise ConfigError(
            "label_encoding: colors is for label rasters, but the labels are vectors. Leave it out."
        )
    if not vectors and source.attribute is not None:
        raise ConfigError(
            f"attribute: {source.attribute} is for vector labels, but the labels are rasters. Leave it out."
        )


def _pair(images: list[Match], labels: list[Match]) -> list[tuple[Match, Match | None]]:
    """Pair by what the wildcards matched; every misfit goes into one message."""
    if len(images) == len(labels) == 1:
        return [(images[0], labels[0])]
    images_by, labels_by = _by_key(images), _by_key(labels)
    doubled = any(len(held) > 1 for held in (*images_by.values(), *labels_by.values()))
    if doubled and _pattern_count(images) == _pattern_count(labels) > 1:
        # "train/*.tif" and "test/*.tif" may hold the same names: then the first pattern of the
        # images goes with the first of the labels, and so on.
        images_by, labels_by = _by_key(images, with_pattern=True), _by_key(labels, with_pattern=True)
    misfits = [
        *(_doubled("images", held, "label") for held in images_by.values() if len(held) > 1),
        *(_doubled("labels", held, "image") for held in labels_by.values() if len(held) > 1),
    ]
    for what, have, other in (
        ("images without label", images_by, labels_by),
        ("labels without image", labels_by, images_by),
    ):
        alone = [held[0].path for key, held in have.items() if key not in other]
        if alone:
            misfits.append(f"{len(alone)} {what}: {_some(alone)}")
    if misfits:
        raise DataError(
            f"Images and labels do not pair up: {'; '.join(misfits)}. What the wildcards of 'images' and of "
            "'labels' match must be the same text for an image and its label; correct the patterns or files."
        )
    return [(held[0], labels_by[key][0]) for key, held in images_by.items()]


def _by_key(matches: list[Match], *, with_pattern: bool = False) -> dict[tuple[str, ...], list[Match]]:
    held: dict[tuple[str, ...], list[Match]] = defaultdict(list)
    for match in matches:
        held[(str(match.pattern), *match.key) if with_pattern else match.key].append(match)
    return dict(held)


def _pattern_count(matches: list[Match]) -> int:
    return max(match.pattern for match in matches) + 1


def _doubled(what: str, held: list[Match], partner: str) -> str:
    return f"{len(held)} {what} for one {partner}: {_some([match.path for match in held])}"


def _some(paths: list[str], most: int = 4) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(f"'{path}'" for path in paths[:most]) + more


def _ids(images: list[Match]) -> list[str]:
    """The shortest kind of id that tells all scenes apart."""
    for names in ([image.id for image in images], [image.full_id for image in images]):
        if len(set(names)) == len(names):
            return names
    return [image.path for image in images]


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


def _check_label(grid: Grid, image: str, label: str, source: SceneSource) -> bool:
    """Refuse a label on another grid; True where it has no CRS and only its size fits.

    Many sets ship PNG labels beside GeoTIFF images: there, equal sizes are all one can check.
    """
    labels = RasterLabels(
        label, classes=source.map_classes, encoding=source.label_encoding, ignore=source.ignore
    )
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
            f"{_some(without)}. Give them one (rio edit-info --crs), or use raster labels."
        )
    _log.warning(
        "%d of %d scenes have no CRS (first: '%s'): they are paired pixel by pixel, and maps made of them "
        "will have none.",
        len(without),
        len(entries),
        without[0],
    )


def _schema(source: SceneSource, header: _Header) -> Schema:
    return Schema(
        bands=header.bands,
        classes=source.map_classes,
        file_bands=header.all_bands,
        bands_named_by_config=source.band_names is not None and not header.has_band_names,
        nodata=source.nodata if header.nodata is None else None,
        pixel_size=header.grid.pixel_size if header.grid.is_georeferenced else None,
    )
