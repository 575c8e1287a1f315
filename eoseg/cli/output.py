"""What Lightning and its parser print, in fewer words."""

import logging
import warnings
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser

from eoseg.errors import ConfigError, EosegError


def own_error(error: BaseException | None) -> EosegError | None:
    """The error of eoseg that the parser wrapped in one of its own, if any."""
    while error is not None and not isinstance(error, EosegError):
        error = error.__cause__ or error.__context__
    return error


class Progress(RichProgressBar):
    """Lightning's progress bar without a version number of the logger."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands at the end of the bar."""
        shown = super().get_metrics(trainer, pl_module)
        return {key: value for key, value in shown.items() if key != "v_num"}


class OneLineParser(LightningArgumentParser):
    """Lightning's parser without a page of usage at every mistake."""

    def error(self, message: str, ex: Exception | None = None) -> None:  # type: ignore[override]
        """Raise the one line that matters instead of printing the usage and exiting."""
        cause = own_error(ex)
        if cause is not None:
            raise cause
        lines = [line.strip(" -") for line in str(message).splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("Expected", "Parser key", "Given value:"))]
        raise ConfigError(" ".join(told or lines)[:400] + " Run with --help to see what is expected.")


def quiet() -> None:
    """Silence lines of Lightning that tell a user nothing."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).addFilter(
            lambda record: (
                not any(
                    word in record.getMessage() for word in ("TPU", "HPU", "Tip:", "litlogger", "LOCAL_RANK")
                )
            )
        )
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter is intended.*")
    warnings.filterwarnings("ignore", ".*tensorboardX.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    warnings.filterwarnings("ignore", ".*recommended to use .self.log.*sync_dist=True.*")  # summed already
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")  # it goes on
    warnings.filterwarnings("ignore", ".*dirpath has changed.*")  # a resumed run has its own folder
    warnings.filterwarnings("ignore", ".*in eval mode at the start.*")  # a network that is trained already
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).propagate = False  # they have handlers of their own
