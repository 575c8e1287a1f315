"""`run` in a configuration: where a run goes and how it is logged."""

import math
from dataclasses import dataclass

from eoseg.errors import ConfigError
from eoseg.spatial_blocks import CELL
from eoseg.tracking.lineage import registry_path


@dataclass(frozen=True)  # no slots: jsonargparse reads defaults from __dict__
class RunConfig:
    """Where a run goes and how it is logged.

    Args:
        folder: Folder of all runs; each run makes its own below it.
        name: Name of the run; by default that of the configuration file.
        wandb: Log to Weights & Biases (offline without a login) beside metrics.csv.
        project: Project in W&B.
        group: Group in W&B, such as the experiment that several seeds belong to.
        tags: Tags in W&B.
        panels_every: Epochs between pictures of the fixed validation chips; 0 for none.
        table_pictures: Chips of the table of a test that have pictures in W&B.
        register: Registry and collection of W&B to link the best checkpoint to, such as model/land-cover; the
            same as --register.
        tensorboard: Log for TensorBoard too, into the folder tensorboard/ of the run.
        block_size: Side in pixels of the blocks that intervals of `validate` and `test` are drawn from: 64
            times a power of two; by default as large as leaves 30 blocks.
        resume: Folder of a run to go on with, from its last checkpoint; it is begun where there is none yet.
        checkpoint_minutes: Minutes between checkpoints inside an epoch, beside that at its end; 0 for none.
        compile: Compile the network (torch.compile): minutes at the start, faster steps on a GPU.
        connect_seconds: How long processes on other nodes wait for the first one of a training.
    """

    folder: str = "runs"
    name: str | None = None
    wandb: bool = True
    project: str = "eoseg"
    group: str | None = None
    tags: tuple[str, ...] = ()
    panels_every: int = 5
    table_pictures: int = 100
    register: str | None = None
    tensorboard: bool = False
    block_size: int | None = None
    resume: str | None = None
    checkpoint_minutes: float = 30.0
    compile: bool = False
    connect_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.panels_every < 0 or self.table_pictures < 0:
            raise ConfigError(
                f"run.panels_every and run.table_pictures are numbers of at least 0; found "
                f"{self.panels_every} and {self.table_pictures}."
            )
        if self.register is not None:
            registry_path(self.register)
            if not self.wandb:
                raise ConfigError("--register is for W&B, which is switched off: leave one of them out.")
        cells = (CELL if self.block_size is None else self.block_size) / CELL
        if cells < 1 or not math.log2(cells).is_integer():
            raise ConfigError(
                f"run.block_size is {CELL} px times a power of two, such as {2 * CELL}; found "
                f"{self.block_size}."
            )
        for name in ("checkpoint_minutes", "connect_seconds"):
            if getattr(self, name) < 0:
                raise ConfigError(f"run.{name} must not be negative; found {getattr(self, name)}.")
