"""Where a grid lies on the globe, as GeoJSON has it (RFC 7946): longitudes and latitudes of WGS 84."""

from dataclasses import dataclass
from typing import Any

import shapely
from rasterio._err import CPLE_BaseError  # raised by rasterio.warp.transform and by nothing public
from rasterio.errors import RasterioError
from rasterio.warp import transform
from shapely.geometry import mapping

from eoseg.geo.footprints import outline
from eoseg.geo.grid import Grid

_STEPS = 32  # points along each side, because straight lines bend
_DECIMALS = 7  # of a degree: a centimetre
_BEYOND_POLES = 95.0  # degrees: global grids often have the middle of a pixel at a pole
_LARGEST_JUMP = 180.0  # degrees between two neighbours, unless the antimeridian lies between them


@dataclass(frozen=True, slots=True)
class Footprint:
    """A grid's outline on the globe."""

    geometry: dict[str, Any]
    """A GeoJSON geometry: a Polygon, or a MultiPolygon where the antimeridian cuts it."""
    bbox: list[float]
    """West, south, east, north; west is larger than east where the antimeridian lies between them."""


def footprint(grid: Grid) -> Footprint | None:
    """The outline of a grid; None where nobody can say where it lies."""
    if grid.crs is None:
        return None
    xs, ys = zip(*outline(grid, steps=_STEPS), strict=True)
    try:
        longitudes, latitudes, *_ = transform(grid.crs, "EPSG:4326", xs, ys)
    except (RasterioError, CPLE_BaseError):
        return None  # a CRS of no place on Earth
    pairs = zip(longitudes, latitudes, strict=True)
    ring = [
        (round(lon, _DECIMALS), min(90.0, max(-90.0, round(lat, _DECIMALS))))
        for lon, lat in pairs
        if abs(lon) <= 540 and abs(lat) <= _BEYOND_POLES
    ]
    if len(ring) < len(xs):
        return None  # beyond what the projection can show
    ring = _unwrapped(ring)
    around = ring[-1][0] - ring[0][0]
    if abs(around) > _LARGEST_JUMP:  # it went around a pole
        ring = ring[:-1]
        pole = 90.0 if sum(lat for _, lat in ring) > 0 else -90.0
        start, end = ring[0], (ring[0][0] + (360.0 if around > 0 else -360.0), ring[0][1])
        ring += [end, (end[0], pole), (start[0], pole)]
    return _footprint(shapely.make_valid(shapely.Polygon(ring)))


def _unwrapped(ring: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A closed ring whose longitudes go on beyond 180 degrees instead of starting anew."""
    found = [ring[0]]
    for lon, lat in [*ring[1:], ring[0]]:
        turns = round((found[-1][0] - lon) / 360)
        found.append((lon + 360 * turns, lat))
    return found


def _footprint(shape: shapely.Geometry) -> Footprint | None:
    if not shape.area:
        return None
    west, south, east, north = shape.bounds
    first = int((west + 180) // 360)
    last = int(-(-(east - 180) // 360))
    pieces = []
    for turn in range(first, last + 1):
        part = shapely.intersection(shape, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        moved = shapely.transform(part, lambda points, turn=turn: points - (360 * turn, 0))
        pieces += [piece for piece in shapely.get_parts(moved) if piece.geom_type == "Polygon" and piece.area]
    whole = shapely.orient_polygons(shapely.union_all(pieces), exterior_cw=False)
    if east - west >= 360:
        west, east = -180.0, 180.0
    bounds = [_within(west, low=True), south, _within(east, low=False), north]
    return Footprint(_rounded(mapping(whole)), [round(value, _DECIMALS) for value in bounds])


def _within(longitude: float, *, low: bool) -> float:
    """A longitude from -180 to 180; of the antimeridian the end that a western or an eastern limit has."""
    found = (longitude + 180) % 360 - 180
    return 180.0 if found == -180 and not low else found


def _rounded(geometry: dict[str, Any]) -> dict[str, Any]:
    def rounded(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [rounded(item) for item in value]
        return round(value, _DECIMALS)

    return {"type": geometry["type"], "coordinates": rounded(geometry["coordinates"])}
