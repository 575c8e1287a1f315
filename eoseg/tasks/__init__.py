"""LightningModules: logits, loss, metrics, optimiser. They never read files."""

from eoseg.tasks.change import ChangeTask
from eoseg.tasks.classification import ClassificationTask
from eoseg.tasks.pretraining import PretrainTask
from eoseg.tasks.regression import RegressionTask
from eoseg.tasks.segmentation import SegmentationTask
from eoseg.tasks.series import SeriesTask
from eoseg.tasks.task import Task

__all__ = [
    "ChangeTask",
    "ClassificationTask",
    "PretrainTask",
    "RegressionTask",
    "SegmentationTask",
    "SeriesTask",
    "Task",
]
