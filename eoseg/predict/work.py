"""A prediction that is ready to begin: what it needs, what it will take, and whether it is done already."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from eoseg.errors import OutputError
from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.cog import require_writable_together
from eoseg.geo.grid import Grid
from eoseg.geo.homeward import Home
from eoseg.geo.mapfile import item_path
from eoseg.geo.parts import Parts, parts_folder
from eoseg.geo.scene import Scene
from eoseg.geo.stack import SceneStack
from eoseg.geo.tiles import TilePlan
from eoseg.models.network import Network
from eoseg.predict.acceleration import uncompiled
from eoseg.predict.blend import count_computed
from eoseg.predict.classifier import Classifier
from eoseg.predict.dated import DatedRasters
from eoseg.predict.duration import time_pass, total_seconds
from eoseg.predict.members import Member
from eoseg.predict.options import Estimate, PredictOptions
from eoseg.predict.passes import Passes
from eoseg.predict.plan import ChipPlan, Layout
from eoseg.predict.product import Product
from eoseg.predict.provenance import is_made, run_name
from eoseg.predict.ranks import Rank
from eoseg.predict.reading import Reading
from eoseg.predict.runner import Precision
from eoseg.predict.runtime import Runtime
from eoseg.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Work:
    """A prediction, ready to begin."""

    members: tuple[Member, ...]
    """The networks whose mean is mapped; the first one's recipe says what that is."""
    passes: Passes
    """How often each tile goes through a network."""
    options: PredictOptions
    out: Path
    rank: Rank
    rasters: DatedRasters
    notices: tuple[str, ...]
    scenes: Sequence[Scene | SceneStack]
    """The scene, opened once for each thread that reads."""
    layout: Layout
    reading: Reading
    product: Product
    classifier: Classifier
    runtimes: tuple[Runtime, ...]
    """How each network is run."""
    device: torch.device
    fingerprint: dict[str, str]
    area: AreaOfInterest | None = None
    """Where a map is wanted; everywhere by default."""
    home: Home | None = None
    """The scene as it is, where it is read at another pixel size."""

    @property
    def network(self) -> Network:
        """The network, or the first one of an ensemble."""
        return self.members[0].network

    @property
    def recipe(self) -> Recipe:
        """Its recipe."""
        return self.members[0].recipe

    @property
    def checkpoint(self) -> Path | None:
        """Where it comes from."""
        return self.members[0].checkpoint

    @property
    def runtime(self) -> str:
        """How the networks are run, for the user to read."""
        told = list(map(str, self.runtimes))
        if len(set(told)) == 1:
            return told[0]
        named = zip(self.members, told, strict=True)
        return "; ".join(f"{member.name}: {text}" for member, text in named)

    @property
    def precision(self) -> Precision:
        """The coarsest of the networks' precisions."""
        return min(runtime.precision for runtime in self.runtimes)

    @property
    def source(self) -> Scene | SceneStack:
        """The scene as it was given."""
        return self.scenes[0] if self.home is None else self.home.scene

    @property
    def paths(self) -> list[Path]:
        """The rasters that there will be, the map first."""
        return self.product.paths(self.out)

    @property
    def item_path(self) -> Path:
        """Where the STAC item that describes them will be."""
        return item_path(self.out)

    @property
    def grid(self) -> Grid:
        """The grid on which is computed: the scene's, unless it is read at another pixel size."""
        return self.scenes[0].grid

    def is_made(self) -> bool:
        """Whether the map is there already, and need not be made anew.

        Raises:
            OutputError: Another file is in its place.
        """
        targets = [*self.paths, self.item_path]
        are_there = all(path.is_file() for path in targets)
        is_wanted_anew = self.options.overwrite and self.rank.count == 1
        if are_there and not is_wanted_anew and is_made(self.out, run_name(self.fingerprint), self.rasters):
            self._remove_parts()
            return True
        require_writable_together(targets, overwrite=self.options.overwrite)
        return False

    def _remove_parts(self) -> None:
        """Remove what a run has left that was killed between its last two steps."""
        if not parts_folder(self.out).exists():
            return
        with suppress(OutputError):  # parts of another run stay
            parts = self.begin()
            with parts.only_here() as mine:
                if mine and parts.is_complete():
                    parts.remove()

    @property
    def disk_bytes(self) -> int:
        """What the parts take on disk."""
        grids = [self.grid] if self.home is None else [self.grid, self.home.grid]
        pixels = sum(grid.height * grid.width for grid in grids)
        return sum(layer.pixel_bytes for layer in self.product.layers()) * pixels

    def estimate(self, finished: int = 0) -> Estimate:
        """What it will take; a small pass of each network is timed for it.

        Args:
            finished: Tiles that an earlier run has left.
        """
        layout, plan = self.layout, self.layout.plan
        computed = None
        if layout.overlap and isinstance(plan, TilePlan):
            computed = count_computed(plan, layout.overlap, layout.panel, self.rank.count)
        again = 1.0 if computed is None else computed / len(plan)
        seconds = total_seconds(
            sum(map(self._pixel_seconds, self.runtimes)) * self.passes.count / self.passes.networks * again,
            layout,
            pixels=self.grid.height * self.grid.width,
            finished=finished,
        )
        return Estimate(
            len(plan),
            plan.core,
            layout.pass_bytes,
            self.disk_bytes,
            seconds,
            passes=self.passes,
            strip_bytes=layout.strip_bytes,
            computed=computed,
        )

    def _pixel_seconds(self, runtime: Runtime) -> float:
        """What a pass of a network takes per pixel."""
        if runtime.pixel_seconds is not None:
            return runtime.pixel_seconds
        run = uncompiled(runtime.run)  # it would be compiled for the size of what is timed
        return time_pass(run, self.layout, self.classifier.example, device=self.device)

    def begin(self) -> Parts:
        """The folder of the run, begun or found.

        Raises:
            OutputError: It holds another run, cannot be made, or the disk is too small.
        """
        needed, free = self.disk_bytes, shutil.disk_usage(self.out.parent).free
        if needed > free and not parts_folder(self.out).exists():
            raise OutputError(
                f"'{self.out}' needs {needed / 2**20:,.0f} MB while it is made; its disk has "
                f"{free / 2**20:,.0f} MB left. Make room, or choose another place with --out."
            )
        plan = self.layout.plan
        return Parts(
            self.out,
            self.grid,
            self.product.layers(),
            plan.cores if isinstance(plan, ChipPlan) else plan,
            fingerprint=self.fingerprint,
            shares=self.rank.count,
            overwrite=self.options.overwrite,
        )
