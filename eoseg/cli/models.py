"""`eoseg models`: which models there are, and what can be set for each."""

import argparse
import inspect
import re
from collections.abc import Callable
from typing import Any

from eoseg.errors import ConfigError, unknown_name

_TASKS = {
    "segmentation": "SegmentationTask, RegressionTask",
    "classification": "ClassificationTask",
    "change": "ChangeTask",
    "series": "SeriesTask",
    "pretraining": "PretrainTask",
}


def main(command: str, argv: list[str]) -> None:
    """List all models, those of one kind, or the options of one."""
    name = _parser(command).parse_args(argv).name
    from eoseg.models import MODELS  # imports torch

    if name is None or name in MODELS:
        for kind, models in MODELS.items():
            if name in (None, kind):
                print(f"{kind} ({_TASKS[kind]})")
                width = max((len(entry) for entry in models), default=0)
                for entry, function in models.items():
                    print(f"  {entry:<{width}}  {_summary(function)}")
                print()
        return
    found = {kind: models[name] for kind, models in MODELS.items() if name in models}
    if not found:
        known = [*MODELS, *dict.fromkeys(entry for models in MODELS.values() for entry in models)]
        raise ConfigError(unknown_name("model", name, known))
    for kind, function in found.items():
        print("\n".join([f"{name} ({kind}): {_summary(function)}", *_options(function)]) + "\n")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="List the models of each kind of task: values of 'arch'. With the name of a model, list "
        "its options: keys of 'network_args' ('encoder' also stands beside 'arch').",
    )
    parser.add_argument("name", metavar="KIND|MODEL", nargs="?", help="a kind, such as change, or a model")
    return parser


def _summary(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())


def _options(function: Callable[..., Any]) -> list[str]:
    documented = inspect.getdoc(function) or ""
    lines = []
    for name, entry in inspect.signature(function).parameters.items():
        if entry.kind is entry.KEYWORD_ONLY:
            told = re.search(rf"^    {name}: ((?:.*\n?)(?:^ {{5,}}.*\n?)*)", documented, re.MULTILINE)
            text = " ".join(told[1].split()) if told else ""
            lines.append(f"  {name} (default {entry.default!r}): {text}".rstrip(": "))
    return lines or ["  no options"]
