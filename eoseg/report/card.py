"""The model card of a run, as the Hugging Face Hub lays them out: metadata in YAML, then Markdown.

https://huggingface.co/docs/hub/model-cards; the metadata follow
https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

import re
from pathlib import Path
from typing import Any

from eoseg.errors import ConfigError, unknown_name
from eoseg.recipe import Recipe
from eoseg.report.card_text import card_text
from eoseg.report.findings import Findings
from eoseg.report.measures import FIGURE_TITLES, Measure
from eoseg.report.run import Run

LICENSES = (
    *("afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigcode-openrail-m", "bigscience-openrail-m"),
    *("bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc", "cc-by-2.0"),
    *("cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
    *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    *("cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0"),
    *("cdla-permissive-2.0", "cdla-sharing-1.0", "creativeml-openrail-m", "ecl-2.0", "epl-1.0", "epl-2.0"),
    *("etalab-2.0", "eupl-1.1", "eupl-1.2", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1"),
    *("lgpl-3.0", "lgpl-lr", "lppl-1.3c", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1"),
    *("openrail", "openrail++", "osl-3.0", "pddl", "postgresql", "unknown", "unlicense", "wtfpl", "zlib"),
)
"""The Hub's names of licences, but for "other" and those of single models."""

_DATASET = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

_TASKS = {
    "SegmentationTask": ("image-segmentation", "Semantic segmentation of satellite images"),
    "ClassificationTask": ("image-classification", "Classification of satellite images"),
    "ChangeTask": ("image-segmentation", "Change detection between two satellite images"),
    "SeriesTask": ("image-segmentation", "Segmentation of satellite image time series"),
    "RegressionTask": ("other", "Estimation of a quantity from satellite images"),
    "PretrainTask": ("image-feature-extraction", "Features of satellite images"),
}
"""The Hub's task and what it is called here."""

_METRICS = {
    "oa": "accuracy",
    "miou": "mean_iou",
    "mean_f1": "f1",
    "change_f1": "f1",
    "micro_f1": "f1",
    "kappa": "cohen_kappa",
    "balanced_accuracy": "balanced_accuracy",
    "rmse": "rmse",
    "mae": "mae",
    "r2": "r_squared",
}
"""Names of the Hub for figures; other figures are in the text alone."""


def model_card(findings: Findings, *, license_id: str = "unknown", dataset: str | None = None) -> str:
    """Write a model card.

    Args:
        findings: What is known of the run.
        license_id: The licence of the weights, as the Hub calls it; nobody but their owner knows it.
        dataset: The data on the Hub, "owner/name"; by default the name of the data's folder.

    Raises:
        ConfigError: The Hub knows no such licence, or the data set's name is none of the Hub.
    """
    if license_id not in LICENSES:
        raise ConfigError(unknown_name("licence of the Hub", license_id, LICENSES))
    run = findings.run
    data = dataset or data_name(run)
    if not _DATASET.fullmatch(data):
        raise ConfigError(f"A data set of the Hub is called 'owner/name' or 'name'; found '{data}'.")
    values = metadata(findings, license_id=license_id, dataset=data)
    return f"---\n{_yaml(values)}---\n\n{card_text(findings, license_id=license_id, dataset=data)}"


def metadata(findings: Findings, *, license_id: str, dataset: str) -> dict[str, Any]:
    """What stands in the card's YAML: licence, tags, data set, metrics, and the figures as `model-index`.

    Args:
        findings: What is known of the run.
        license_id: As the Hub calls it.
        dataset: Name of the data set.
    """
    recipe = findings.run.recipe
    task, _ = _TASKS.get(recipe.task, ("other", recipe.task))
    kinds = {"SegmentationTask": "semantic-segmentation", "ChangeTask": "change-detection"}
    tags = ["eoseg", "remote-sensing", "earth-observation", "geospatial"]
    tags += [kinds[recipe.task]] if recipe.task in kinds else []
    tags.append(str(recipe.network.get("arch")).replace("_", "-"))
    results = [_result(measure, recipe, dataset) for measure in findings.measures]
    results = [result for result in results if result["metrics"]]
    used = [metric["type"] for result in results for metric in result["metrics"]]
    values: dict[str, Any] = {"license": license_id, "library_name": "eoseg"}
    if task != "other":
        values["pipeline_tag"] = task
    values |= {"tags": tags, "datasets": [dataset]}
    if results:
        name = re.sub(r"[^\w.-]+", "-", findings.run.name)
        values |= {
            "metrics": list(dict.fromkeys(used)),
            "model-index": [{"name": name, "results": results}],
        }
    return values


def data_name(run: Run) -> str:
    """A short name for the data of a run: the folder, the table or the data set of torchgeo."""
    data = run.config.get("data")
    held = data.get("init_args") if isinstance(data, dict) else None
    named: list[object] = []
    if isinstance(held, dict):
        named.append(str(held.get("datamodule") or "").removesuffix("DataModule"))
        for key in ("scenes", "chips", "table"):
            inner = held.get(key)
            if isinstance(inner, dict):
                named += [inner.get("root"), inner.get("path")]
    found = next((str(name) for name in named if name), run.folder.resolve().parent.name)
    return re.sub(r"[^\w.-]+", "-", Path(found).stem).strip("-.") or "data"


def _result(measure: Measure, recipe: Recipe, dataset: str) -> dict[str, Any]:
    task, name = _TASKS.get(recipe.task, ("other", recipe.task))
    splits = {"test": "test", "validation": "validation", "map": "map"}
    metrics = []
    for figure, metric in _METRICS.items():
        value = measure.figures.get(figure)
        if value is None:
            continue
        entry: dict[str, Any] = {"type": metric, "name": FIGURE_TITLES[figure], "value": round(value, 4)}
        ends = measure.interval(figure)
        if ends is not None:
            entry["args"] = {"interval_95": [round(end, 4) for end in ends]}
        metrics.append(entry)
    return {
        "task": {"type": task, "name": name},
        "dataset": {
            "type": dataset,
            "name": f"{dataset}: {measure.title}",
            "split": splits[measure.kind],
        },
        "metrics": metrics,
    }


def _yaml(values: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return text
