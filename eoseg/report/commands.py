"""The command lines that make a run, its test, its map and its report again."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from eoseg.report.findings import Findings


def commands(findings: Findings) -> list[str]:
    """Command lines in their order, and comments that say with what code."""
    run = findings.run
    lines = [f"# eoseg {run.environment.get('eoseg', 'of unknown version')}{_revision(run.environment)}"]
    lines.append(_line("fit", "--config", str(run.folder / "config.yaml")))
    if findings.tested is not None:
        lines.append(_line("test", str(run.folder)))
    view = findings.view
    if view is not None:
        scene = view.scene or view.tags.get("EOSEG_SCENE", "SCENE.tif")
        options = _prediction_options(view.tags)
        lines.append(_line("predict", str(run.checkpoint), scene, "--out", str(view.path), *options))
    if findings.evaluation is not None:
        lines.append(_evaluation(findings.protocol, str(findings.evaluation)))
    lines.append(_line("report", str(run.folder)))
    return lines


def original_command(environment: Mapping[str, Any]) -> str | None:
    """How a run was started, where it is known."""
    command = environment.get("command")
    if not isinstance(command, list) or not command:
        return None
    first, *rest = map(str, command)
    name = "eoseg" if first.endswith(("/eoseg", "__main__.py")) or first == "eoseg" else first
    return shlex.join([name, *rest])


def _line(*words: str) -> str:
    return shlex.join(["eoseg", *words])


def _revision(environment: Mapping[str, Any]) -> str:
    state = environment.get("eoseg_git") or environment.get("git")
    if not isinstance(state, dict) or not state.get("revision"):
        return ""
    changed = ", with changes that are not in it" if state.get("dirty") else ""
    return f", git revision {state['revision']}{changed}"


def _prediction_options(tags: Mapping[str, str]) -> list[str]:
    """The options of a map that change it, from its tags."""
    found = ["--tile", tags["EOSEG_TILE"]] if tags.get("EOSEG_TILE", "").isdigit() else []
    try:
        held = json.loads(tags.get("EOSEG_OPTIONS", "{}"))
    except ValueError:
        held = {}
    if isinstance(held, dict):
        for name in ("probabilities", "uncertainty", "tta"):
            found += [f"--{name}"] if held.get(name) == "yes" else []
        samples = str(held.get("mc_dropout", ""))
        found += ["--mc-dropout", samples] if samples.isdigit() else []
        policy = held.get("nodata_policy")
        found += ["--nodata-policy", str(policy)] if policy not in (None, "any") else []
    return found + _other_checkpoints(tags)


def _other_checkpoints(tags: Mapping[str, str]) -> list[str]:
    """Those of an ensemble, as far as a map knows them: by name."""
    try:
        names = [str(entry["checkpoint"]) for entry in json.loads(tags.get("EOSEG_ENSEMBLE", "[]"))]
    except (ValueError, TypeError, KeyError):
        return []
    return ["--ensemble", *names] if names else []


def _evaluation(protocol: Mapping[str, Any], out: str) -> str:
    words = ["evaluate", str(protocol.get("map")), str(protocol.get("reference")), "--out", out]
    for option in ("attribute", "block_size", "draws", "seed"):
        if protocol.get(option) is not None:
            words += [f"--{option.replace('_', '-')}", str(protocol[option])]
    if protocol.get("label_encoding") == "colors":
        words += ["--label-encoding", "colors"]
    if protocol.get("ignore"):
        words += ["--ignore", *map(str, protocol["ignore"])]
    split = protocol.get("split")
    if isinstance(split, dict):
        for option, key in (("split", "file"), ("part", "part"), ("split-scene", "scene")):
            words += [f"--{option}", str(split.get(key))]
    return _line(*words)
