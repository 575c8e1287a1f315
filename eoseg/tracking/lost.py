"""What is left of a training whose loss is no longer a number: the samples that it stumbled over."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from eoseg.errors import LossError
from eoseg.files import write_atomically


class LostSamples(Callback):
    """Write the names of the samples of the batch into the run folder, one a line."""

    def __init__(self, run_folder: Path) -> None:
        """Choose the folder."""
        self.run_folder = run_folder

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write them, and say where."""
        del pl_module
        if isinstance(exception, LossError):
            path = self.run_folder / f"lost_samples_{trainer.global_rank}.txt"
            write_atomically(path, "\n".join(exception.samples) + "\n")
            exception.args = (
                f"{exception} The {len(exception.samples)} chips of the batch are named in {path}.",
            )
