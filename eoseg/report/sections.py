"""The sections of a report; each says in a line what is missing, and which command makes it."""

import shlex
from collections.abc import Callable

from eoseg.errors import DataError
from eoseg.evaluate.html import (
    bullets,
    cards,
    charts,
    code,
    columns,
    figure,
    fold,
    missing,
    paragraph,
    record,
    section,
    shots,
    swatch,
    table,
    text,
)
from eoseg.evaluate.panel import MapPanel
from eoseg.evaluate.sections import (
    CLASS_WORDS,
    MATRIX_WORDS,
    class_table,
    curve_charts,
    map_pictures,
    matrix_tables,
)
from eoseg.recipe import Plain, Recipe
from eoseg.report.area import area_content
from eoseg.report.commands import commands, original_command
from eoseg.report.findings import Findings
from eoseg.report.measures import Measure
from eoseg.report.reliability import reliability_content
from eoseg.report.run import Run
from eoseg.report.selective import surest_content
from eoseg.report.split import SPLIT_TITLES
from eoseg.report.split_map import scene_grids, split_map
from eoseg.report.verdict import network_words, purpose, shown_figures, verdict, warnings

HEADINGS = {
    "figures": "Figures",
    "data": "Data and split",
    "curves": "Training",
    "matrix": "Confusion matrix",
    "classes": "Classes",
    "reliability": "Reliability",
    "map": "Map",
    "area": "Area",
    "protocol": "Protocol",
    "commands": "Commands",
    "versions": "Versions",
}
"""Headings of the sections below the verdict, by their ids, in their order."""

_MOST_CARDS = 5


def head(findings: Findings) -> str:
    """Title, verdict and overall figures."""
    run = findings.run
    parts = [
        f"<h1>{text(run.name)}</h1>",
        f'<p class="lead">{text(verdict(run, findings.measures, findings.split, findings.diagrams))}</p>',
    ]
    beware = warnings(run, findings.measures, findings.split)
    parts += [f'<p class="warn">{text(line)}</p>' for line in beware]
    return f'<header id="verdict">{"".join(parts)}</header>'


def sections(findings: Findings) -> list[str]:
    """All sections, in the order of `HEADINGS`."""
    makers: dict[str, Callable[[Findings], str]] = {
        "figures": _figures,
        "data": _data,
        "curves": _curves,
        "matrix": _matrix,
        "classes": _classes,
        "reliability": _reliability,
        "map": _map,
        "area": _area,
        "protocol": _protocol,
        "commands": _commands,
        "versions": _versions,
    }
    return [section(HEADINGS[name], makers[name](findings), name=name) for name in HEADINGS]


def _figures(findings: Findings) -> str:
    shown = [
        f"<h3>{text(measure.title)}</h3>{_cards(measure, findings.run.recipe)}{bullets(measure.notes)}"
        for measure in findings.measures
    ]
    return "".join(shown) + _missing_test(findings)


def _cards(measure: Measure, recipe: Recipe) -> str:
    quantity = recipe.schema.quantity
    unit = f" {quantity.unit}" if quantity is not None and quantity.unit else ""
    entries = []
    for name, title, value in shown_figures(measure)[:_MOST_CARDS]:
        ends = measure.interval(name)
        below = "no interval" if ends is None else f"95 %: {ends[0]:.3f}-{ends[1]:.3f}"
        entries.append((title, figure(value) + (unit if name in ("rmse", "mae", "bias") else ""), below))
    return cards(entries)


def _data(findings: Findings) -> str:
    split = findings.split
    tables = [_facts(findings.run), _label_counts(findings.run.recipe)]
    if split is None:
        return columns(tables) + missing("The run folder holds no split.json.")
    held = {name: split.counts(name) for name in SPLIT_TITLES}
    rows = [
        (f'<span class="swatch {name}"></span>{title}', [f"{count:,}" for count in held[name].values()])
        for name, title in SPLIT_TITLES.items()
    ]
    tables.append(table(["Split", *held["train"]], rows, caption="The split"))
    parts = [columns(tables)]
    parts.append(paragraph(f"The split is {split.manner}. Its SHA-256 begins with {split.sha256[:12]}."))
    leakage = findings.run.leakage.get("verdict")
    if leakage is None:
        again = _command("doctor", str(findings.run.folder / "config.yaml"))
        parts.append(missing("It was not audited for leakage; this does:", again))
    else:
        parts.append(paragraph(f"The audit for leakage says: {leakage}."))
    if split.regions:
        drawn, note = split_map(split.regions, scene_grids(findings.run.config))
        parts.append(charts([("Split map", drawn)]) + paragraph(note))
    return "".join(parts)


