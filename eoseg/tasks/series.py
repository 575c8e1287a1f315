"""Image time series: one class per pixel from the images of several dates."""

from typing import ClassVar

from eoseg.models import Kind
from eoseg.tasks.class_task import ClassTask


class SeriesTask(ClassTask):
    """Train a network to give each pixel a class from its course in time."""

    kind: ClassVar[Kind] = "series"
    default_arch: ClassVar[str] = "tempcnn"
