"""`eoseg doctor`: examine scenes, labels and splits before any training."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eoseg.cli.configuration import check_config, choices, load_config
from eoseg.cli.leakage_report import print_audit, require_picture, write_picture
from eoseg.cli.run_data import build_data
from eoseg.errors import ConfigError
from eoseg.files import write_atomically

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from eoseg.datasets.config import SceneSource, SplitConfig
    from eoseg.datasets.diagnosis import Diagnosis, SplitFacts

_MOST_SCENES = 8
"""Scenes that are listed one by one; the others are counted."""


def main(command: str, argv: list[str]) -> None:
    """Examine the data of a configuration; exit with 2 where training cannot work like this."""
    arguments = _parser(command).parse_intermixed_args(argv)
    require_picture(arguments.picture)
    config, options = _read(arguments.config, arguments.overrides)
    if str(config["data"].get("class_path", "SceneData")).rpartition(".")[2] == "SceneData":
        diagnosis = _diagnose_scenes(config, options)
        _print(diagnosis, arguments.config)
    else:
        diagnosis = _diagnose_items(config, arguments.config)
    if arguments.json is not None:
        write_atomically(Path(arguments.json), json.dumps(diagnosis.to_dict(), indent=2) + "\n")
    if arguments.picture is not None:
        title = f"Split of {arguments.config}"
        write_picture(Path(arguments.picture), diagnosis.leakage, title=title)
        print(f"Map of the split: {arguments.picture}")
    if diagnosis.has_errors:
        sys.exit(2)


def _diagnose_scenes(config: Mapping[str, Any], options: Mapping[str, Any]) -> "Diagnosis":
    source, chip_size, split = _options(options)
    from eoseg.datasets.doctor import diagnose

    return diagnose(source, chip_size, split, allow_leakage=bool(config.get("allow_leakage")))


def _diagnose_items(config: Mapping[str, Any], path: str) -> "Diagnosis":
    """Of chips, tables and benchmarks the split is audited."""
    from rich.console import Console

    from eoseg.datasets.audit import audit  # imports torch
    from eoseg.datasets.diagnosis import Diagnosis
    from eoseg.datasets.doctor import report_leaks

    data = build_data(config, where=path)
    record = data.split_record
    found = audit(data)
    diagnosis = Diagnosis(
        classes=data.schema.class_names,
        split_method=str(record["method"]),
        split_sha256=str(record["sha256"]),
        leakage=found,
    )
    report_leaks(diagnosis, found, allowed=bool(config.get("allow_leakage")))
    console = Console(highlight=False)
    told = f"{diagnosis.split_method}, SHA-256 {diagnosis.split_sha256[:12]}"
    console.print(f"[bold]{path}[/bold]\n\n[bold]Split[/bold]  {told}")
    print_audit(console, found)
    _print_problems(console, diagnosis)
    return diagnosis


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Examine scenes, labels and splits before any training: value ranges, nodata, class "
        "counts with proposed weights, split sizes; and whether the split leaks: ground, pictures or label "
        "polygons on both sides, and test ground nearer to training ground than labels are alike. Of chips, "
        "tables and benchmarks the split alone. Exits with 2 on errors.",
    )
    parser.add_argument("config", metavar="CONFIG", help="the configuration that 'eoseg fit' takes")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="changes below data.init_args, such as chip_size=64 or split.method=files",
    )
    parser.add_argument("--json", metavar="FILE", help="write everything that was found as JSON")
    parser.add_argument(
        "--picture", metavar="FILE.png", help="draw where the splits lie, and what two of them share"
    )
    return parser


def _read(path: str, overrides: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration, and the constructor arguments of its data, checked for unknown keys."""
    config = load_config(path)
    data = config.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("init_args"), Mapping):
        raise ConfigError(f"'{path}' has no data.init_args; expected a configuration as 'eoseg fit' takes.")
    kind = str(data.get("class_path", "SceneData")).rpartition(".")[2]
    if kind not in choices("data"):
        raise ConfigError(f"'eoseg doctor' examines {', '.join(choices('data'))}; '{path}' names {kind}.")
    options: dict[str, Any] = dict(data["init_args"])
    for override in overrides:
        _override(options, override)
    changed = {**config, "data": {**data, "init_args": options}}
    check_config(changed, where=path)
    return changed, options


def _override(options: dict[str, Any], text: str) -> None:
    import yaml

    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"A change is written KEY=VALUE, such as chip_size=64; found '{text}'.")
    *folders, last = key.removeprefix("data.").removeprefix("init_args.").split(".")
    place = options
    for folder in folders:
        place[folder] = dict(place.get(folder) or {})
        place = place[folder]
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"'{value}' is not valid YAML: {' '.join(str(error).split())}.") from error


def _options(options: Mapping[str, Any]) -> "tuple[SceneSource, int, SplitConfig]":
    """The parts that the doctor needs, parsed and checked by type as `eoseg fit` does it."""
    from jsonargparse import ArgumentParser

    from eoseg.datasets.config import SceneSource, SplitConfig

    for key in ("scenes", "chip_size"):
        if options.get(key) is None:
            raise ConfigError(
                f"data.init_args has no '{key}'. Add it; 'eoseg fit --help' says what it means."
            )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--scenes", type=SceneSource)
    parser.add_argument("--chip_size", type=int)
    parser.add_argument("--split", type=SplitConfig, default=SplitConfig())
    needed = {key: options[key] for key in ("scenes", "chip_size", "split") if options.get(key) is not None}
    try:
        found = parser.instantiate(parser.parse_object(needed))
    except (argparse.ArgumentError, TypeError, ValueError) as error:
        raise ConfigError(f"data.init_args: {' '.join(str(error).split())[:300]}") from error
    return found.scenes, found.chip_size, found.split


