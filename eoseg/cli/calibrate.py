"""`eoseg calibrate`: probabilities that can be believed, for a network that is trained."""

import argparse

from eoseg.errors import ConfigError


def main(command: str, argv: list[str]) -> None:
    """Calibrate a run's checkpoint on its validation split."""
    own, rest = _parser(command).parse_known_args(argv)
    if own.run.startswith("-"):
        raise ConfigError(f"'eoseg {command}' takes the folder of a run first; found '{own.run}'.")
    from eoseg.cli.configuration import prepare

    arguments = prepare("validate", [own.run, *rest])
    from eoseg.cli.calibration_run import calibrate  # imports Lightning

    calibrate(arguments, method=own.method)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        usage=f"eoseg {command} RUN_FOLDER [--method temperature|vector] [--KEY VALUE] ...",
        description="Calibrate the probabilities of a trained network on the validation split of its run, in "
        "a new run folder whose model.ckpt is the same network with calibrated probabilities; nothing is "
        "trained. 'predict', 'test' and 'export' then give the calibrated ones. The expected calibration "
        "error before and after is printed and drawn. Further options are those of 'eoseg validate'.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN_FOLDER", help="a folder that 'eoseg fit' made")
    parser.add_argument(
        "--method",
        choices=["temperature", "vector"],
        default="temperature",
        help="temperature: one number for all logits, which leaves the likeliest class as it is; vector: a "
        "scale and a shift for each class, which may change the map (default: temperature)",
    )
    return parser
