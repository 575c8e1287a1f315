"""What a task needs of data, chips and devices, refused before anything is built for nothing."""

from lightning.pytorch import Trainer

from eoseg.errors import ConfigError
from eoseg.models import Kind
from eoseg.recipe import Schema

TIMES: dict[Kind, str] = {
    "segmentation": "single",
    "classification": "single",
    "change": "pair",
    "series": "series",
    "pretraining": "single",
}
"""Which data each kind of network takes."""


def require_time(task: str, kind: Kind, schema: Schema) -> None:
    """Refuse data of another number of dates than a task learns from, before a network is built for them.

    Raises:
        ConfigError: With the task that fits.
    """
    if schema.time != TIMES[kind]:
        needed = {
            "single": "scenes of one date",
            "pair": "pairs of dates (data: 'images' and 'after')",
            "series": "series of dates (data: '{date}' in 'images')",
        }
        found = needed[schema.time].partition(" (")[0]
        fitting = {"single": "SegmentationTask", "pair": "ChangeTask", "series": "SeriesTask"}[schema.time]
        raise ConfigError(
            f"{task} learns from {needed[TIMES[kind]]}; found {found}. Use {fitting} for these."
        )


def require_labels(task: str, schema: Schema) -> None:
    """Refuse scenes without labels, before a network is built for them.

    Raises:
        ConfigError: With what to add, or the task that learns without labels.
    """
    if not schema.classes and schema.quantity is None:
        raise ConfigError(
            f"{task} learns from labels, but the data have none. Name 'labels' with 'classes' or 'quantity' "
            "in the data, or use PretrainTask."
        )


def require_chip_size(chip_size: int, stride: int) -> None:
    """Refuse chips that are no multiple of a network's output stride.

    Raises:
        ConfigError: With the nearest sizes that fit.
    """
    if chip_size % stride:
        below, above = chip_size // stride * stride, -(-chip_size // stride) * stride
        nearest = f"{below} or {above}" if below else str(above)
        raise ConfigError(
            f"chip_size {chip_size} does not suit the network, whose sizes are multiples of {stride}. "
            f"Set chip_size to {nearest}."
        )


def require_one_process(arch: str, trainer: Trainer, stage: str) -> None:
    """Refuse devices and options that a network has no use for that is fitted in one go.

    Raises:
        ConfigError: With what to set.
    """
    device = trainer.strategy.root_device
    if device.type != "cpu":
        raise ConfigError(
            f"'{arch}' runs on the CPU, on all its cores; found {device}. Set trainer.accelerator: cpu."
        )
    if stage != "fit":
        return
    if trainer.world_size > 1:
        raise ConfigError(
            f"'{arch}' is fitted by one process, on all cores; found {trainer.world_size} processes. Set "
            "trainer.devices: 1."
        )
    if trainer.val_check_interval != 1.0 or trainer.check_val_every_n_epoch != 1:
        raise ConfigError(
            f"'{arch}' is fitted once all training chips were seen, before the validation. Leave "
            "val_check_interval and check_val_every_n_epoch out."
        )
