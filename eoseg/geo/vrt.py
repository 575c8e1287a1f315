"""GDAL's virtual rasters (VRT): a text that says which pixels of which files make up one raster.

See https://gdal.org/en/stable/drivers/raster/vrt.html. Nothing is copied: what is read from the VRT is read
from the files in that moment, so that a VRT is a scene like any other, for windows of any size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rasterio.enums import MaskFlags

from eoseg.errors import DataError
from eoseg.geo.grid import Grid
from eoseg.geo.remote import gdal_path, shown
from eoseg.geo.scene import grid_of, open_dataset, own_bands

_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}


@dataclass(frozen=True, slots=True)
class RasterBand:
    """One band of a file."""

    number: int
    """In the file, from 1."""
    name: str
    dtype: str
    nodata: float | None
    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class Raster:
    """What a file says of itself."""

    path: str
    """The file, for messages."""
    source: str
    """The file as it stands in a VRT, or the text of a VRT that says of it what it does not say itself."""
    grid: Grid
    bands: tuple[RasterBand, ...]
    has_mask: bool
    """Whether an alpha band or a mask says which pixels are valid."""
    block_shape: tuple[int, int]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the bands."""
        return tuple(band.name for band in self.bands)


@dataclass(frozen=True, slots=True)
class Part:
    """Where one band of a file lies in a VRT."""

    raster: Raster
    band: int | str
    """Its number in the file, from 1, or "mask,1"."""
    col: float
    row: float
    width: float
    """In pixels of the VRT; other than that of the file where it is resampled."""
    height: float
    nodata: float | None = None
    """Value that lets earlier parts show through."""
    uses_mask: bool = False
    """Whether the file's mask lets earlier parts show through."""
    resampling: str = "nearest"


@dataclass(frozen=True, slots=True)
class VrtBand:
    """One band of a VRT; later parts lie over earlier ones."""

    source: RasterBand
    """Name, type, scale and offset are those of this band."""
    nodata: float | None
    parts: tuple[Part, ...]
    mask: tuple[Part, ...] = ()
    """Where it is valid: parts of masks. None where the nodata value says so."""


def describe_raster(path: str, *, nodata: float | None = None) -> Raster:
    """Open a raster and note what it says of itself.

    Args:
        path: The file.
        nodata: Nodata value instead of the file's own.

    Raises:
        DataError: It cannot be read, or holds complex numbers.
        GridError: Its pixels have no area.
    """
    with open_dataset(path) as dataset:
        bands = tuple(
            RasterBand(
                number,
                name,
                dataset.dtypes[number - 1],
                dataset.nodatavals[number - 1] if nodata is None else nodata,
                dataset.scales[number - 1],
                dataset.offsets[number - 1],
            )
            for number, name in own_bands(dataset).items()
        )
        if not bands or not all(band.dtype in _TYPES for band in bands):
            raise DataError(f"'{shown(path)}' holds no real numbers beside alpha; expected an image.")
        flags = dataset.mask_flag_enums[bands[0].number - 1]
        has_mask = MaskFlags.per_dataset in flags and MaskFlags.nodata not in flags
        alpha = [n for n in range(1, dataset.count + 1) if n not in own_bands(dataset)]
        raster = Raster(
            path, gdal_path(path), grid_of(dataset, path=path), bands, has_mask, dataset.block_shapes[0]
        )
    # GDAL takes alpha for a mask beside one or three bands alone.
    if nodata is not None or (alpha and not has_mask and bands[0].nodata is None):
        return _declared(raster, alpha)
    return raster


def _declared(raster: Raster, alpha: Sequence[int]) -> Raster:
    """A raster in a VRT of its own, which declares the nodata values, or a mask made of the alpha band."""
    grid = raster.grid

    def part(band: int) -> Part:
        return Part(raster, band, col=0, row=0, width=grid.width, height=grid.height)

    mask = tuple(part(number) for number in alpha) if raster.bands[0].nodata is None else ()
    layers = [VrtBand(band, band.nodata, (part(band.number),), mask) for band in raster.bands]
    bands = tuple(replace(band, number=place) for place, band in enumerate(raster.bands, start=1))
    return replace(raster, source=vrt_text(grid, layers), bands=bands, has_mask=bool(mask))


def vrt_text(grid: Grid, bands: Sequence[VrtBand]) -> str:
    """Write a VRT.

    Args:
        grid: Its grid.
        bands: Its bands.
    """
    root = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        # x before y, as in the transform, whatever the order of axes of the CRS
        SubElement(root, "SRS", dataAxisToSRSAxisMapping=_axes(grid)).text = grid.crs.to_wkt()
        a, b, c, d, e, f = grid.transform[:6]
        SubElement(root, "GeoTransform").text = ", ".join(map(repr, (c, a, b, f, d, e)))
    for number, band in enumerate(bands, start=1):
        element = SubElement(root, "VRTRasterBand", dataType=_TYPES[band.source.dtype], band=str(number))
        SubElement(element, "Description").text = band.source.name
        if band.nodata is not None:
            SubElement(element, "NoDataValue").text = repr(band.nodata)
        SubElement(element, "Offset").text = repr(band.source.offset)
        SubElement(element, "Scale").text = repr(band.source.scale)
        for part in band.parts:
            element.append(_source(part))
        if band.mask:
            inner = SubElement(SubElement(element, "MaskBand"), "VRTRasterBand", dataType="Byte")
            for part in band.mask:
                inner.append(_source(part))
    return ElementTree.tostring(root, encoding="unicode")


def write_vrt(text: str, path: Path) -> Path:
    """Write the text of a VRT to a file, which then is a scene.

    Returns:
        The path.
    """
    path.write_text(text, encoding="utf-8")
    return path


def _axes(grid: Grid) -> str:
    """Which axis of the CRS is x and which is y, as GDAL has it: geographic ones begin with y."""
    return "2,1" if grid.crs is not None and grid.crs.is_geographic else "1,2"


def _source(part: Part) -> Element:
    plain = part.nodata is None and not part.uses_mask
    source = Element("SimpleSource" if plain else "ComplexSource", resampling=part.resampling)
    SubElement(source, "SourceFilename", relativeToVRT="0").text = part.raster.source
    SubElement(source, "SourceBand").text = str(part.band)
    height, width = part.raster.grid.height, part.raster.grid.width
    SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=str(width), ySize=str(height))
    place = {"xOff": part.col, "yOff": part.row, "xSize": part.width, "ySize": part.height}
    SubElement(source, "DstRect", {name: repr(value) for name, value in place.items()})
    if part.uses_mask:
        SubElement(source, "UseMaskBand").text = "true"
    if part.nodata is not None:
        SubElement(source, "NODATA").text = repr(part.nodata)
    return source
