"""The tiles that a prediction will take, as it chooses them."""

from contextlib import ExitStack
from pathlib import Path

from eoseg.geo.tiles import TilePlan
from eoseg.models import Network
from eoseg.predict import PredictOptions, Rank
from eoseg.predict.plan import ChipPlan
from eoseg.predict.preparation import prepare
from eoseg.recipe import Recipe


def plan_of(network: Network, recipe: Recipe, scene: Path, options: PredictOptions) -> TilePlan | ChipPlan:
    """Choose the tiles of a scene; nothing is written."""
    out = scene.with_name("unused.tif")
    with ExitStack() as stack:
        work = prepare(stack, network, recipe, str(scene), out, rank=Rank(), options=options, checkpoint=None)
        return work.layout.plan
