"""`eoseg fit --folds K`: cross-validation over folds that lie apart, and how much random ones flatter."""

import argparse
import copy
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eoseg.cli.configuration import fit_and_test, load_config
from eoseg.errors import ConfigError
from eoseg.files import write_atomically

_KEPT = {
    "blocks": ("block_size", "buffer", "seed"),
    "groups": ("seed",),
    "files": ("seed", "groups"),
    "random": ("seed",),
    "auto": ("seed",),
}
"""Options of a split that folds of that method keep; the shares of splits follow from the folds."""

type Figures = dict[str, float]


def cross_validate(argv: Sequence[str]) -> Path:
    """Train and test once for each fold, and report mean and spread.

    Args:
        argv: Arguments of `eoseg fit`, with --folds, and --compare-random where it is wanted.

    Returns:
        The file NAME-folds.json with all figures, in the folder of all runs.

    Raises:
        ConfigError: There is no configuration, its data take no folds, or K is too small.
    """
    own, rest = _parser().parse_known_args(argv)
    if own.folds is None:
        raise ConfigError("--compare-random goes with --folds K. Add --folds 5.")
    if len(own.config) != 1:
        raise ConfigError(f"'eoseg fit --folds' takes one --config FILE.yaml; found {len(own.config)}.")
    config = load_config(own.config[0])
    method = _method(config)
    if own.compare_random and method == "random":
        raise ConfigError(
            "--compare-random compares with folds that lie apart, but split.method is random already. Set "
            "another method."
        )
    if own.compare_random and method == "auto" and not _has_groups(config):
        raise ConfigError(
            "--compare-random compares with folds that lie apart, but the data name no groups. Set 'groups'."
        )
    runs = _Runs(config, own.name or Path(own.config[0]).stem, rest, own.folds)
    methods = [method, "random"] if own.compare_random else [method]
    results = {name: runs.all_folds(name) for name in methods}
    target = runs.folder / f"{runs.name}-folds.json"
    content = {
        "folds": own.folds,
        "methods": {key: {"folds": value, "summary": _summary(value)} for key, value in results.items()},
    }
    if own.compare_random:
        content["optimism"] = _optimism(results[method], results["random"])
    write_atomically(target, json.dumps(content, indent=2) + "\n")
    _print(results, method)
    print(f"All figures: {target}")
    return target


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eoseg fit", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", "-c", action="append", default=[])
    parser.add_argument("--run.name", dest="name")
    parser.add_argument("--folds", type=_folds)
    parser.add_argument("--compare-random", action="store_true")
    return parser


def _folds(text: str) -> int:
    if not text.isdecimal() or int(text) < 3:
        raise argparse.ArgumentTypeError(
            f"expected at least 3, so that folds can train, validate and test; found '{text}'"
        )
    return int(text)


def _method(config: Mapping[str, Any]) -> str:
    """How the folds are made: as the configuration divides, or by the default of its data."""
    split = _split_of(config)
    if split.get("path") is not None:
        raise ConfigError("split.path names one fixed split, which has no folds. Leave it out with --folds.")
    data = str((config.get("data") or {}).get("class_path", ""))
    if data.endswith("TorchGeoData"):
        raise ConfigError(
            "Benchmark data sets have splits of their own, so --folds has no effect on them. Leave it out."
        )
    return str(split.get("method", "blocks" if data.endswith("SceneData") else "auto"))


def _has_groups(config: Mapping[str, Any]) -> bool:
    arguments = (config.get("data") or {}).get("init_args") or {}
    return any((arguments.get(key) or {}).get("groups") is not None for key in ("table", "chips"))


def _split_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return dict(((config.get("data") or {}).get("init_args") or {}).get("split") or {})


class _Runs:
    """The trainings of a cross-validation."""

    def __init__(self, config: Mapping[str, Any], name: str, rest: Sequence[str], folds: int) -> None:
        self._config = config
        self.name = name
        self._folds = folds
        self._rest = list(rest)
        self._shared = [item for item in rest if item.startswith("--run.") or item == "--no-wandb"]
        if not any(item.startswith("--run.group") for item in rest):
            self._shared.append(f"--run.group={name}-folds")
        self.folder = Path()
        """Folder of all runs."""

    def all_folds(self, method: str) -> list[Figures]:
        """The test figures of each fold."""
        return [self._one(method, fold) for fold in range(self._folds)]

    def _one(self, method: str, fold: int) -> Figures:
        print(f"\n{method} fold {fold + 1} of {self._folds}", flush=True)
        name = f"--run.name={self.name}-{method}-fold{fold}"
        changed = fold_split(self._config, folds=self._folds, fold=fold, method=method)
        run, evaluated = fit_and_test(changed, self._rest, [*self._shared, name])
        self.folder = run.parent.parent
        figures = json.loads((evaluated / "figures.json").read_text())["figures"]
        return {key.removeprefix("test/"): value for key, value in figures.items() if key.startswith("test/")}


def fold_split(
    config: Mapping[str, Any], *, folds: int, fold: int, method: str | None = None
) -> dict[str, Any]:
    """A configuration with a split into folds in place of shares.

    Args:
        config: A configuration of `eoseg fit`; it is not changed.
        folds: How many folds there are.
        fold: Which one is the test split.
        method: How folds are made, instead of the configuration's own method.

    Raises:
        ConfigError: Its data take no folds.
    """
    changed = copy.deepcopy(dict(config))
    chosen = method or _method(changed)
    kept = {key: value for key, value in _split_of(changed).items() if key in _KEPT.get(chosen, ())}
    arguments = changed.setdefault("data", {}).setdefault("init_args", {})
    arguments["split"] = {**kept, "method": chosen, "folds": folds, "fold": fold}
    return changed


def _summary(folds: Sequence[Figures]) -> dict[str, dict[str, float | int]]:
    """Mean and standard deviation over the folds in which a figure is defined."""
    names = sorted({name for one in folds for name in one})
    found: dict[str, dict[str, float | int]] = {}
    for name in names:
        values = [one[name] for one in folds if name in one]
        found[name] = {
            "mean": statistics.fmean(values),
            "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
            "folds": len(values),
        }
    return found


def _optimism(apart: Sequence[Figures], random: Sequence[Figures]) -> dict[str, float]:
    """How much better the figures are where neighbours of the test pixels were trained on."""
    first, second = _summary(apart), _summary(random)
    return {name: second[name]["mean"] - first[name]["mean"] for name in first if name in second}


def _print(results: Mapping[str, Sequence[Figures]], method: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    for name in results:
        table.add_column(f"{name} folds", justify="right")
    compared = len(results) > 1
    if compared:
        table.add_column("optimism", justify="right")
        gain = _optimism(results[method], results["random"])
    summaries = [_summary(folds) for folds in results.values()]
    for name in summaries[0]:
        cells = [
            f"{summary[name]['mean']:.3f} ± {summary[name]['sd']:.3f}" if name in summary else "undefined"
            for summary in summaries
        ]
        if compared:
            cells.append(f"{gain[name]:+.3f}" if name in gain else "")
        table.add_row(name, *cells)
    Console().print(table)
