"""The text of a model card, in Markdown: the sections that the Hugging Face Hub asks for."""

import shlex
from collections.abc import Sequence

from eoseg.evaluate.accuracy import file_sha256
from eoseg.recipe import Recipe, format_color
from eoseg.report.findings import Findings
from eoseg.report.measures import Measure
from eoseg.report.verdict import network_words, purpose, shown_figures, verdict, warnings, with_interval

_INPUTS = {"single": "SCENE.tif", "pair": "BEFORE.tif AFTER.tif", "series": "FOLDER_OF_DATES"}


def card_text(findings: Findings, *, license_id: str, dataset: str) -> str:
    """The card below its metadata.

    Args:
        findings: What is known of the run.
        license_id: The licence of the weights, as the Hub calls it.
        dataset: Name of the data set.
    """
    run = findings.run
    parts = [
        f"# {run.name}",
        verdict(run, findings.measures, findings.split, findings.diagrams),
        "## Model details",
        _details(findings, license_id),
        "## Intended use",
        _use(run.recipe),
        "## Training data",
        _training(findings, dataset),
        "## Evaluation",
        _evaluation(findings),
        "## Limitations",
        _limitations(findings),
        "## How to use",
        _how(findings),
    ]
    return "\n\n".join(parts) + "\n"


def _details(findings: Findings, license_id: str) -> str:
    run, recipe = findings.run, findings.run.recipe
    size, held = run.figures.get("parameters"), run.recipe.network.get("args")
    options = (
        {key: value for key, value in held.items() if key != "encoder"} if isinstance(held, dict) else {}
    )
    lines = [
        f"**Network:** {network_words(recipe)}, for {recipe.network.get('kind')}",
        f"**Gives:** {purpose(recipe)}",
        f"**Parameters:** {size:,}" if isinstance(size, int) and size else "",
        "**Options:** "
        + ", ".join(f"{key} {value}" for key, value in options.items() if not isinstance(value, dict))
        if options
        else "",
        f"**Bands, in this order:** {', '.join(recipe.schema.bands)}",
        f"**Training chips:** {recipe.chip_size} px; it takes multiples of {recipe.output_stride} px",
        f"**Licence:** {license_id}",
        f"**Made with:** eoseg {run.environment.get('eoseg', 'of unknown version')}",
        f"**SHA-256 of model.ckpt:** `{file_sha256(run.checkpoint)}`",
    ]
    return _list(lines)


def _use(recipe: Recipe) -> str:
    metres = recipe.schema.pixel_metres
    size = "" if metres is None else f" with pixels of about {metres:.3g} m"
    ranges = _table(
        ["Band", "96 % of the training values", "all of them"],
        [
            [band.name, f"{band.low:.5g} to {band.high:.5g}", f"{band.minimum:.5g} to {band.maximum:.5g}"]
            for band in recipe.statistics.bands
        ],
    )
    return (
        f"Maps of {_learned(recipe)} from scenes of the sensor, the processing level and the kind of place "
        f"that it was trained on{size}. Raw pixel values go in: normalisation is the network's first layer. "
        "Scenes whose values lie outside these ranges are not what it knows:\n\n"
        f"{ranges}\n\n"
        "Not intended for other sensors, places or seasons without a test on them, nor as the only ground of "
        "a decision about people or property."
    )


def _training(findings: Findings, dataset: str) -> str:
    recipe, split = findings.run.recipe, findings.split
    statistics, classes = recipe.statistics, recipe.schema.classes
    parts = [f"`{dataset}`: {statistics.valid_pixels:,} valid training pixels of type {statistics.dtype}."]
    total = sum(statistics.class_pixels)
    if classes and total and len(statistics.class_pixels) == len(classes):
        rows = [
            [entry.name, format_color(entry.color), f"{count:,}", f"{count / total:.1%}"]
            for entry, count in zip(classes, statistics.class_pixels, strict=True)
        ]
        parts.append(_table(["Class", "Colour", "Training labels", "Share"], rows))
    if split is not None:
        parts.append(f"The split is {split.manner} (SHA-256 `{split.sha256[:12]}`).")
    return "\n\n".join(parts)


