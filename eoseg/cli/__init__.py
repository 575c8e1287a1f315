"""The command line: parses, calls, prints. Each command is a module of this package.

Nothing heavy is imported here, so that `eoseg --help` answers at once; a command's module is imported
when the command runs, and imports torch only after its arguments are known to be right.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence

from eoseg import __version__
from eoseg.errors import ConfigError, EosegError, unknown_name

COMMANDS = {
    "demo": ("demo", "run everything once on a small synthetic world"),
    "doctor": ("doctor", "examine scenes, labels and splits before any training"),
    "fit": ("fit", "train from a configuration; write a checkpoint"),
    "validate": ("fit", "evaluate a checkpoint on the validation split"),
    "test": ("fit", "evaluate a checkpoint on the test split"),
    "calibrate": ("calibrate", "make the probabilities of a trained network ones that can be believed"),
    "compare": ("compare", "say whether the difference between tested networks is real"),
    "tune": ("tune", "search for better options with Optuna"),
    "course": ("course", "train a ladder of methods on the same data, as one table"),
    "predict": ("predict", "make a map from a checkpoint and a scene of any size"),
    "vectorize": ("vectorize", "write the polygons of a map as GeoPackage or GeoParquet"),
    "embed": ("embed", "write the features of a network for each chip of scenes, as a table"),
    "suggest": ("suggest", "propose where to label next: where a network is unsure, and places differ"),
    "audit-labels": ("audit_labels", "list labels that are probably wrong, the worst first"),
    "export": ("export", "write a network as ONNX, to run without eoseg"),
    "evaluate": ("evaluate", "compare a map with a reference"),
    "sample": ("sample", "draw a probability sample of a map, to be filled in by a person"),
    "accuracy": ("accuracy", "estimate accuracy and areas of a map from a filled sample"),
    "report": ("report", "write one page about a run, and its model card"),
    "models": ("models", "list the models and their options"),
    "dashboard": ("dashboard", "write what W&B shows of a task, and publish it"),
    "describe": ("describe", "say what is in a checkpoint or a scene"),
}
"""Command, its module and what it does, in the order in which people meet them."""


_SECONDS_OF_THE_FIRST = 3
"""Where several processes find the same mistake, the first one says so and ends them all before that time."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 a failure that eoseg does not know, 2 wrong input."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            _dispatch(argv)
        finally:
            sys.stdout.flush()  # so that a reader who went away is noticed here
    except EosegError as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        print(f"{' '.join(['eoseg', *argv[:1]])}: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # Nothing is left to say, and Python must not complain when it flushes once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _dispatch(argv: list[str]) -> None:
    parser = _parser()
    if not argv or argv[0].startswith("-"):
        parser.parse_args(argv)  # handles --help and --version
        parser.print_help()
        sys.exit(0 if not argv else 2)
    command = argv[0]
    if command not in COMMANDS:
        raise ConfigError(unknown_name("command", command, COMMANDS))
    further = COMMANDS[command][0] == "fit" and _rank() != "0"  # of the processes of one training, one tells
    _log_to_stderr(os.environ.get("EOSEG_LOG", "WARNING" if further else "INFO").upper())
    module = importlib.import_module(f"eoseg.cli.{COMMANDS[command][0]}")
    module.main(command, argv[1:])


def _log_to_stderr(level: str) -> None:
    levels = logging.getLevelNamesMapping()
    if level not in levels:
        raise ConfigError("EOSEG_LOG: " + unknown_name("level", level, levels))
    logging.basicConfig(level=level, format="%(message)s")
    logging.getLogger("pyogrio").setLevel(logging.WARNING)  # it says how many records it wrote


def _fail(error: EosegError) -> int:
    if _rank() != "0":
        time.sleep(_SECONDS_OF_THE_FIRST)
    print("error: " + " ".join(str(error).split()), file=sys.stderr)
    if "wandb" in sys.modules:
        from eoseg.tracking.wandb_mode import end_service

        end_service()
    return 2


def _rank() -> str:
    """Number of this process among those that a launcher has started."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="eoseg",
        description="From labelled satellite images to georeferenced maps with honest accuracy figures.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n'eoseg COMMAND --help' says more about each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"eoseg {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", nargs="?", help="see below")
    return parser
