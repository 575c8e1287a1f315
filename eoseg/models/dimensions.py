"""What the data fix about a network: the one positional argument of every model function."""

from dataclasses import dataclass

from eoseg.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Sizes of a network's input and output."""

    channels: int
    """C, the number of bands."""
    classes: int
    """K, the number of outputs per pixel or chip; 1 for regression."""
    chip_size: int = 64
    """Height and width of a training chip in pixels; 1 for tables of pixels."""
    steps: int = 1
    """T, the number of dates of a sample: 1 for a scene, 2 for a pair, any number for a series."""

    def __post_init__(self) -> None:
        for name in ("channels", "classes", "chip_size", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"A network needs {name} of at least 1, found {getattr(self, name)}.")
