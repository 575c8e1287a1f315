"""What a classifier of chips has learned: its first filters, and where it looks (Grad-CAM)."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray
from torch import Tensor, nn

from eoseg.batch import Batch
from eoseg.errors import OutputError
from eoseg.figures import Rgb, contact_sheet, png_bytes, rgb_image
from eoseg.figures.insight import filter_sheet, heat_image
from eoseg.tracking.board import show
from eoseg.tracking.chip_rows import named
from eoseg.tracking.panels import ChipSource, PicturedTask

_log = logging.getLogger(__name__)

_IN_PLACE = "inplace"
_LEAST_SIDE = 4
"""Grad-CAM takes the last convolution that still has as many places along each side, where one has."""


class InsightPanel(Callback):
    """Show the first filters of a classifier, and where it looks on some fixed chips.

    At the end of a training and of a test. Networks without convolutions have neither; Grad-CAM needs captum
    (`pip install "eoseg[explain]"`), without which a line says so.
    """

    def __init__(self, run_folder: Path, *, count: int = 8) -> None:
        """Choose how many chips.

        Args:
            run_folder: The folder of the run; the pictures are written to `panels/`.
            count: Chips.
        """
        self.run_folder = run_folder
        self.count = count

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show both."""
        if _is_classifier(trainer, pl_module):
            task = cast(PicturedTask, pl_module)
            filters = first_filters(pl_module, task.schema.bands)
            if filters is not None:
                self._keep(trainer, "val/filters", {"filters of the first layer": filters})
            self._look(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show where it looks on test chips."""
        if _is_classifier(trainer, pl_module):
            self._look(trainer, pl_module, "test")

    def _look(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if last_convolution(module) is None:
            return
        if importlib.util.find_spec("captum") is None:
            _log.info('No Grad-CAM: it needs captum (pip install "eoseg[explain]").')
            return
        source, task = cast(ChipSource, trainer.datamodule), cast(PicturedTask, module)  # type: ignore[attr-defined]
        # Inside an evaluation tensors know no gradients; the chips are read anew here.
        with isolate_rng(), torch.inference_mode(mode=False):
            batch = source.panel_chips(stage, self.count)
            heat, answers = grad_cam(module, batch)
        truth = task.target(batch).numpy()
        names = task.schema.class_names
        chips = []
        for place in range(len(heat)):
            chip = rgb_image(batch["image"][place].numpy(), source.statistics, batch["valid"][place].numpy())
            chips.append(heat_image(chip, heat[place]))
        said = [(named(truth[place], names), names[answer]) for place, answer in enumerate(answers)]
        self._keep(
            trainer, f"{stage}/grad_cam", {"where the network looks (Grad-CAM)": contact_sheet(chips, said)}
        )

    def _keep(self, trainer: Trainer, key: str, pictures: dict[str, Rgb]) -> None:
        path = self.run_folder / "panels" / f"{key.replace('/', '_')}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for picture in pictures.values():
                path.write_bytes(png_bytes(picture))
        except OSError as error:
            raise OutputError(f"'{path}' cannot be written: {error}. Check the free space.") from error
        show(trainer, {key: pictures})


def first_filters(module: nn.Module, bands: tuple[str, ...]) -> Rgb | None:
    """The filters of the first convolution, or of a transformer's patches; None without any."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            return filter_sheet(layer.weight.detach().float().cpu().numpy(), bands)
    return None


def last_convolution(module: nn.Module) -> nn.Conv2d | None:
    """The last convolution of a network, None where it has none or only that of a transformer's patches."""
    found = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    return found[-1] if len(found) > 1 else None


def grad_cam(module: LightningModule, batch: Batch) -> tuple[NDArray[np.float32], list[int]]:
    """Where a classifier looks for its answer (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391).

    Args:
        module: A task that classifies chips; its mode and its gradients are the same afterwards.
        batch: The chips, on the CPU.

    Returns:
        Float32 `(B, H, W)`, at least 0, and the class that each map is for: the likeliest one.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    was_training = module.training
    module.eval()
    image, valid = batch["image"].to(module.device), batch["valid"].to(module.device)
    with torch.enable_grad(), _no_in_place(module):
        with torch.no_grad():
            answers = module(image, valid).argmax(dim=1)
        layer = _layer_to_look_at(module, image[:1], valid[:1])
        attribution = LayerGradCam(module.forward, layer).attribute(
            image, target=answers, additional_forward_args=(valid,), relu_attributions=True
        )  # (B, 1, h, w)
        heat = LayerAttribution.interpolate(attribution, image.shape[-2:], "bilinear")
    module.train(was_training)
    maps = cast(NDArray[np.float32], heat[:, 0].detach().float().cpu().numpy())
    return maps, [int(answer) for answer in answers.tolist()]


def _layer_to_look_at(module: nn.Module, image: Tensor, valid: Tensor) -> nn.Conv2d:
    """The last convolution whose result still has several places; else the one with most of them."""
    sides: dict[nn.Conv2d, int] = {}

    def note(layer: nn.Module, inputs: Any, output: Tensor) -> None:  # noqa: ARG001
        sides.pop(cast(nn.Conv2d, layer), None)
        sides[cast(nn.Conv2d, layer)] = min(output.shape[-2:])

    hooks = [layer.register_forward_hook(note) for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        module(image, valid)
    for hook in hooks:
        hook.remove()
    wide = [layer for layer, side in sides.items() if side >= min(_LEAST_SIDE, max(sides.values()))]
    return wide[-1]


@contextmanager
def _no_in_place(module: nn.Module) -> Iterator[None]:
    """Let activations leave their inputs alone, which Grad-CAM needs as they were."""
    changed = [layer for layer in module.modules() if getattr(layer, _IN_PLACE, False) is True]
    for layer in changed:
        setattr(layer, _IN_PLACE, False)
    try:
        yield
    finally:
        for layer in changed:
            setattr(layer, _IN_PLACE, True)


def _is_classifier(trainer: Trainer, module: LightningModule) -> bool:
    """Whether this process is to show a network that gives chips one class."""
    task = cast(PicturedTask, module)
    return trainer.is_global_zero and task.kind == "classification" and not task.schema.multilabel
