"""`eoseg report`: one page about a run, and its model card."""

import argparse
from pathlib import Path

from eoseg.cli.arguments import require_free
from eoseg.errors import ConfigError
from eoseg.files import write_atomically


def main(command: str, argv: list[str]) -> None:
    """Gather what is known of a run, and write the page and the card."""
    options = _parser(command).parse_args(argv)
    for name, value in (("--license", options.license), ("--dataset", options.dataset)):
        if value is not None and options.card is None:
            raise ConfigError(f"{name} stands in the model card: add --card FILE.md, or leave it out.")
    for path in (options.out, options.card):
        if path is not None:
            require_free(path, overwrite=options.overwrite)
    from eoseg.report.findings import Sources, gather  # needs rasterio and torch

    sources = Sources(options.test, options.map, options.scene, options.evaluation, options.accuracy)
    findings = gather(options.run, sources)
    card = None
    if options.card is not None:
        from eoseg.report.card import model_card

        card = model_card(findings, license_id=options.license or "unknown", dataset=options.dataset)
    from eoseg.report.page import write_report

    written = [write_report(options.out or options.run / "report.html", findings)]
    if card is not None:
        write_atomically(options.card, card)
        written.append(options.card)
    from eoseg.report.verdict import verdict, warnings

    print(verdict(findings.run, findings.measures, findings.split, findings.diagrams))
    for line in warnings(findings.run, findings.measures, findings.split):
        print(f"Beware: {line}")
    for path in written:
        print(f"Written: {path}")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Write one self-contained HTML page about a run: verdict, data and split map, learning "
        "curves, confusion matrix, classes with intervals, reliability, map, areas, protocol, commands and "
        "versions. What lies in the run folder (evaluation.json, accuracy.json, map.tif) and the newest test "
        "of the run beside it are found; what is missing is named with the command that makes it.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder that 'eoseg fit' made")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="the page (default: report.html in RUN, written anew)"
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="FILE.md",
        help="write a model card too, as the Hugging Face Hub reads it",
    )
    parser.add_argument("--license", metavar="ID", help="card: licence of the weights (default: unknown)")
    parser.add_argument(
        "--dataset",
        metavar="OWNER/NAME",
        help="card: the data on the Hub (default: the name of their folder)",
    )
    parser.add_argument(
        "--test", type=Path, metavar="RUN", help="folder of the test to show (default: the newest)"
    )
    parser.add_argument("--map", type=Path, metavar="MAP.tif", help="a map that the run's checkpoint made")
    parser.add_argument(
        "--scene", metavar="SCENE", help="the scene of the map (default: what the map's STAC item names)"
    )
    parser.add_argument(
        "--evaluation", type=Path, metavar="FILE.json", help="what 'eoseg evaluate --out' wrote"
    )
    parser.add_argument("--accuracy", type=Path, metavar="FILE.json", help="what 'eoseg accuracy' wrote")
    parser.add_argument("--overwrite", action="store_true", help="replace files named by --out and --card")
    return parser
