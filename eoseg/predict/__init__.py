"""From a checkpoint and a scene to a map. Imports neither lightning nor tasks."""

from eoseg.predict.engine import predict_scene, predict_share
from eoseg.predict.members import Member, load_members
from eoseg.predict.memory import keep_freed_memory
from eoseg.predict.options import (
    Disagreement,
    Estimate,
    Prediction,
    PredictOptions,
    SeamLine,
    SeamSample,
    Times,
    ValueRange,
)
from eoseg.predict.out_of_range import OutOfRange
from eoseg.predict.passes import Passes
from eoseg.predict.ranks import Rank, find_rank
from eoseg.progress import Progress

__all__ = [
    "Disagreement",
    "Estimate",
    "Member",
    "OutOfRange",
    "Passes",
    "PredictOptions",
    "Prediction",
    "Progress",
    "Rank",
    "SeamLine",
    "SeamSample",
    "Times",
    "ValueRange",
    "find_rank",
    "keep_freed_memory",
    "load_members",
    "predict_scene",
    "predict_share",
]