def _evaluation(findings: Findings) -> str:
    if not findings.measures:
        return f"Not evaluated yet: run `{shlex.join(['eoseg', 'test', str(findings.run.folder)])}`."
    parts = [_measured(measure, findings.run.recipe) for measure in findings.measures]
    if findings.area is not None:
        rows = [
            [entry.name, entry.area.words(findings.area.digits), entry.share.words()]
            + ["undefined" if part is None else part.words() for part in (entry.users, entry.producers)]
            for entry in findings.area.classes
        ]
        head = ["Class", f"Area, {findings.area.unit}", "Share", "User's accuracy", "Producer's accuracy"]
        overall = f"Overall accuracy {findings.area.overall.words()}, from {findings.area.points:,} points."
        parts.append(f"### Map, from a random sample of points\n\n{overall}\n\n{_table(head, rows)}")
    return "\n\n".join(parts)


def _measured(measure: Measure, recipe: Recipe) -> str:
    unit = recipe.schema.quantity.unit if recipe.schema.quantity is not None else ""
    rows = [
        [title, with_interval(measure, name, f" {unit}" if unit and name in ("rmse", "mae", "bias") else "")]
        for name, title, _ in shown_figures(measure)
    ]
    parts = [f"### {measure.title}", _table(["Figure", "Value"], rows)]
    if measure.scores is not None:
        per_class = []
        for entry in measure.scores.classes:
            ends = measure.ends.get(f"iou/{entry.name}")
            between = "none" if ends is None else f"{ends[0]:.3f}-{ends[1]:.3f}"
            figures = (entry.f1, entry.users_accuracy, entry.producers_accuracy)
            per_class.append([entry.name, _figure(entry.iou), between, *map(_figure, figures)])
        parts.append(_table(["Class", "IoU", "95 % of IoU", "F1", "User's", "Producer's"], per_class))
    if measure.labels:
        parts.append(_table(["Label", "F1"], [[name, _figure(f1)] for name, _, f1 in measure.labels]))
    return "\n\n".join([*parts, *measure.notes])


def _limitations(findings: Findings) -> str:
    lines = list(warnings(findings.run, findings.measures, findings.split))
    for measure in findings.measures[:1]:
        if measure.scores is not None:
            weak = [e.name for e in measure.scores.classes if e.iou is not None and e.iou < 0.5]
            lines += [f"IoU below 0.5 on the {measure.title.lower()}: {', '.join(weak)}."] if weak else []
        if not any(measure.ends.values()):
            lines.append("The figures have no intervals: how far they would differ elsewhere is not known.")
    if not findings.diagrams and findings.run.recipe.schema.classes:
        lines.append("How far its probabilities can be believed was not measured.")
    if findings.area is None and findings.run.recipe.schema.classes:
        lines.append(
            "Areas counted in its maps carry its errors along; estimate them from a sample of points."
        )
    lines.append("Figures speak of the places and dates they were measured on, not of others.")
    return _list(lines)


def _how(findings: Findings) -> str:
    scene = _INPUTS[findings.run.recipe.schema.time]
    if findings.run.recipe.task == "PretrainTask":
        return "```bash\neoseg embed model.ckpt SCENE.tif --out features.parquet\n```"
    python = (
        "from pathlib import Path\n\nfrom eoseg.models.checkpoint import load_network\n"
        "from eoseg.predict import predict_scene\n\n"
        'network, recipe = load_network("model.ckpt")\n'
        'predict_scene(network, recipe, "scene.tif", Path("map.tif"))\n'
    )
    shown = f"```bash\neoseg predict model.ckpt {scene} --out map.tif\n```"
    return shown if scene != "SCENE.tif" else f"{shown}\n\n```python\n{python}```"


def _learned(recipe: Recipe) -> str:
    if recipe.schema.quantity is not None:
        return recipe.schema.quantity.name
    return ", ".join(recipe.schema.class_names) or "features"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
