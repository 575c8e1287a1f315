"""What the commands share that look at several scenes of one date with one network."""

from collections.abc import Sequence
from typing import Protocol

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.predict.match import MatchedScene, match_scene
from eoseg.recipe import Recipe


class ReadingOptions(Protocol):
    """How scenes are read."""

    @property
    def bands(self) -> tuple[str, ...] | None:
        """Names of all bands of the scenes, in file order, instead of their own."""

    @property
    def nodata(self) -> float | None:
        """Nodata value instead of the scenes' own."""

    @property
    def allow_range_mismatch(self) -> bool:
        """Whether scenes are taken whose values lie far from the training values."""


def require_scenes(scenes: Sequence[str]) -> None:
    """Refuse no scene at all, and one that is given twice.

    Raises:
        ConfigError: With both.
    """
    if not scenes:
        raise ConfigError("No scene was given. Give at least one.")
    repeated = sorted({scene for scene in scenes if list(scenes).count(scene) > 1})
    if repeated:
        raise ConfigError(f"'{repeated[0]}' is given twice. Give each scene once.")


def match_each(scenes: Sequence[str], recipe: Recipe, options: ReadingOptions) -> list[MatchedScene]:
    """Match the bands and values of each scene with a recipe.

    Raises:
        BandError: A scene's bands or values do not fit the checkpoint.
        DataError: A scene cannot be read.
    """
    return [
        match_scene(
            scene,
            recipe,
            bands=options.bands,
            nodata=options.nodata,
            allow_range_mismatch=options.allow_range_mismatch,
        )
        for scene in scenes
    ]


def grid_of(scene: MatchedScene) -> Grid:
    """The grid of a scene, which is opened for it."""
    with scene.open() as opened:
        return opened.grid
