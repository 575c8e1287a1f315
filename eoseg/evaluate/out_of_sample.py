"""What a network says of the data that it did not train on, beside their labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError
from eoseg.recipe import IGNORE

if TYPE_CHECKING:
    from eoseg.datasets.base import EOData
    from eoseg.datasets.chips import Chip
    from eoseg.models.network import Network


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A finished training with its data."""

    name: str
    data: "EOData"
    network: "Network"


@dataclass(frozen=True, eq=False)
class Answers:
    """A batch."""

    probabilities: NDArray[np.float32]
    """`(B, K)` of chips, `(B, K, h, w)` of pixels."""
    given: NDArray[np.int64]
    """Labels `(B,)` or `(B, h, w)`, with `IGNORE`."""
    names: list[str]
    chips: "tuple[Chip, ...] | None"
    """Where they come from, where that are scenes."""


def require_classes(run: TrainedRun) -> None:
    """Refuse data whose labels are no single class.

    Raises:
        ConfigError: They are a quantity, several labels, or missing.
    """
    schema = run.data.schema
    what = (
        "hold a quantity"
        if schema.quantity is not None
        else "have several labels for each chip"
        if schema.multilabel
        else "have no labels"
        if not schema.classes
        else None
    )
    if what is not None:
        raise ConfigError(
            f"The data of '{run.name}' {what}; only labels of one class each can be audited. Name "
            "another run."
        )


def held_out(run: TrainedRun, *, of_several: bool) -> tuple[str, ...]:
    """The splits of a run that its network did not train on.

    Args:
        run: The run.
        of_several: Whether it is one of several folds, of which each tests another part.

    Raises:
        ConfigError: There are none.
    """
    wanted = ("test",) if of_several else ("val", "test")
    found = tuple(stage for stage in wanted if run.data.has(stage))
    if not found:
        raise ConfigError(
            f"The split of '{run.name}' holds nothing to {'test' if of_several else 'validate or test'}, "
            "so the "
            "network was trained on every label. Train with split.val and split.test above 0."
        )
    return found


def answers(run: TrainedRun, stage: str, *, device: str) -> Iterator[Answers]:
    """Run the network over one split.

    Args:
        run: The network and its data.
        stage: "val" or "test".
        device: Where the network runs.
    """
    import torch

    from eoseg.datasets.datamodule import SceneData

    data, network = run.data, run.network.eval().to(device)
    loader = data.val_dataloader() if stage == "val" else data.test_dataloader()
    chips = data.chips(stage) if isinstance(data, SceneData) else None
    done = 0
    for batch in loader:
        days = batch["days"].to(device) if "days" in batch else None
        with torch.inference_mode():
            logits = network(batch["image"].to(device), batch["valid"].to(device), days)
        found = np.asarray(logits.float().softmax(dim=1).cpu().numpy())
        given = (batch["label"] if "label" in batch else batch["mask"]).numpy()
        if found.ndim == 2 and given.ndim == 3:
            given = _commonest(given, found.shape[1])
        count = len(given)
        own = None if chips is None else tuple(chips[done : done + count])
        yield Answers(found, given, list(batch["id"]), own)
        done += count


def _commonest(mask: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The class of most labelled pixels of each chip, `(B, h, w)` to `(B,)`; `IGNORE` without any."""
    counts = np.stack([(mask == number).sum(axis=(1, 2)) for number in range(classes)], axis=1)  # (B, K)
    return np.where(counts.any(axis=1), counts.argmax(axis=1), IGNORE)
