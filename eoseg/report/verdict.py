"""What a run has reached, in one paragraph, and what a reader must beware of."""

from collections.abc import Sequence

from eoseg.recipe import Recipe
from eoseg.report.measures import FIGURE_TITLES, Measure
from eoseg.report.reliability import Diagram, told_reliability
from eoseg.report.run import Run
from eoseg.report.split import SplitTable

_TASKS = {
    "SegmentationTask": "a class per pixel",
    "ClassificationTask": "a class per chip",
    "ChangeTask": "change per pixel between two dates",
    "SeriesTask": "a class per pixel from a series of dates",
    "RegressionTask": "a number per pixel",
    "PretrainTask": "features without labels",
}

_TOLD = {
    "class": ("oa", "miou"),
    "change": ("change_f1", "oa"),
    "labels": ("micro_f1",),
    "value": ("rmse", "r2"),
}
"""Which figures a sentence gives, by what is learned."""


def network_words(recipe: Recipe) -> str:
    """The network in a few words, such as "unet over resnet18"."""
    given = recipe.network.get("args")
    encoder = given.get("encoder") if isinstance(given, dict) else None
    return f"{recipe.network.get('arch')}" + (f" over {encoder}" if encoder else "")


def purpose(recipe: Recipe) -> str:
    """What the network gives, in a few words."""
    quantity = recipe.schema.quantity
    if quantity is not None:
        return f"{quantity.name} per pixel" + (f" in {quantity.unit}" if quantity.unit else "")
    if recipe.schema.multilabel:
        return "labels per chip"
    return _TASKS.get(recipe.task, recipe.task)


def verdict(
    run: Run, measures: Sequence[Measure], split: SplitTable | None, diagrams: Sequence[Diagram] = ()
) -> str:
    """One paragraph: what was trained, how good it is where it counts, and where it errs.

    Args:
        run: The run.
        measures: What is known, the most telling first.
        split: How the data were split.
        diagrams: How far probabilities can be believed.
    """
    recipe = run.recipe
    size = run.figures.get("parameters")
    weights = f" ({size:,} parameters)" if isinstance(size, int) and size else ""
    labelled = sum(recipe.statistics.class_pixels)
    unit = "chips" if recipe.task == "ClassificationTask" else "pixels"
    on = f" on {labelled:,} labelled {unit}" if labelled else ""
    sentences = [f"The network {network_words(recipe)}{weights} was trained{on} and gives {purpose(recipe)}."]
    sentences += [_reached(measure, recipe) for measure in measures if _leading(measure, recipe)]
    if measures and measures[0].scores is not None:
        sentences.append(_extremes(measures[0]))
    sentences.append(told_reliability(diagrams))
    if not any(measure.kind in ("test", "map") for measure in measures):
        sentences.append("It was neither tested on a test split nor compared with a reference yet.")
    if split is not None:
        sentences.append(f"The split is {split.manner}.")
    return " ".join(filter(None, sentences))


def warnings(run: Run, measures: Sequence[Measure], split: SplitTable | None) -> list[str]:
    """What makes figures better than they would be elsewhere, a line each."""
    found = []
    if split is not None and split.is_random:
        found.append("Random split: expect lower figures on other places. A split by blocks is honest.")
    leakage = run.leakage
    if leakage.get("verdict") not in (None, "clean"):
        texts = leakage.get("found")
        told = " ".join(map(str, texts.values())) if isinstance(texts, dict) else ""
        allowed = ", and was allowed to" if leakage.get("allowed") else ""
        found.append(f"The split is {leakage['verdict']}{allowed}: figures are too good. {told}".strip())
    if measures and all(measure.kind == "validation" for measure in measures):
        found.append("Only validation figures are known, and validation chose the checkpoint: they flatter.")
    state = run.environment.get("git")
    if isinstance(state, dict) and state.get("dirty"):
        found.append("The code differed from the git revision of the record when the run was made.")
    for measure in measures:
        if measure.scores is None:
            continue
        absent = [entry.name for entry in measure.scores.classes if entry.iou is None]
        if absent:
            found.append(f"{measure.title}: without reference, so undefined: {', '.join(absent)}.")
    return found


def shown_figures(measure: Measure) -> list[tuple[str, str, float | None]]:
    """Name, title and value of the overall figures that a measure has, in order."""
    return [
        (name, title, measure.figures[name])
        for name, title in FIGURE_TITLES.items()
        if name in measure.figures
    ]


def with_interval(measure: Measure, name: str, unit: str = "") -> str:
    """A figure and its interval, such as "0.785 (95 %: 0.771-0.800)"."""
    value = measure.figures[name]
    if value is None:
        return "undefined"
    ends = measure.interval(name)
    between = "" if ends is None else f" (95 %: {ends[0]:.3f}-{ends[1]:.3f})"
    return f"{value:.3f}{unit}{between}"


def _reached(measure: Measure, recipe: Recipe) -> str:
    quantity = recipe.schema.quantity
    unit = quantity.unit if quantity is not None else ""
    parts = [
        f"{FIGURE_TITLES[name]} {with_interval(measure, name, _unit(name, unit))}"
        for name in _leading(measure, recipe)
    ]
    title = measure.title[0].lower() + measure.title[1:]
    where = {"test": "On the test split it", "validation": "On the validation split it"}
    return f"{where.get(measure.kind, f'Its {title}')} has {' and '.join(parts)}."


def _unit(name: str, unit: str) -> str:
    return f" {unit}" if unit and name in ("rmse", "mae", "bias") else ""


def _leading(measure: Measure, recipe: Recipe) -> list[str]:
    if recipe.schema.quantity is not None:
        told = _TOLD["value"]
    elif recipe.schema.multilabel:
        told = _TOLD["labels"]
    elif "change_f1" in measure.figures:
        told = _TOLD["change"]
    else:
        told = _TOLD["class"]
    return [name for name in told if name in measure.figures]


def _extremes(measure: Measure) -> str:
    """The best and the weakest class, and what the weakest is taken for."""
    assert measure.scores is not None
    known = [entry for entry in measure.scores.classes if entry.iou is not None]
    if len(known) < 3 or measure.matrix is None:
        return ""
    ranked = sorted(known, key=lambda entry: (entry.iou or 0.0, entry.name))
    worst, best = ranked[0], ranked[-1]
    names = [entry.name for entry in measure.scores.classes]
    row = measure.matrix[names.index(worst.name)].copy()
    total = int(row.sum())
    row[names.index(worst.name)] = 0
    taken = ""
    if row.any():
        place = int(row.argmax())
        taken = f", of whose reference {100 * row[place] / total:.0f} % is taken for {names[place]}"
    return f"Best is {best.name} (IoU {best.iou:.2f}), weakest {worst.name} (IoU {worst.iou:.2f}){taken}."
