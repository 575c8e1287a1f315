"""`eoseg test --tta`: what cannot be measured as a mean over turned and mirrored chips."""

from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.errors import ConfigError

if TYPE_CHECKING:
    from eoseg.tasks import Task


def use_symmetries(task: "Task", *, wanted: bool, command: str, checkpoint: str | None) -> None:
    """Let a task measure the mean over the symmetries of the square, where that is asked for.

    Args:
        task: The task, before the test.
        wanted: Whether it is.
        command: "fit", "validate" or "test".
        checkpoint: What is tested; None for the network as it is.

    Raises:
        ConfigError: Nothing is tested, or the mean would be what the network gives for the chip as it is.
    """
    if not wanted:
        return
    if command != "test":
        raise ConfigError(
            f"tta is for 'eoseg test'; 'eoseg {command}' looks at each chip once. Leave it out."
        )
    if task.kind == "pretraining":
        raise ConfigError("PretrainTask reconstructs parts of chips that it hides: tta is not for it.")
    if checkpoint is not None and _looks_at_single_pixels(Path(checkpoint)):
        raise ConfigError(
            "The model looks at each pixel alone, so that it gives for the turned chip what it gives for the "
            "chip: --tta would take 8 times as long and change nothing. Leave it out."
        )
    task.tta = True


def _looks_at_single_pixels(checkpoint: Path) -> bool:
    from eoseg.models.checkpoint import load_network
    from eoseg.predict.receptive import network_context

    network, recipe = load_network(checkpoint)
    if recipe.chip_size == 1:
        return True
    if network.kind == "classification":
        return False
    context = network_context(network.eval(), steps=recipe.schema.steps)
    return context.halo == 0 and context.output_stride == 1
