"""`eoseg dashboard`: what W&B shows of a task, as a file, and published."""

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path

from eoseg.cli.configuration import load_config
from eoseg.errors import ConfigError, OutputError
from eoseg.files import write_atomically


def main(command: str, argv: list[str]) -> None:
    """Write the specification of a dashboard, and publish it where asked to."""
    options = _parser(command).parse_args(argv)
    if options.publish is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", options.publish):
        raise ConfigError(
            f"--publish names ENTITY/PROJECT, as in W&B's addresses; found '{options.publish}'."
        )
    folder = Path(options.what) if Path(options.what).is_dir() else None
    _check_register(options, folder)
    if not options.out.parent.is_dir():
        raise OutputError(
            f"There is no folder '{options.out.parent}' for '{options.out.name}'. Make it first."
        )
    from eoseg.tracking.dashboard import specification, task_name

    searched = [] if options.sweep is None else _searched(options.sweep)
    spec = specification(task_name(_task_of(folder) if folder else options.what), searched=searched)
    write_atomically(options.out, json.dumps(spec, indent=2) + "\n")
    print(f"Written: {options.out}")
    if options.publish is None:
        print(f"To publish it: eoseg dashboard {options.what} --publish ENTITY/PROJECT")
        return
    from eoseg.tracking.publish import link_model, publish

    for address in publish(spec, options.publish):
        print(f"Published: {address}")
    if folder is not None and options.register is not None:
        print(f"Linked: {link_model(folder, options.publish, options.register)}")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Write what a W&B dashboard shows of a task: a workspace (curves, overlays, confusion "
        "matrix, reliability, training, test chips, parallel coordinates of sweeps) and a report with a "
        "table of the runs. The file is plain data; --publish makes both in W&B, which needs a login and "
        'pip install "eoseg[dashboard]".',
    )
    parser.add_argument(
        "what",
        metavar="TASK|RUN_FOLDER",
        help="segmentation, classification, change, series or regression; or a run, whose task is taken",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.json",
        default=Path("dashboard.json"),
        help="the specification; an older one is replaced (default: dashboard.json)",
    )
    parser.add_argument(
        "--sweep", metavar="SWEEP.yaml", help="a sweep whose options the parallel coordinates show"
    )
    parser.add_argument(
        "--publish", metavar="ENTITY/PROJECT", help="make the workspace and the report in this project of W&B"
    )
    parser.add_argument(
        "--register",
        metavar="NAME",
        help="with a RUN_FOLDER that was uploaded by 'wandb sync': link its best checkpoint to this registry "
        "and collection, such as model/land-cover",
    )
    return parser


def _check_register(options: argparse.Namespace, folder: Path | None) -> None:
    if options.register is None:
        return
    if options.publish is None or folder is None:
        raise ConfigError(
            "--register links the checkpoint of an uploaded run: give its RUN_FOLDER and --publish "
            "ENTITY/PROJECT."
        )
    from eoseg.tracking.lineage import registry_path

    registry_path(options.register)


def _task_of(folder: Path) -> str:
    """The task of a run folder."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(
            f"'{folder}' is not the folder of a run: it has no config.yaml. Name one, or a task such as "
            "segmentation."
        )
    model = load_config(str(path)).get("model")
    return str(model.get("class_path")) if isinstance(model, Mapping) else ""


def _searched(path: str) -> list[str]:
    """The options that a sweep varies."""
    parameters = load_config(path).get("parameters")
    if not isinstance(parameters, Mapping) or not parameters:
        raise ConfigError(f"'{path}' is no sweep of W&B: it has no 'parameters'. See configs/sweeps/.")
    return [str(name) for name in parameters]
