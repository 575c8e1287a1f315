"""LightningModules: logits, loss, metrics, optimiser. They never read files."""

from eoseg.tasks.segmentation import SegmentationTask
from eoseg.tasks.task import Task

__all__ = ["SegmentationTask", "Task"]
