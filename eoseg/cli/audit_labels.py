"""`eoseg audit-labels`: which labels are probably wrong, by what networks say that did not train on them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.cli.arguments import count
from eoseg.cli.run_data import build_data, run_config
from eoseg.cli.wandb_log import add_wandb_options, log_label_audit, wandb_mode
from eoseg.geo.ranked_file import require_geopackage, write_ranked

if TYPE_CHECKING:
    from eoseg.evaluate.label_audit import LabelAudit
    from eoseg.evaluate.out_of_sample import TrainedRun
    from eoseg.recipe import Recipe

_SHOWN = 8
"""Pairs of given and proposed class that are printed."""


def main(command: str, argv: list[str]) -> None:
    """Judge the labels that the networks of some runs did not train on; write the suspects."""
    arguments = _parser(command).parse_args(argv)
    require_geopackage(arguments.out, overwrite=arguments.overwrite)
    mode = wandb_mode(wanted=arguments.wandb, project=arguments.project)
    configs = [run_config(folder) for folder in arguments.runs]

    from eoseg.evaluate.label_audit import audit_labels
    from eoseg.models.fitted import FittedBody  # imports torch
    from eoseg.predict.classifier import pick_device

    loaded = [_load(folder, config) for folder, config in zip(arguments.runs, configs, strict=True)]
    runs, models = [run for run, _ in loaded], [model for _, model in loaded]
    fitted = any(isinstance(run.network.body, FittedBody) for run in runs)
    device = pick_device(arguments.device, cpu_only=fitted)
    found = audit_labels(runs, device=str(device))
    written = found.first(arguments.count)
    write_ranked(
        arguments.out,
        "suspects",
        written.columns,
        shapes=written.shapes,
        crs=written.crs,
        classes=written.classes,
    )
    pairs = _pairs(found.columns["given"], found.columns["proposed"], found.columns["pixels"])
    _print(found, pairs, len(written), arguments.out)
    if mode != "absent":
        rows = [
            {"given": given, "proposed": proposed, "suspects": suspects, "pixels": pixels}
            for (given, proposed), (suspects, pixels) in pairs
        ]
        log_label_audit(arguments.out, found, rows, models, project=arguments.project, mode=mode)


type _Pairs = list[tuple[tuple[str, str], tuple[int, int]]]
"""Given and proposed class, with suspects and their pixels."""


def _load(folder: Path, config: dict[str, object]) -> "tuple[TrainedRun, tuple[Path, Recipe]]":
    from eoseg.evaluate.out_of_sample import TrainedRun
    from eoseg.models.checkpoint import load_network

    checkpoint = folder / "model.ckpt"
    network, recipe = load_network(checkpoint)
    run = TrainedRun(str(folder), build_data(config, where=str(folder / "config.yaml")), network)
    return run, (checkpoint, recipe)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="List labels that are probably wrong, the worst first, as a GeoPackage for QGIS: "
        "polygons, "
        "connected regions of label rasters, or chips, with the given and the proposed class. Judged "
        "are labels "
        "that the network did not train on (confident learning, Northcutt et al. 2021): validation and test "
        "labels of one run, or every label once with the runs of all folds ('eoseg fit --folds').",
    )
    parser.add_argument(
        "runs", type=Path, metavar="RUN", nargs="+", help="the folder of a run, or those of all folds"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.gpkg", required=True, help="the list")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--count", type=count, metavar="N", help="only the N worst")
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    add_wandb_options(parser, "what was found")
    return parser


def _print(found: "LabelAudit", pairs: _Pairs, written: int, path: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    judged = int(found.labels.sum())
    what = "regions of pixels" if found.kind == "pixels" else found.kind
    console.print(
        f"{judged:,} labels of {found.kind} judged; about {found.estimated_wrong:.1%} of them are wrong. "
        f"Suspects: {len(found):,} {what}."
    )
    if pairs:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("given", "proposed", "suspects", "pixels"):
            table.add_column(name, justify="right" if name in ("suspects", "pixels") else "left")
        for (given, proposed), (suspects, pixels) in pairs[:_SHOWN]:
            table.add_row(given, proposed, f"{suspects:,}", f"{pixels:,}")
        console.print(table)
    print(f"Written: {path} ({written:,}, the worst first)")


def _pairs(given: Sequence[str], proposed: Sequence[str], pixels: Sequence[int]) -> _Pairs:
    """Suspects and their pixels for each pair of classes, the most frequent first."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for one, other, size in zip(given, proposed, pixels, strict=True):
        suspects, held = sums.get((one, other), (0, 0))
        sums[one, other] = suspects + 1, held + size
    return sorted(sums.items(), key=lambda entry: -entry[1][0])
