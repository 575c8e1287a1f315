"""From a checkpoint and a scene to a map. Imports neither lightning nor tasks."""

from eoseg.predict.engine import predict_scene
from eoseg.predict.memory import keep_freed_memory
from eoseg.predict.options import Disagreement, Prediction, PredictOptions, Progress, ValueRange

__all__ = [
    "Disagreement",
    "PredictOptions",
    "Prediction",
    "Progress",
    "ValueRange",
    "keep_freed_memory",
    "predict_scene",
]
