"""What a run folder holds, and the test of that run, wherever it was written."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eoseg.errors import ConfigError, DataError
from eoseg.recipe import Recipe

type Values = Mapping[str, Any]
"""What a JSON or YAML file holds, by name."""

_CHECKPOINT = re.compile(r"^ckpt_path: *(.+?) *$", flags=re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Run:
    """A training that has ended."""

    folder: Path
    recipe: Recipe
    config: Values
    """The resolved configuration."""
    config_text: str
    figures: Values
    """figures.json: the last figures, time, size of the network; empty where it was not written."""
    environment: Values
    """environment.json: versions, git's state and the command; empty where it was not written."""
    split: Values
    """split.json; empty where it was not written."""
    curves: Path | None
    """metrics.csv, where there is one."""

    @property
    def checkpoint(self) -> Path:
        """The best weights with their recipe."""
        return self.folder / "model.ckpt"

    @property
    def leakage(self) -> Values:
        """What the audit of the split found: verdict, `allowed`, texts by check; empty without an audit."""
        split = self.recipe.provenance.get("split")
        held = split.get("leakage") if isinstance(split, dict) else None
        return held if isinstance(held, dict) else {}

    @property
    def name(self) -> str:
        """The experiment and the time, such as "demo/20261130-132439"."""
        where = self.folder.resolve()
        return f"{where.parent.name}/{where.name}"


@dataclass(frozen=True, eq=False)
class Tested:
    """A test of a run's checkpoint."""

    folder: Path
    figures: Values
    environment: Values


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        ConfigError: It is not the folder of a training.
        DataError: A file in it cannot be read.
        CheckpointError: The checkpoint cannot be read.
    """
    import yaml

    from eoseg.models.checkpoint_file import read_checkpoint  # imports torch

    _require_run(folder)
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(
            f"'{folder / 'config.yaml'}' is not valid YAML: {' '.join(str(error).split())}."
        ) from error
    recipe, _ = read_checkpoint(folder / "model.ckpt")
    figures, trained = _with_training(folder, read_values(folder / "figures.json", optional=True))
    curves = trained / "metrics.csv"
    return Run(
        folder,
        recipe,
        config if isinstance(config, dict) else {},
        text,
        figures,
        read_values(folder / "environment.json", optional=True),
        read_values(folder / "split.json", optional=True),
        curves if curves.is_file() else None,
    )


def read_test(folder: Path, run: Run) -> Tested:
    """Read the folder of a test.

    Raises:
        ConfigError: It is no test, or one of another run.
        DataError: A file in it cannot be read.
    """
    figures = read_values(folder / "figures.json", optional=True)
    if figures.get("command") != "test":
        raise ConfigError(f"'{folder}' is not the folder of a test. Name one that 'eoseg test' made.")
    tested = _tested_checkpoint(folder)
    if tested is None or tested.resolve() != run.checkpoint.resolve():
        raise ConfigError(
            f"'{folder}' is a test of '{tested}', not of '{run.checkpoint}'. Run 'eoseg test {run.folder}'."
        )
    return Tested(folder, figures, read_values(folder / "environment.json", optional=True))


def find_test(run: Run) -> Tested | None:
    """The newest test of a run among the folders beside it, or None.

    A test says which checkpoint it tested by a path. One that leads over the link `latest` may mean another
    run by now, so a test that is older than the training is none of it.
    """
    trained = str(run.environment.get("started", ""))
    found = []
    for config in run.folder.resolve().parents[1].glob("*-test/*/config.yaml"):
        folder = config.parent
        checkpoint = _tested_checkpoint(folder)
        if folder.parent.joinpath("latest") == folder or checkpoint is None:
            continue
        if checkpoint.resolve() != run.checkpoint.resolve() or not (folder / "figures.json").is_file():
            continue
        environment = read_values(folder / "environment.json", optional=True)
        if str(environment.get("started", "")) >= trained:
            found.append((str(environment.get("started", "")), folder))
    return read_test(max(found)[1], run) if found else None


def read_values(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """Read a JSON file that holds values by name.

    Args:
        path: The file.
        optional: Whether a file that is missing gives no values, rather than an error.

    Raises:
        DataError: The file is missing, is not JSON, or holds something else.
    """
    if optional and not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'. Check the path.") from None
    except (OSError, ValueError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise DataError(f"'{path}' cannot be read as JSON ({error}). Make it again.") from error
    if not isinstance(values, dict):
        raise DataError(f"'{path}' should hold values by name, but holds a {type(values).__name__}.")
    return values


def _require_run(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise ConfigError(f"'{folder}' {what}; a report is about the folder of a run that 'eoseg fit' made.")
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"'{folder}' is not a run folder: it has no config.yaml. Name one that 'eoseg fit' made, such as "
            "runs/demo/latest."
        )
    if (folder / "model.ckpt").is_file():
        return
    tested = _tested_checkpoint(folder)
    command = read_values(folder / "figures.json", optional=True).get("command")
    if tested is not None and command in ("test", "validate"):
        raise ConfigError(
            f"'{folder}' is the folder of 'eoseg {command}'; name the run that it looked at: {tested.parent}."
        )
    raise ConfigError(
        f"'{folder}' has no model.ckpt: its training has not ended, or was stopped. Let 'eoseg fit' finish."
    )


def _with_training(folder: Path, figures: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    """The figures of a run with those of its training, and where it was trained.

    `eoseg calibrate` makes a run folder of its own, whose training is that of another.
    """
    checkpoint = _tested_checkpoint(folder)
    if figures.get("command") != "calibrate" or checkpoint is None:
        return figures, folder
    trained = read_values(checkpoint.parent / "figures.json", optional=True)
    held = figures.get("figures")
    after = held.get("after") if isinstance(held, dict) else None
    return {**trained, **figures, "figures": after if isinstance(after, dict) else {}}, checkpoint.parent


def _tested_checkpoint(folder: Path) -> Path | None:
    try:
        found = _CHECKPOINT.search((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if found is None or found[1] in ("null", "~") else Path(found[1].strip("'\""))
