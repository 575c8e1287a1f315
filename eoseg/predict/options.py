"""What can be chosen for a prediction, and what it reports."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError
from eoseg.geo.scene import NodataPolicy
from eoseg.geo.window import Window
from eoseg.predict.out_of_range import OutOfRange
from eoseg.predict.passes import Passes
from eoseg.recipe import Quantity

DEFAULT_MEMORY_MB = 2048
_STRIP_BYTES = 2**28
_SMALL_CACHE, _LARGEST_CACHE = 64 * 2**20, 256 * 2**20  # bytes


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """How a scene is mapped. The defaults do not change the map, only speed and memory."""

    tile: int | Literal["auto"] = "auto"
    """Height and width of what a tile writes, in pixels: a multiple of the output stride. "auto" takes
    the largest that `max_memory_mb` allows, because the halo costs less the larger a tile is. A network that
    classifies chips gives one class per tile, from the chip around it: "auto" is then the chip size, and
    less makes a finer map."""
    halo: int | Literal["auto"] = "auto"
    """Pixels of context around a tile: a multiple of the output stride. "auto" takes what makes the map
    equal to the whole-image result, or 128 px where the network has global context. For chips it follows
    from the tile."""
    batch_size: int | None = None
    """Tiles per pass. By default 1, or up to 32 chips."""
    blend: Literal["auto", "off"] = "auto"
    """"auto" averages neighbouring tiles where they overlap, if the map is not exact. "off" writes the cores
    of tiles as they are; it changes nothing where the map is exact."""
    check_seams: int | None = None
    """So many tiles are computed again from tiles that lie half a tile further, and compared. By default
    some are where the map is not exact."""
    device: str = "auto"
    """"auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1"."""
    max_memory_mb: int | None = None
    """Memory that the run may take above that of the program with its network, in MB: it decides on
    "auto" tiles, on the chips of a pass, and on GDAL's cache. By default 2048, and tiles that read 768 px a
    side, or up to 2048 px where the halo is large."""
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch"
    """What runs the network; the others run on the CPU and are compared with torch first."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the network: "auto" is bfloat16 where the device has instructions for it and the first tiles give
    the same map (see `eoseg.predict.runtime`), else float32."""
    compile: bool = False
    """Compile the network, which takes a minute or two and needs a C++ compiler."""
    probabilities: bool = False
    """Write the probability of each class to a second file too."""
    uncertainty: bool = False
    """Write to a file of their own: entropy and margin of the probabilities, the share of a pixel's values
    that training never saw, the spread where the map is a mean over several passes, and with several networks
    or samples their mutual information."""
    tta: bool = False
    """Test-time augmentation: map the mean of what the network gives for the eight symmetries of the square,
    which takes eight passes instead of one."""
    mc_dropout: int | None = None
    """Map the mean over so many samples of the network, each without some of the units that it was trained to
    do without; see `eoseg.models.sampled_dropout`."""
    overwrite: bool = False
    """Replace existing files."""
    bands: tuple[str, ...] | None = None
    """Names of all bands of the scene, in file order, instead of its own."""
    nodata: float | None = None
    """Nodata value instead of the scene's own."""
    allow_range_mismatch: bool = False
    """Map a scene whose values lie far from the training values."""
    nodata_policy: NodataPolicy = "any"
    """"any": a pixel without a value in any band gets none in the map. "all": only one without a value in
    all bands; where some are missing the training mean stands for them."""
    aoi: str | None = None
    """File of polygons, or "FILE::LAYER": only inside them the map has values."""
    pixel_size: float | Literal["auto", "native"] = "auto"
    """At which pixel size the scene is read, in metres. "auto": at that of the training, where the checkpoint
    notes it and the scene's differs by more than a tenth; refused where the scene's pixels are more than
    four times as large. "native": as it is, whatever the network was trained on. The map is on the scene's
    own grid in any case: see `eoseg.geo.homeward`."""

    @property
    def cache_bytes(self) -> int:
        """Size that GDAL's cache of blocks may have: less where memory is short."""
        if self.max_memory_mb is None:
            return _LARGEST_CACHE
        total = self.max_memory_mb * 2**20
        return min(_LARGEST_CACHE, max(min(_SMALL_CACHE, total // 8), total // 16))

    @property
    def strip_bytes(self) -> int:
        """Memory for what blended tiles wait for: less where memory is short."""
        return (
            _STRIP_BYTES if self.max_memory_mb is None else min(_STRIP_BYTES, self.max_memory_mb * 2**20 // 8)
        )

    @property
    def activation_bytes(self) -> int:
        """What is left for the activations of a pass."""
        total = DEFAULT_MEMORY_MB if self.max_memory_mb is None else self.max_memory_mb
        return total * 2**20 - (0 if self.max_memory_mb is None else self.cache_bytes)

    def __post_init__(self) -> None:
        for name, value, least in (("tile", self.tile, 1), ("halo", self.halo, 0)):
            if value != "auto" and (not isinstance(value, int) or value < least):
                raise ConfigError(f"The {name} is 'auto' or {least} or more pixels; found {value}.")
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"The batch size is 1 or more; found {self.batch_size}.")
        if self.max_memory_mb is not None and self.max_memory_mb < 64:
            raise ConfigError(f"A run needs at least 64 MB of memory; found {self.max_memory_mb}.")
        if self.nodata_policy not in ("any", "all"):
            raise ConfigError(f"The nodata policy is 'any' or 'all'; found '{self.nodata_policy}'.")
        if self.blend not in ("auto", "off"):
            raise ConfigError(f"Blending is 'auto' or 'off'; found '{self.blend}'.")
        if self.check_seams is not None and self.check_seams < 1:
            raise ConfigError(f"Seams are checked on 1 or more tiles; found {self.check_seams}.")
        if self.pixel_size not in ("auto", "native") and (
            isinstance(self.pixel_size, str) or not 0 < self.pixel_size < math.inf
        ):
            raise ConfigError(
                f"The pixel size is 'auto', 'native' or metres above 0; found {self.pixel_size}."
            )
        self._require_samples()
        if self.bands is not None and (not self.bands or not all(self.bands)):
            raise ConfigError(f"Name each band of the scene, as in B02,B03; found '{','.join(self.bands)}'.")

    def _require_samples(self) -> None:
        if self.mc_dropout is None:
            return
        if self.mc_dropout < 2:
            raise ConfigError(f"Samples by dropout are 2 or more, to be averaged; found {self.mc_dropout}.")
        for option, given in (
            ("compile", self.compile),
            (f"backend {self.backend}", self.backend != "torch"),
        ):
            if given:
                raise ConfigError(
                    f"What --{option} makes of a network holds no dropout, so there are no samples of it for "
                    "--mc-dropout. Leave one of them out."
                )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a prediction will take, known before its first tile."""

    tiles: int
    """Tiles of the scene."""
    tile: int
    """Height and width of a tile's core in pixels."""
    memory_bytes: int
    """Of the activations of a pass; the program with its network comes on top."""
    disk_bytes: int
    """Of the parts until the map is made of them; the map itself is compressed and smaller."""
    seconds: float
    """That this process will take, about, without its start."""
    passes: Passes = field(default_factory=Passes)
    """How often each tile goes through a network."""
    strip_bytes: int = 0
    """Of what blended tiles wait for."""
    computed: int | None = None
    """How often a tile is computed in all, where processes or columns of blended tiles share some."""


@dataclass(slots=True)
class Times:
    """What a run spent its time on, in seconds: which of them is the bottleneck."""

    read: float = 0.0
    """Waiting for tiles to be read."""
    compute: float = 0.0
    """The network, and what is made of its output."""
    write: float = 0.0
    """Waiting for the disk."""
    finish: float = 0.0
    """Making the files of the finished tiles, and checking them."""

    def add(self, activity: str, seconds: float) -> None:
        """Add time to one of them."""
        setattr(self, activity, getattr(self, activity) + seconds)


@dataclass(frozen=True, slots=True)
class SeamLine:
    """A row or a column of pixels in a part of the map that was compared."""

    axis: Literal["row", "column"]
    place: int
    """Which of the scene's."""
    share: float
    """Share of its pixels in that part that differ, 0 to 1."""


@dataclass(frozen=True, slots=True)
class SeamSample:
    """A part of the map, and what it is where tiles lie half a tile further."""

    window: Window
    mapped: NDArray[Any]
    """What the map holds, `(bands, height, width)`."""
    again: NDArray[Any]
    """What the other tiles give, of the same shape."""
    known: NDArray[np.bool_]
    """Where the map has a value, `(height, width)`."""
    differs: NDArray[np.bool_]
    """Where it is another one, `(height, width)`."""
    borders: tuple[tuple[int, ...], tuple[int, ...]]
    """Rows and columns of the window at which tiles of the map meet."""
    other_borders: tuple[tuple[int, ...], tuple[int, ...]]
    """Rows and columns of the window at which the other tiles meet."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How much a map depends on where its tiles lie."""

    pixels: int
    """Pixels that were computed a second time, from tiles that lie half a tile further."""
    differing: int
    """Those of them that got another class, or clearly another value."""
    tolerance: float = 0.0
    """Of a quantity: by how much a value is clearly another one."""
    ties: int = 0
    """Those of the differing ones whose two likeliest classes are equally likely up to rounding."""
    near: int = 0
    """Those of the pixels that lie near the border of a tile, of the map or of the others."""
    near_differing: int = 0
    """Those of them that differ."""
    near_px: int = 0
    """How near."""
    worst: SeamLine | None = None
    """The line with the largest share of differing pixels; None where none differ."""
    samples: tuple[SeamSample, ...] = field(default=(), repr=False, compare=False)
    """The parts that were compared."""

    @property
    def share(self) -> float:
        """Share of the pixels that differ, 0 to 1."""
        return self.differing / self.pixels

    @property
    def near_share(self) -> float:
        """As `share`, of the pixels near the border of a tile."""
        return self.near_differing / self.near if self.near else 0.0

    @property
    def inner_share(self) -> float:
        """As `share`, of the other pixels."""
        inner = self.pixels - self.near
        return (self.differing - self.near_differing) / inner if inner else 0.0


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The values of a map of a quantity."""

    quantity: Quantity
    least: float
    mean: float
    most: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was mapped, and how."""

    path: Path
    """The map."""
    probabilities: Path | None
    """The probabilities, where asked for."""
    pixels: int
    """Pixels of the scene."""
    valid_pixels: int
    """Pixels that got a class, labels or a value."""
    class_pixels: tuple[int, ...]
    """Mapped pixels per class, or per label where it holds; none of a quantity."""
    tiles: int
    """Tiles of the scene."""
    skipped: int
    """Tiles that were not computed, because their core has no valid pixel."""
    tile: int
    """Height and width of a tile's core in pixels."""
    halo: int
    """Pixels of context around it."""
    exact: bool
    """Whether the map equals the network's result on the whole scene at once (on a GPU up to rounding,
    since the algorithm that it picks may depend on the size of a tile)."""
    reason: str
    """Why it does or does not."""
    disagreement: Disagreement | None
    """Measured where the map is not exact, or where asked for, and a tile could be compared."""
    device: str
    """Where the network ran."""
    seconds: float
    """How long it took."""
    notices: tuple[str, ...]
    """What was assumed about the scene."""
    values: ValueRange | None = None
    """Of a quantity: the range of its values."""
    resumed: int = 0
    """Tiles that an earlier run had finished."""
    times: Times = field(default_factory=Times)
    """What the time was spent on."""
    runtime: str = ""
    """How the network was run, and how that compares with the network in float32."""
    square_kilometres: float | None = None
    """Area of the scene; None where its CRS has no metres."""
    uncertainty: Path | None = None
    """Entropy, margin and what else says how sure the map is, where asked for."""
    item: Path | None = None
    """The STAC item that describes these files."""
    passes: Passes = field(default_factory=Passes)
    """How often each tile went through a network: the map is the mean of it."""
    out_of_range: OutOfRange | None = None
    """Tiles with values that training never saw, where the uncertainty was asked for."""
    blended: int = 0
    """Over how many pixels across their borders tiles are blended."""

    @property
    def megapixels_per_second(self) -> float:
        """Million pixels of the scene per second, reading and writing included."""
        return self.pixels / 1e6 / self.seconds if self.seconds > 0 else 0.0
