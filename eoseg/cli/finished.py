"""What `eoseg fit` says at its end: what its checkpoint is worth in a map, and what to do with it."""

import logging
from pathlib import Path

from eoseg.datasets.base import EOData
from eoseg.datasets.datamodule import SceneData
from eoseg.models.checkpoint import load_network
from eoseg.predict.surroundings import measure_surroundings
from eoseg.tasks import PretrainTask, SegmentationTask, Task

logger = logging.getLogger(__name__)

_COMPARED_CHIPS = 8
"""About as many validation chips are classified again in place."""
_SCENES = {"single": "SCENE.tif", "pair": "BEFORE.tif AFTER.tif", "series": "FOLDER_OF_DATES"}


def say_finished(task: Task, data: EOData, model: Path, run_folder: Path) -> None:
    """Print what comes after a training.

    Args:
        task: What was trained.
        data: What it was trained on.
        model: Its best checkpoint.
        run_folder: Where it is.
    """
    if isinstance(task, SegmentationTask) and isinstance(data, SceneData):
        _compare_with_map(data, model)
    print(f"Everything of this run: {run_folder}")
    print(f"Next: eoseg test {run_folder}")
    if isinstance(task, PretrainTask):
        print(f"      model.init_args.weights: {model}   (in the configuration of another task)")
        print(f"      eoseg embed {model} SCENE.tif --out features.parquet")
    else:
        print(f"      eoseg predict {model} {_SCENES[task.schema.time]} --out map.tif")


def _compare_with_map(data: SceneData, model: Path) -> None:
    """Say whether the figures on chips hold for a map."""
    chips = data.chips("val") if data.split.of("val") else []
    network, _ = load_network(model)
    found = measure_surroundings(network, data.reader, chips[:: max(1, len(chips) // _COMPARED_CHIPS)])
    if found is None:
        return
    alone, in_place = f"{found.accuracy_alone:.3f}", f"{found.accuracy_in_place:.3f}"
    print(
        f"On {found.pixels:,} labelled pixels of validation chips, overall accuracy {alone} as chips, "
        f"{in_place} with what lies around them, as in a map."
    )
    if found.is_notable:
        logger.warning(
            "A map will be worse than the figures on chips: the network looks %d px around a pixel, a "
            "chip shows %d px. Use larger chips, or a network that looks less far (such as a U-Net with "
            "network_args: {depth: 3}).",
            found.halo,
            data.chip_size,
        )
