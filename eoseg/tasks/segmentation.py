"""Semantic segmentation: one class per pixel."""

from typing import ClassVar

from eoseg.models import Kind
from eoseg.tasks.class_task import ClassTask


class SegmentationTask(ClassTask):
    """Train a network to give each pixel a class."""

    kind: ClassVar[Kind] = "segmentation"
    default_arch: ClassVar[str] = "unet"