def _facts(run: Run) -> str:
    schema, statistics = run.recipe.schema, run.recipe.statistics
    return record(
        {
            "Network": network_words(run.recipe),
            "Gives": purpose(run.recipe),
            "Bands": ", ".join(schema.bands),
            "Dates": schema.steps if schema.time != "single" else None,
            "Pixel": None if schema.pixel_metres is None else f"{schema.pixel_metres:.4g} m",
            "Chip": f"{run.recipe.chip_size} px",
            "Training pixels": statistics.pixels,
            "Without value": f"{statistics.nodata_share:.1%}",
        }
    )


def _label_counts(recipe: Recipe) -> str:
    """What there was to learn from, class by class; nothing for other tasks."""
    classes, counts = recipe.schema.classes, recipe.statistics.class_pixels
    total = sum(counts)
    if not total or len(counts) != len(classes):
        return ""
    rows = [
        (swatch(entry.color) + text(entry.name), [f"{count:,}", f"{count / total:.1%}"])
        for entry, count in zip(classes, counts, strict=True)
    ]
    return table(["Class", "Labels", "Share"], rows, caption="Labels to learn from")


def _curves(findings: Findings) -> str:
    run = findings.run
    again = _command("fit", "--config", str(run.folder / "config.yaml"))
    if run.curves is None:
        return missing("The run folder holds no metrics.csv; training again makes it:", again)
    try:
        drawn = curve_charts(run.curves)
    except DataError as error:
        return missing(f"No curves: {error}")
    best, told = run.figures.get("best"), []
    if isinstance(best, dict) and best.get("value") is not None:
        told.append(f"The checkpoint is the one with the best {best.get('figure')}: {best['value']:.3f}.")
    seconds, epochs = run.figures.get("seconds"), run.figures.get("epochs")
    if isinstance(seconds, (int, float)) and isinstance(epochs, int):
        told.append(f"{epochs} epoch{'s' * (epochs != 1)} in {seconds:,.0f} s.")
    return drawn + paragraph(" ".join(told))


def _matrix(findings: Findings) -> str:
    names = findings.run.recipe.schema.class_names
    if findings.run.recipe.schema.multilabel:
        return _label_table(findings)
    if not names:
        return missing("What the network gives is no class, so there is no confusion matrix.")
    parts = [
        f"<h3>{text(measure.title)}</h3>{matrix_tables(measure.matrix, names, unit=measure.unit)}"
        for measure in findings.measures
        if measure.matrix is not None
    ]
    words = paragraph(MATRIX_WORDS) if parts else ""
    return words + "".join(parts) + _missing_test(findings)


def _label_table(findings: Findings) -> str:
    parts = []
    for measure in findings.measures:
        rows = [
            (text(name), [f"{count:,}" for count in counts] + [figure(f1)])
            for name, counts, f1 in measure.labels
        ]
        titles = ["Label", "Right", "Missed", "False", "Rightly absent", "F1"]
        if rows:
            parts.append(table(titles, rows, caption=f"{measure.title}: chips per label"))
    return "".join(parts) + _missing_test(findings)


def _classes(findings: Findings) -> str:
    schema = findings.run.recipe.schema
    if not schema.classes:
        return missing("What the network gives is no class.")
    if schema.multilabel:
        return paragraph("A chip may have several labels: their figures are in the table above.")
    units = {"pixels": "px", "chips": "chips"}
    parts = []
    for measure in findings.measures:
        if measure.scores is not None:
            content = class_table(measure.scores, schema.classes, measure.ends, unit=units[measure.unit])
            parts.append(f"<h3>{text(measure.title)}</h3>{content}")
    words = paragraph(CLASS_WORDS) if parts else ""
    return words + "".join(parts) + _missing_test(findings)


def _reliability(findings: Findings) -> str:
    if not findings.run.recipe.schema.classes:
        return missing("What the network gives has no probabilities.")
    part = "test split" if findings.tested is not None else "validation split"
    drawn = reliability_content(findings.diagrams, part=part) + surest_content(findings.surest, part=part)
    drawn += reliability_content(findings.fitted, part="validation split, where the calibration was fitted")
    again = _command("test", str(findings.run.folder))
    return drawn or missing("How far probabilities can be believed was not measured; this does:", again)


