"""Where the pictures of a run are shown: in W&B, and in TensorBoard where a run has it."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn

from eoseg.figures import Rgb
from eoseg.tracking.loggers import STEP, wandb_run

type Pictures = Mapping[str, Rgb]
"""Pictures by what each shows."""


def show(
    trainer: Trainer, pictures: Mapping[str, Pictures], *, charts: Mapping[str, Any] | None = None
) -> None:
    """Show pictures on every board that a run has. Call it on rank zero alone.

    Args:
        trainer: The trainer of the run.
        pictures: By the name of a panel.
        charts: What W&B alone can show (overlays, tables, interactive charts), by name; of a panel that both
            name W&B gets this.
    """
    step = current_step(trainer)
    run = wandb_run(trainer)
    if run is not None:
        import wandb

        images = {
            key: [wandb.Image(picture, caption=caption) for caption, picture in shown.items()]
            for key, shown in pictures.items()
        }
        run.log({**images, **(charts or {}), STEP: step})
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            for key, shown in pictures.items():
                for number, picture in enumerate(shown.values()):
                    tag = key if len(shown) == 1 else f"{key}/{number:02d}"
                    logger.experiment.add_image(tag, picture, step, dataformats="HWC")


def has_board(trainer: Trainer) -> bool:
    """Whether pictures can be shown anywhere. Ask on rank zero alone."""
    return wandb_run(trainer) is not None or any(
        isinstance(logger, TensorBoardLogger) for logger in trainer.loggers
    )


def current_step(trainer: Trainer) -> int:
    """The step under which Lightning logs the figures of the same moment."""
    return max(0, trainer.global_step - 1)


def is_fitting(trainer: Trainer) -> bool:
    """Whether the trainer is fitting, rather than validating or testing alone."""
    return trainer.state.fn == TrainerFn.FITTING


def is_due(trainer: Trainer, every: int) -> bool:
    """Whether this validation is one to show: each n-th of a training, its last, and any other."""
    if trainer.sanity_checking:
        return False
    if not is_fitting(trainer):
        return True
    done = trainer.current_epoch + 1
    return done % every == 0 or done == trainer.max_epochs or trainer.should_stop


def numbered(pictures: Sequence[tuple[str, Rgb]]) -> dict[str, Rgb]:
    """Pictures by their captions, which a number tells apart where two are alike."""
    found: dict[str, Rgb] = {}
    for caption, picture in pictures:
        name, number = caption, 2
        while name in found:
            name, number = f"{caption} ({number})", number + 1
        found[name] = picture
    return found
