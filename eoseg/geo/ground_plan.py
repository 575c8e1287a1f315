"""Where parts of scenes lie on one common plane in metres, whatever their CRS: overlaps and distances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from eoseg.geo.footprints import outline
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window

_SHRINK = 0.25
"""Of a pixel, taken off each side of a footprint: what still overlaps shares more than half a pixel."""

_SEGMENT_M = 1000.0
"""Length of the pieces of a footprint's side that are taken for straight in another CRS: they bend by 2
cm."""

_MOST_STEPS = 200

_APART_PX = 1e7
"""Between scenes without CRS, of which nobody knows where they lie."""

_MOST_AREAS = 50_000
"""Pairs of footprints whose common area is computed."""

_WEB_MERCATOR = 3857

type Ring = tuple[tuple[float, float], ...]
"""Corners of a polygon, the first one repeated at the end."""


@dataclass(frozen=True, slots=True)
class SharedGround:
    """Ground that two footprints cover."""

    first: int
    """Place of a footprint among those of the plan."""
    second: int
    area: float
    """In square units of the plan."""
    share: float
    """Of the smaller footprint, 0 to 1."""
    shape: shapely.Geometry
    """On the plan."""


@dataclass(frozen=True, slots=True)
class GroundPart:
    """A part of a scene."""

    scene: str
    grid: Grid
    """Of the whole scene."""
    window: Window
    """In the scene's pixels."""