def _map(findings: Findings) -> str:
    run, view = findings.run, findings.view
    if view is None:
        checkpoint, out = str(run.checkpoint), str(run.folder / "map.tif")
        scene = {"single": "SCENE.tif", "pair": "BEFORE.tif AFTER.tif", "series": "FOLDER"}[
            run.recipe.schema.time
        ]
        made = f"eoseg predict {shlex.quote(checkpoint)} {scene} --out {shlex.quote(out)}"
        return missing("No map was found; this makes one:", made)
    parts = []
    if isinstance(view.panel, MapPanel):
        parts.append(map_pictures(view.panel, run.recipe.schema.classes))
    elif view.panel is not None:
        panel = view.panel
        pictures = [] if panel.image is None else [("image", f"{panel.name}: image", panel.image)]
        parts.append(shots([*pictures, ("map", f"{panel.name}: map", panel.map)]))
        parts.append(paragraph(f"From dark blue ({panel.low:.3g}) to yellow ({panel.high:.3g})."))
    parts.append(bullets(view.notes))
    if findings.evaluation is None:
        words = "The map was not compared with a reference; this does:"
        parts.append(missing(words, _evaluation_command(findings)))
    tags: dict[str, Plain] = {
        key.removeprefix("EOSEG_").lower().replace("_", " "): value for key, value in view.tags.items()
    }
    parts.append(fold("What the map says of itself", record(tags)))
    return "".join(parts)


def _area(findings: Findings) -> str:
    recipe, folder = findings.run.recipe, findings.run.folder
    if recipe.schema.quantity is not None or not recipe.schema.classes or recipe.schema.multilabel:
        return missing("Areas are estimated for maps of classes.")
    path = folder / "map.tif" if findings.view is None else findings.view.path
    out = str(folder / "accuracy.json")
    return area_content(findings.area, recipe.schema.classes, map_path=str(path), out=out)


def _protocol(findings: Findings) -> str:
    run = findings.run
    parts = ["<h3>Checkpoint</h3>", record(run.recipe.provenance)]
    for title, values in (
        ("Training", run.figures),
        ("Test", {} if findings.tested is None else findings.tested.figures),
    ):
        held = values.get("protocol")
        if isinstance(held, dict) and held:
            parts += [f"<h3>{title}</h3>", record(held)]
    if findings.protocol:
        shown = dict(findings.protocol)
        if findings.view is not None:  # which shows them
            shown.pop("map_tags", None)
        parts += ["<h3>Map</h3>", record(shown)]
    return "".join(parts)


def _commands(findings: Findings) -> str:
    parts = [code("\n".join(commands(findings)))]
    started = original_command(findings.run.environment)
    if started is not None:
        parts.append(paragraph("The run was started with:") + code(started))
    parts.append(fold("The whole configuration", code(findings.run.config_text)))
    return "".join(parts)


def _versions(findings: Findings) -> str:
    environment = findings.run.environment
    if not environment:
        return missing("The run folder holds no environment.json; 'eoseg fit' writes one.")
    packages = environment.get("packages")
    versions: dict[str, Plain] = {name: environment.get(name) for name in ("eoseg", "python")}
    versions |= packages if isinstance(packages, dict) else {}
    rows = [(text(name), [text(str(version))]) for name, version in versions.items() if version]
    made: dict[str, Plain] = {name: environment.get(name) for name in ("started", "platform", "cpus", "git")}
    return table(["Package", "Version"], rows, caption="Versions of the training") + record(made)


def _missing_test(findings: Findings) -> str:
    """How to come to figures on a test split; nothing where there are some, or others that are as good."""
    if findings.tested is not None:
        return ""
    folder = str(findings.run.folder)
    if findings.split is None or findings.split.has("test"):
        return missing("There is no test on the test split yet; this makes one:", _command("test", folder))
    if findings.evaluation is not None:
        return ""
    words = "The split has no test part (split.test makes one); a map can be compared with a reference:"
    return missing(words, _evaluation_command(findings))


def _evaluation_command(findings: Findings) -> str:
    folder = findings.run.folder
    path = folder / "map.tif" if findings.view is None else findings.view.path
    return _command("evaluate", str(path), "REFERENCE", "--out", str(folder / "evaluation.json"))


def _command(*words: str) -> str:
    return shlex.join(["eoseg", *words])