def _print(diagnosis: "Diagnosis", path: str) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]{path}[/bold]")
    _print_scenes(console, diagnosis)
    _print_bands(console, diagnosis)
    _print_classes(console, diagnosis)
    _print_split(console, diagnosis)
    if diagnosis.leakage is not None:
        print_audit(console, diagnosis.leakage)
    _print_problems(console, diagnosis)


def _print_scenes(console: "Console", diagnosis: "Diagnosis") -> None:
    nodata = "none declared" if diagnosis.nodata is None else f"{diagnosis.nodata:g}"
    console.print(
        f"\n[bold]Scenes[/bold]  {len(diagnosis.scenes)}, {len(diagnosis.band_names)} bands of "
        f"{diagnosis.dtype}, nodata value {nodata}"
    )
    table = _table("scene", ">width", ">height", "CRS", "pixel", ">nodata")
    for scene in diagnosis.scenes[:_MOST_SCENES]:
        table.add_row(
            scene.id, str(scene.width), str(scene.height), scene.crs, scene.pixel, f"{scene.nodata_share:.1%}"
        )
    console.print(table)
    rest = diagnosis.scenes[_MOST_SCENES:]
    if rest:
        systems = ", ".join(sorted({scene.crs for scene in rest}))
        mean = sum(scene.nodata_share for scene in rest) / len(rest)
        console.print(f"  and {len(rest)} more (CRS {systems}; nodata {mean:.1%} on average)")


def _print_bands(console: "Console", diagnosis: "Diagnosis") -> None:
    console.print("\n[bold]Values[/bold]  of valid pixels, all scenes")
    table = _table("band", ">min", ">2 %", ">mean", ">98 %", ">max", "looks like")
    for facts in diagnosis.bands:
        band = facts.statistics
        numbers = (band.minimum, band.low, band.mean, band.high, band.maximum)
        table.add_row(band.name, *(f"{number:.4g}" for number in numbers), facts.verdict)
    console.print(table)


def _print_classes(console: "Console", diagnosis: "Diagnosis") -> None:
    if diagnosis.splits and not diagnosis.classes:
        console.print("\n[bold]Labels[/bold]  none: every valid pixel takes part, as for PretrainTask")
    if not diagnosis.class_pixels:
        return
    total = sum(diagnosis.class_pixels)
    console.print(f"\n[bold]Classes[/bold]  {total:,} labelled pixels")
    table = _table(
        "class", ">labelled", ">share", *(f">{facts.name}" for facts in diagnosis.splits), ">weight"
    )
    for number, name in enumerate(diagnosis.classes):
        count = diagnosis.class_pixels[number]
        weight = f"{diagnosis.class_weights[number]:.3g}" if diagnosis.class_weights else ""
        own = [f"{facts.class_pixels[number]:,}" for facts in diagnosis.splits]
        table.add_row(name, f"{count:,}", f"{count / total:.1%}", *own, weight)
    console.print(table)
    console.print(
        "  weight: n / (K * n_k) over labelled valid training pixels; 'class_weights: balanced' uses them"
    )


def _print_split(console: "Console", diagnosis: "Diagnosis") -> None:
    if not diagnosis.splits:
        return
    told = ", ".join(f"{key} {value}" for key, value in diagnosis.split_parameters.items())
    console.print(
        f"\n[bold]Split[/bold]  {diagnosis.split_method} ({told}), SHA-256 {diagnosis.split_sha256[:12]}"
    )
    last = [">labelled"] if diagnosis.classes else []
    table = _table("split", ">scenes", ">regions", ">chips", ">pixels", ">valid", *last)
    for facts in diagnosis.splits:
        table.add_row(*_split_row(facts)[: len(table.columns)])
    console.print(table)


def _split_row(facts: "SplitFacts") -> tuple[str, ...]:
    counts = (facts.scenes, facts.regions, facts.chips, facts.pixels)
    labelled = sum(facts.class_pixels)
    valid = facts.valid_pixels / facts.pixels if facts.pixels else 0.0
    return facts.name, *(f"{count:,}" for count in counts), f"{valid:.1%}", f"{labelled:,}"


def _print_problems(console: "Console", diagnosis: "Diagnosis") -> None:
    if not diagnosis.problems:
        console.print("\n[bold green]No problem found.[/bold green]")
        return
    console.print("\n[bold]Problems[/bold]")
    table = _table("", "", header=False)
    for problem in diagnosis.problems:
        color = "red" if problem.level == "error" else "yellow"
        table.add_row(f"[{color}]{problem.level}[/{color}]", problem.text)
    console.print(table)


def _table(*columns: str, header: bool = True) -> "Table":
    """A plain table; a column that begins with ">" holds numbers."""
    from rich.table import Table

    table = Table(box=None, show_header=header, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table