@dataclass(frozen=True, eq=False)
class GroundPlan:
    """Footprints on one plane.

    Where scenes have a CRS, the plane is that CRS if all share one that counts in metres, else an azimuthal
    equal-area projection around their middle; scenes without one are left out. Where none has, coordinates
    are
    pixels and scenes lie too far apart to have anything to do with each other.
    """

    parts: tuple[GroundPart, ...]
    """Those on the plan."""
    places: NDArray[np.int64]
    """Their places among the parts that were given, `(n,)`."""
    shapes: NDArray[np.object_]
    """Outlines, `(n,)` polygons."""
    pixels: NDArray[np.float64]
    """Side of a pixel in units of the plan, `(n,)`."""
    crs: CRS | None
    offsets: NDArray[np.float64]
    """What is added to x, `(n,)`; 0 where there is a CRS."""

    @property
    def unit(self) -> str:
        """Of the coordinates: m or px."""
        return "px" if self.crs is None else "m"

    @property
    def areas(self) -> NDArray[np.float64]:
        """Of the footprints, `(n,)`, in square units of the plan."""
        return np.asarray(shapely.area(self.shapes))

    def ring(self, number: int) -> Ring:
        """The outline of a footprint."""
        return rings_of(self.shapes[number])[0]

    def bring(self, number: int, shape: shapely.Geometry) -> shapely.Geometry:
        """Bring a shape from the CRS of a part's scene onto the plan."""
        if self.crs is None:
            return shape
        crs = self.parts[number].grid.crs
        return shapely.transform(shape, lambda xy: moved_points(xy, crs, self.crs))

    def locate(
        self, number: int, rows: NDArray[np.float64], cols: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Coordinates `(n, 2)` of places in the scene of a part, given as rows and columns `(n,)`."""
        grid = self.parts[number].grid
        if self.crs is None:
            return np.stack([cols + self.offsets[number], -rows], axis=1)
        return moved_points(_apply(grid.transform, np.stack([cols, rows], axis=1)), grid.crs, self.crs)

    def window(self, number: int, shape: shapely.Geometry) -> Window | None:
        """The pixels of a part, counted in its scene, that a shape on the plan touches; None without any."""
        part = self.parts[number]
        grid = part.grid
        xy = shapely.get_coordinates(shape)
        if not len(xy):
            return None
        if self.crs is None:
            cols, rows = xy[:, 0] - self.offsets[number], -xy[:, 1]
        else:
            cols, rows = _apply(~grid.transform, moved_points(xy, self.crs, grid.crs)).T
        slack = 0.1  # of a pixel: a border that is shared is not touched
        top, left = math.floor(rows.min() + slack), math.floor(cols.min() + slack)
        bottom, right = math.ceil(rows.max() - slack), math.ceil(cols.max() - slack)
        if bottom <= top or right <= left:
            return None
        return Window.from_stops(top, left, bottom, right).intersection(part.window)

    def shared(self, groups: NDArray[np.int64]) -> tuple[list[SharedGround], int]:
        """Footprints of different groups that cover the same ground, by more than half a pixel.

        Args:
            groups: A number for each footprint, `(n,)`.

        Returns:
            The pairs, the largest area first, and how many there are: of very many pairs not all are
            measured.
        """
        if len(self.shapes) < 2:
            return [], 0
        cores = shapely.buffer(self.shapes, -_SHRINK * self.pixels, join_style="mitre")
        first, second = shapely.STRtree(cores).query(cores, predicate="intersects")
        chosen = (first < second) & (groups[first] != groups[second])
        first, second = first[chosen], second[chosen]
        measured = slice(0, _MOST_AREAS)
        common = shapely.intersection(self.shapes[first[measured]], self.shapes[second[measured]])
        areas, whole = shapely.area(common), shapely.area(self.shapes)
        smaller = np.minimum(whole[first[measured]], whole[second[measured]])
        found = [
            SharedGround(int(one), int(other), float(area), float(area / least), shape)
            for one, other, area, least, shape in zip(
                first[measured], second[measured], areas, smaller, common, strict=True
            )
        ]
        return sorted(found, key=lambda entry: -entry.area), len(first)

    def distances(self, points: NDArray[np.float64], to: NDArray[np.int64]) -> NDArray[np.float64]:
        """How far points `(n, 2)` lie from the nearest of some footprints, `(n,)`; infinite where unknown."""
        if not len(to):
            return np.full(len(points), np.inf)
        tree = shapely.STRtree(self.shapes[to])
        (sources, _), far = tree.query_nearest(
            shapely.points(points), return_distance=True, all_matches=False
        )
        found = np.full(len(points), np.inf)
        found[sources] = far
        if self.crs is None:
            found[found > _APART_PX / 10] = np.inf
        return found


def common_area(shared: Sequence[SharedGround]) -> float:
    """Area of ground that is shared, each place counted once."""
    return float(shapely.area(shapely.union_all([entry.shape for entry in shared])))


def rings_of(shape: shapely.Geometry) -> list[Ring]:
    """Outer rings of the polygons of a shape, to the hundredth."""
    parts = [part for part in shapely.get_parts(shape) if isinstance(part, shapely.Polygon)]
    return [
        tuple((round(float(x), 2), round(float(y), 2)) for x, y in part.exterior.coords)
        for part in parts
        if not part.is_empty
    ]


def plan_ground(parts: Sequence[GroundPart]) -> GroundPlan:
    """Lay parts of scenes out on one plane."""
    placed = [number for number, part in enumerate(parts) if part.grid.crs is not None]
    if not placed:
        return _plan_of_pixels(parts)
    held = tuple(parts[number] for number in placed)
    grids = [part.grid.crop(part.window) for part in held]
    target = _plane_of(grids)
    shapes = np.empty(len(held), object)
    by_crs: dict[CRS, list[int]] = {}
    for number, grid in enumerate(grids):
        assert grid.crs is not None  # chosen above
        by_crs.setdefault(grid.crs, []).append(number)
    for crs, numbers in by_crs.items():
        rings = [np.array(outline(grids[n], steps=1 if crs == target else _steps(grids[n]))) for n in numbers]
        moved = moved_points(np.concatenate(rings), crs, target)
        split = np.split(moved, np.cumsum([len(ring) for ring in rings])[:-1])
        for number, ring in zip(numbers, split, strict=True):
            shapes[number] = shapely.Polygon(ring)
    pixels = np.array([grid.pixel_metres or 1.0 for grid in grids])
    return GroundPlan(held, np.array(placed), shapes, pixels, target, np.zeros(len(held)))


def _plan_of_pixels(parts: Sequence[GroundPart]) -> GroundPlan:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(part.scene for part in parts))}
    offsets = np.array([_APART_PX * numbers[part.scene] for part in parts])
    shapes = np.empty(len(parts), object)
    for number, (part, offset) in enumerate(zip(parts, offsets.tolist(), strict=True)):
        area = part.window
        shapes[number] = shapely.box(area.col + offset, -area.row_stop, area.col_stop + offset, -area.row)
    count = len(parts)
    return GroundPlan(tuple(parts), np.arange(count), shapes, np.ones(count), None, offsets)


def _plane_of(grids: Sequence[Grid]) -> CRS:
    first = grids[0].crs
    assert first is not None
    is_metric = first.is_projected and first.linear_units_factor[1] == 1
    if is_metric and all(grid.crs == first for grid in grids) and first.to_epsg() != _WEB_MERCATOR:
        return first
    wgs84 = CRS.from_epsg(4326)
    middles = np.concatenate([moved_points(np.array([_middle(grid)]), grid.crs, wgs84) for grid in grids])
    lon, lat = np.radians(middles).T
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)  # no seam at 180 degrees
    east = math.degrees(math.atan2(y.mean(), x.mean()))
    north = math.degrees(math.atan2(z.mean(), math.hypot(x.mean(), y.mean())))
    return CRS.from_proj4(f"+proj=laea +lat_0={north:.6f} +lon_0={east:.6f} +datum=WGS84 +units=m +no_defs")


def _middle(grid: Grid) -> tuple[float, float]:
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    return float(x), float(y)


def _steps(grid: Grid) -> int:
    longest = max(grid.height, grid.width) * (grid.pixel_metres or 1.0)
    return int(np.clip(math.ceil(longest / _SEGMENT_M), 4, _MOST_STEPS))


def _apply(matrix: Affine, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = xy.T
    return np.stack([matrix.a * x + matrix.b * y + matrix.c, matrix.d * x + matrix.e * y + matrix.f], axis=1)


def moved_points(xy: NDArray[np.float64], crs: CRS | None, target: CRS | None) -> NDArray[np.float64]:
    """Points `(n, 2)` in another CRS, x east and y north."""
    if crs == target or crs is None or target is None:
        return xy
    return np.stack([np.asarray(v) for v in transform_points(crs, target, *xy.T)], axis=1)


def part_of_box(
    name: str, *, left: float, top: float, height: int, width: int, pixel: tuple[float, float], crs: str
) -> GroundPart:
    """A part from what a catalogue says of a scene, without opening it.

    Args:
        name: Of the scene.
        left: Least x.
        top: Greatest y.
        height: In pixels.
        width: In pixels.
        pixel: Width and height of a pixel in units of the CRS.
        crs: As WKT.
    """
    transform = Affine(pixel[0], 0, left, 0, -pixel[1], top)
    grid = Grid(CRS.from_wkt(crs), transform, height, width)
    return GroundPart(name, grid, grid.window)
