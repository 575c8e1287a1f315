"""Image files of one size, read once and kept decoded in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import BandError, DataError
from eoseg.geo.scene import Scene

KEPT_BYTES = 2**30
"""Memory for decoded chips, in each process that reads them: 1 GiB holds 87 000 chips of 64 px in RGB."""


@dataclass(frozen=True)
class ChipHeader:
    """What all chips have in common."""

    height: int
    width: int
    bands: tuple[str, ...]
    all_bands: tuple[str, ...]
    has_band_names: bool
    dtype: str
    nodata: float | None
    """The files' own, or the configuration's."""
    pixel_size: tuple[float, float] | None
    """None where the files have no CRS."""
    pixel_metres: float | None
    """Likewise."""


class ChipStore:
    """Reads whole image files by their place in a list.

    Opening a small file takes far longer than decoding it, and every epoch needs every file: so as many
    chips as fit are kept, in the files' own data type.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        bands: Sequence[str] | None = None,
        band_names: Sequence[str] | None = None,
        nodata: float | None = None,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """Take the files; none is opened yet.

        Args:
            paths: The files.
            bands: Names of the bands to read, in this order; all by default.
            band_names: Names for all bands of files that name none.
            nodata: Value that means "no value", where the files declare none.
            kept_bytes: Memory for decoded chips.
        """
        self.paths = list(paths)
        self._options = {"bands": bands, "band_names": band_names, "nodata": nodata}
        self._kept_bytes = kept_bytes
        self._sizes = np.zeros((len(self.paths), 2), np.int64)

    @cached_property
    def header(self) -> ChipHeader:
        """That of the first file."""
        with self._open(0) as scene:
            return _header(scene)

    @cached_property
    def _values(self) -> NDArray[np.generic]:
        """Decoded chips `(n, C, h, w)`; memory is taken up only by those that were read."""
        header = self.header
        shape = (len(header.bands), header.height, header.width)
        fit = self._kept_bytes // (int(np.prod(shape)) * np.dtype(header.dtype).itemsize)
        return np.zeros((min(fit, len(self.paths)), *shape), header.dtype)

    @cached_property
    def _invalid(self) -> NDArray[np.bool_]:
        return np.zeros((len(self._values), self.header.height, self.header.width), np.bool_)

    @cached_property
    def _kept(self) -> NDArray[np.bool_]:
        return np.zeros(len(self._values), np.bool_)

    def check(self) -> None:
        """Read every file once and keep what fits.

        Raises:
            DataError: A file cannot be read, or has another size than the first.
            BandError: A file has other bands, another data type or another nodata value than the first.
        """
        for place in range(len(self.paths)):
            if place >= len(self._kept) or not self._kept[place]:
                self._load(place)
        self._refuse_sizes()

    def read(self, places: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read chips.

        Returns:
            `image`: float32 `(B, C, h, w)`, 0 where invalid. `valid`: bool `(B, h, w)`.

        Raises:
            DataError: See `check`.
            BandError: See `check`.
        """
        header = self.header
        image = np.zeros((len(places), len(header.bands), header.height, header.width), np.float32)
        valid = np.ones((len(places), header.height, header.width), np.bool_)
        kept = places < len(self._kept)
        kept[kept] = self._kept[places[kept]]
        image[kept], valid[kept] = self._values[places[kept]], ~self._invalid[places[kept]]
        for row in np.flatnonzero(~kept):
            found = self._load(int(places[row]))
            if found is None:
                self._refuse_sizes()
                continue
            image[row], valid[row] = found
        return image, valid

    def _load(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        """Read one file and keep it if it fits; None where it has another size than the first."""
        with self._open(place) as scene:
            _require_alike(self.paths[0], self.header, scene)
            self._sizes[place] = scene.grid.height, scene.grid.width
            if tuple(self._sizes[place]) != (self.header.height, self.header.width):
                return None
            image, valid = scene.read(scene.grid.window)
        if place < len(self._values):
            with np.errstate(invalid="ignore"):  # a scaled value outside the file's type: compared below
                self._values[place] = image.astype(self._values.dtype)
            # Files with a scale do not fit their own type: those are read each time.
            self._kept[place] = bool((self._values[place] == image).all())
            if not valid.all():
                self._invalid[place] = ~valid
        return image, valid

    def _refuse_sizes(self) -> None:
        read = self._sizes.any(axis=1)
        wrong = np.flatnonzero(read & (self._sizes != (self.header.height, self.header.width)).any(axis=1))
        if len(wrong):
            said = [f"'{self.paths[n]}' {self._sizes[n][0]} x {self._sizes[n][1]}" for n in wrong[:3]]
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise DataError(
                f"All chips must have one size: '{self.paths[0]}' has {self.header.height} x "
                f"{self.header.width} px, but {', '.join(said)}{more}. Cut or resample these (rio warp), or "
                "leave them out of 'images'."
            )

    def _open(self, place: int) -> Scene:
        return Scene(self.paths[place], **self._options)  # type: ignore[arg-type]


def _header(scene: Scene) -> ChipHeader:
    return ChipHeader(
        height=scene.grid.height,
        width=scene.grid.width,
        bands=tuple(scene.bands),
        all_bands=tuple(scene.all_bands),
        has_band_names=scene.has_band_names,
        dtype=scene.dtype,
        nodata=scene.nodata,
        pixel_size=scene.grid.pixel_size if scene.grid.is_georeferenced else None,
        pixel_metres=scene.grid.pixel_metres,
    )


def _require_alike(first: str, header: ChipHeader, scene: Scene) -> None:
    for what, ours, theirs in (
        ("bands", ", ".join(header.all_bands), ", ".join(scene.all_bands)),
        ("data type", header.dtype, scene.dtype),
        ("nodata value", str(header.nodata), str(scene.nodata)),
    ):
        if ours != theirs:
            raise BandError(
                f"All chips must have the same {what}: '{first}' has {ours}, '{scene.path}' has {theirs}. "
                "Convert these to one kind (rio convert, rio edit-info), or leave them out of 'images'."
            )
