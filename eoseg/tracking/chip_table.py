"""A table with a row for each chip, and the chips with the largest loss."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from eoseg.batch import Batch
from eoseg.errors import ConfigError
from eoseg.files import write_atomically
from eoseg.tracking.board import is_due, is_fitting, numbered, show
from eoseg.tracking.chip_rows import (
    AnsweringTask,
    Cell,
    ChipRow,
    cells_of,
    chip_losses,
    chip_rows,
    columns_of,
    part_of,
    rows_csv,
)
from eoseg.tracking.gather import at_rank_zero, of_all
from eoseg.tracking.loggers import wandb_run
from eoseg.tracking.panel_files import strip, wandb_images, write_panels
from eoseg.tracking.panels import ChipSource, Panel, PicturedTask, located, panels_of

type _Key = tuple[float, str]


class ChipTable(Callback):
    """Write a row for each chip of a test, and show the chips with the largest loss.

    `test` and `validate` leave `chips_test.csv` or `chips_val.csv` and a table in W&B, in which some chips
    have their pictures: those whose ids have the lowest hash, the same for any number of processes. The worst
    chips are shown there and at the end of a training, as its last validation with pictures found them. They
    are pictured while their batch is at hand, so that nothing is read or computed twice.
    """

    def __init__(
        self, run_folder: Path, *, every_n_epochs: int = 5, pictures: int = 100, worst: int = 8
    ) -> None:
        """Choose how many.

        Args:
            run_folder: The folder of the run.
            every_n_epochs: Epochs between two validations of a training with pictures.
            pictures: Chips of the table that have pictures; 0 for none.
            worst: How many of the worst to show.

        Raises:
            ConfigError: A number is negative, or `every_n_epochs` is 0.
        """
        for name, value, least in (
            ("every_n_epochs", every_n_epochs, 1),
            ("pictures", pictures, 0),
            ("worst", worst, 0),
        ):
            if value < least:
                raise ConfigError(f"The table of chips needs {name} of at least {least}; got {value}.")
        self.run_folder = run_folder
        self.every_n_epochs = every_n_epochs
        self.worst = worst
        self._pictures = pictures
        self._collecting = False
        self._rows: list[ChipRow] = []
        self._chosen = _Lowest(pictures)
        self._worst = _Lowest(worst)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh, where this validation is one to look at."""
        self._collecting = is_due(trainer, self.every_n_epochs) and _has_chips(trainer, pl_module)
        if self._collecting:
            self._reset()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh."""
        self._collecting = _has_chips(trainer, pl_module)
        self._reset()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Look at a batch."""
        if self._collecting and isinstance(outputs, Tensor):
            self._collect(trainer, pl_module, outputs, cast(Batch, batch))

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the table, where validating was all there was to do."""
        if self._collecting and not is_fitting(trainer):
            self._finish(trainer, pl_module, "val")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the worst chips of the last validation with pictures."""
        if _has_chips(trainer, pl_module):
            self._show_worst(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the table."""
        if self._collecting:
            self._finish(trainer, pl_module, "test")

    def _reset(self) -> None:
        self._rows, self._chosen, self._worst = [], _Lowest(self._pictures), _Lowest(self.worst)

    def _collect(self, trainer: Trainer, module: LightningModule, logits: Tensor, batch: Batch) -> None:
        task = cast(AnsweringTask, module)
        if is_fitting(trainer):  # only the worst are wanted
            losses = chip_losses(task, logits, batch)
            chosen: list[int] = []
        else:
            rows = chip_rows(task, logits, batch)
            self._rows += rows
            losses = [row.loss for row in rows]
            chosen = self._chosen.places_of([_by_hash(name) for name in batch["id"]])
        keys = [(-loss, name) for loss, name in zip(losses, batch["id"], strict=True)]
        worst = self._worst.places_of(keys)
        places = sorted({*chosen, *worst})
        if not places:
            return
        part = cast(Batch, {k: v if k == "id" else v.cpu() for k, v in part_of(batch, places).items()})  # type: ignore[attr-defined]
        source = cast(ChipSource, trainer.datamodule)  # type: ignore[attr-defined]
        pictured = panels_of(
            cast(PicturedTask, module), part, logits[places].float().cpu(), source.statistics
        )
        for place, panel in zip(places, pictured, strict=True):
            shown = replace(panel, loss=losses[place])
            if place in worst:
                self._worst.add(keys[place], shown)
            if place in chosen:
                self._chosen.add(_by_hash(panel.id), shown)

    def _finish(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        rows = sorted(of_all(self._rows), key=lambda row: row.id)
        pictured = set(sorted(_by_hash(row.id) for row in rows)[: self._pictures])
        panels = at_rank_zero([panel for key, panel in self._chosen.kept.items() if key in pictured])
        if trainer.is_global_zero and rows:
            source = cast(ChipSource, trainer.datamodule)  # type: ignore[attr-defined]
            places = source.places([row.id for row in rows])
            write_atomically(self.run_folder / f"chips_{stage}.csv", rows_csv(rows, places))
            if wandb_run(trainer) is not None:
                table = wandb_table(rows, places, panels, cast(PicturedTask, module))
                show(trainer, {}, charts={f"{stage}/table": table})
        self._show_worst(trainer, module, stage)

    def _show_worst(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        lowest = set(sorted(of_all(list(self._worst.kept)))[: self.worst])
        mine = [(key, panel) for key, panel in self._worst.kept.items() if key in lowest]
        panels = [panel for _, panel in sorted(at_rank_zero(mine), key=lambda entry: entry[0])]
        if not trainer.is_global_zero or not panels:
            return
        task = cast(PicturedTask, module)
        source = cast(ChipSource, trainer.datamodule)  # type: ignore[attr-defined]
        panels = located(panels, source)
        folder = self.run_folder / "panels" / f"worst_{stage}"
        write_panels(folder, panels, task.schema, kind=task.kind, statistics=source.statistics)
        strips = numbered([(panel.caption, strip(panel)) for panel in panels])
        charts = {}
        if wandb_run(trainer) is not None:
            overlays = [image for panel in panels for image in wandb_images(panel, task.schema, task.kind)]
            charts = {f"{stage}/worst": overlays}
        show(trainer, {f"{stage}/worst": strips}, charts=charts)


def wandb_table(
    rows: Sequence[ChipRow],
    places: Sequence[tuple[float, float] | None],
    panels: Sequence[Panel],
    task: PicturedTask,
) -> Any:
    """The rows as `wandb.Table`, with overlays where there are panels.

    Args:
        rows: At least one.
        places: Longitude and latitude of each.
        panels: Of some of them.
        task: What the classes are.
    """
    import wandb

    pictures = {panel.id: wandb_images(panel, task.schema, task.kind) for panel in panels}
    names = ("before", "image") if task.kind == "change" else ("image",)
    if task.kind == "series":
        names = ("dates", "image")
    data: list[list[Cell | Any]] = []
    for row, place in zip(rows, places, strict=True):
        images = pictures.get(row.id) or [None] * len(names)
        data.append([row.id, *images, *cells_of(row, place)[1:]])
    return wandb.Table(columns=["chip", *names, *columns_of(rows)[1:]], data=data)


class _Lowest:
    """The panels with the lowest keys of those that were added; a key holds the chip's id."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.kept: dict[_Key, Panel] = {}

    def places_of(self, keys: Sequence[_Key]) -> list[int]:
        """Places of the keys that would be among the lowest, were they added."""
        lowest = set(sorted([*self.kept, *keys])[: self.count])
        return [place for place, key in enumerate(keys) if key in lowest]

    def add(self, key: _Key, panel: Panel) -> None:
        """Keep a panel, and let go of the one with the highest key where there are too many."""
        self.kept = dict(sorted({**self.kept, key: panel}.items(), key=lambda entry: entry[0])[: self.count])


def _by_hash(name: str) -> _Key:
    """A key that is the same for one id everywhere, and in no order that the ids have."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]), name


def _has_chips(trainer: Trainer, module: LightningModule) -> bool:
    """Whether there is something to look at: not single pixels, and labels to compare with."""
    source = cast(ChipSource, trainer.datamodule)  # type: ignore[attr-defined]
    return source.chip_size > 1 and cast(PicturedTask, module).kind != "pretraining"
