"""What a task cannot do with its network, refused before it starts."""

from lightning.pytorch import Trainer

from eoseg.errors import ConfigError


def require_chip_size(chip_size: int, stride: int) -> None:
    """Refuse chips that the network does not take.

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
    """Refuse what a network that is fitted in one go cannot do.

    Raises:
        ConfigError: It is to run on a GPU, or to be fitted by several processes or several times.
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
