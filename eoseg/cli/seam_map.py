"""`eoseg predict --seam-map`: where a map depends on its tiles, as a picture or a raster."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eoseg.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eoseg.figures import Rgb
    from eoseg.predict import Prediction, SeamSample
    from eoseg.recipe import Recipe

_MOST_DRAWN = 6


def require_seam_map(path: Path, *, maps: int, overwrite: bool) -> None:
    """Refuse what cannot be drawn, before any work.

    Raises:
        ConfigError: There are several maps.
        OutputError: The file exists, or has no folder.
    """
    if maps > 1:
        raise ConfigError(f"--seam-map '{path}' is one file, but there are {maps} maps. Map them one by one.")
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--seam-map is a picture, NAME.png; found '{path}'.")
    if path.exists() and not overwrite:
        raise OutputError(f"'{path}' exists already. Choose another name, or --overwrite.")
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder '{path.parent}' for the picture of seams. Make it first.")


def write_seam_map(path: Path, prediction: "Prediction", recipe: "Recipe") -> str:
    """Draw the parts that were compared, those with most differing pixels first.

    Returns:
        What was done, in a line.

    Raises:
        OutputError: The picture cannot be written.
    """
    from eoseg.figures import SeamPicture, error_image, png_bytes, seam_image

    found = prediction.disagreement
    if found is None:
        return f"'{path}' was not written: nothing could be compared."
    samples = sorted(found.samples, key=lambda sample: -int(sample.differs.sum()))[:_MOST_DRAWN]
    pictures = []
    for sample in samples:
        mask = sample.differs.astype("uint8")
        mask[~sample.known] = 255
        share = sample.differs.sum() / sample.known.sum()
        images = (*_shown(sample, recipe), error_image(mask))
        pictures.append(
            SeamPicture(
                sample.window.row,
                sample.window.col,
                images,
                sample.borders,
                sample.other_borders,
                f"{share:.2%}",
            )
        )
    try:
        path.write_bytes(png_bytes(seam_image(pictures)))
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written: {error.strerror}. The map is complete.") from error
    return f"Seams: {path}, {len(samples)} of {len(found.samples)} parts that were compared"


def _shown(sample: "SeamSample", recipe: "Recipe") -> "tuple[Rgb, Rgb]":
    import numpy as np

    from eoseg.figures import class_image, value_image

    schema = recipe.schema
    if schema.classes and not schema.multilabel:
        return class_image(sample.mapped[0], schema.classes), class_image(sample.again[0], schema.classes)
    first, second = (_as_values(values, sample) for values in (sample.mapped, sample.again))
    known = first[~np.isnan(first)]
    low, high = float(known.min()), float(known.max())
    return value_image(first, low, high), value_image(second, low, high)


def _as_values(values: "NDArray[Any]", sample: "SeamSample") -> "NDArray[Any]":
    """A quantity as it is, of labels how many hold; NaN where the map has no value."""
    shown = values.astype("float64").sum(axis=0)
    shown[~sample.known] = float("nan")
    return shown
