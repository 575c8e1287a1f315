"""`eoseg tune`: search for better options with Optuna, on a laptop or by many jobs that share a file."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eoseg.cli.configuration import load_config, train
from eoseg.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    import optuna

_KEYS = ("config", "trials", "seed", "search")
_RANGE_KEYS = ("low", "high", "log", "step")

type Value = int | float | str | bool | None


def main(command: str, argv: list[str]) -> None:
    """Run trials of a study, and say which was the best."""
    own, rest = _parser(command).parse_known_args(argv)
    study = _read(own.study)
    journal = own.journal or Path("runs") / f"{own.study.stem}.journal"
    trials = own.trials if own.trials is not None else study["trials"]
    found = search(
        study, name=own.study.stem, journal=journal, trials=trials, fit_options=rest, where=str(own.study)
    )
    done = found.get_trials(deepcopy=False)
    best = found.best_trial
    figure = f"{best.user_attrs['figure']} {best.value:.4f}"
    print(f"\n{len(done)} trials in {journal}. Best: trial {best.number}, {figure}")
    options = [f"--{key}={_text(value)}" for key, value in best.user_attrs["options"].items()]
    print(f"Its run: {best.user_attrs['run']}")
    again = f"eoseg fit --config {study['config']} {' '.join(options)} --seed_everything=1"
    print(f"Again, with another seed: {again}")


def search(
    study: Mapping[str, Any],
    *,
    name: str,
    journal: Path,
    trials: int,
    fit_options: Sequence[str] = (),
    where: str = "the study",
) -> "optuna.Study":
    """Run trials and record them in a journal file, which several processes may share.

    Each trial is a run of its own, in the W&B group of the study. It is judged by the validation figure that
    chooses its checkpoint; the test split is not looked at.

    Args:
        study: What a study's file says: see configs/tune/.
        name: Name of the study in the journal.
        journal: File that all processes append to; it must lie on a disk that they share.
        trials: How many this process runs.
        fit_options: Further options of `eoseg fit`, for every trial.
        where: Name of the study's file, for messages.

    Raises:
        ConfigError: The study's file is wrong, or no trial succeeded.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    space = {key: _dimension(key, value, where) for key, value in study["search"].items()}
    base = load_config(str(study["config"]))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    known = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name=name,
        load_if_exists=True,
        direction=_direction(base),
        sampler=optuna.samplers.TPESampler(seed=study.get("seed")),
    )

    def run(trial: "optuna.Trial") -> float:
        options = {key: dimension(trial, key) for key, dimension in space.items()}
        print(
            f"\ntrial {trial.number}: " + ", ".join(f"{key} {value}" for key, value in options.items()),
            flush=True,
        )
        arguments = [f"--{key}={_text(value)}" for key, value in options.items()]
        named = [f"--run.name={name}-trial{trial.number}", f"--run.group={name}"]
        folder = train("fit", [f"--config={study['config']}", *arguments, *named, *fit_options])
        best = json.loads((folder / "figures.json").read_text())["best"]
        trial.set_user_attr("options", options)
        trial.set_user_attr("run", str(folder))
        trial.set_user_attr("figure", best["figure"])
        return float(best["value"])

    known.optimize(run, n_trials=trials, catch=())
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in known.get_trials(deepcopy=False)):
        raise ConfigError(f"No trial of '{where}' has finished. Ask for at least one: --trials 1.")
    return known


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        allow_abbrev=False,
        description="Search for better options with Optuna. Trials are kept in a journal file: run the "
        "command again for more of them, or on many nodes at once that share its disk. Needs no network. "
        "Further options, such as --trainer.max_epochs=5 or --no-wandb, go to 'eoseg fit' in each trial.",
    )
    parser.add_argument("study", type=Path, metavar="STUDY.yaml", help="what to search: see configs/tune/")
    parser.add_argument("--trials", type=int, metavar="N", help="trials to run now (default: the study's)")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="where trials are kept (default: runs/STUDY.journal)"
    )
    return parser


def _read(path: Path) -> dict[str, Any]:
    """Read a study's file.

    Raises:
        ConfigError: A key is missing or unknown.
    """
    study = dict(load_config(str(path)))
    for key in study:
        if key not in _KEYS:
            raise ConfigError(f"In '{path}': " + unknown_name("key of a study", str(key), _KEYS))
    if not isinstance(study.get("config"), str) or not isinstance(study.get("search"), Mapping):
        raise ConfigError(
            f"'{path}' must name a 'config' (a file) and under 'search' the options to search; found "
            f"{', '.join(study) or 'neither'}."
        )
    trials = study.setdefault("trials", 20)
    if not isinstance(trials, int) or trials < 1:
        raise ConfigError(f"'{path}': trials is a whole number of at least 1; found {trials}.")
    return study


class _Range:
    """Whole or broken numbers between two limits."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        for key in values:
            if key not in _RANGE_KEYS:
                raise ConfigError(f"In {place}: " + unknown_name("key", str(key), _RANGE_KEYS))
        low, high, numbers = values.get("low"), values.get("high"), (int, float)
        if not isinstance(low, numbers) or not isinstance(high, numbers) or low >= high:
            raise ConfigError(
                f"{place} needs numbers low < high (write 1.0e-4 with its point in YAML); found low {low}, "
                f"high {high}."
            )
        self.low, self.high = low, high
        self.log, self.step = bool(values.get("log", False)), values.get("step")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ConfigError(f"{place}: log needs low above 0 and no step; found {dict(values)}.")

    def __call__(self, trial: "optuna.Trial", key: str) -> Value:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, step=self.step or 1, log=self.log)
        return trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)


class _Choice:
    """One of some values."""

    def __init__(self, values: Sequence[Value]) -> None:
        self.values = list(values)

    def __call__(self, trial: "optuna.Trial", key: str) -> Value:
        chosen: Value = trial.suggest_categorical(key, self.values)
        return chosen


def _dimension(key: str, value: object, where: str) -> _Range | _Choice:
    place = f"'{key}' of '{where}'"
    if isinstance(value, Mapping):
        return _Range(value, place)
    if (
        isinstance(value, list)
        and len(value) > 1
        and not any(isinstance(item, (list, dict)) for item in value)
    ):
        return _Choice(value)
    raise ConfigError(f"{place} is a list of values or has low and high; found {value!r:.60}.")


def _direction(config: Mapping[str, Any]) -> Literal["maximize", "minimize"]:
    """Errors of a regression are to be small, all other figures large."""
    task = str((config.get("model") or {}).get("class_path", ""))
    return "minimize" if task.endswith(("RegressionTask", "PretrainTask")) else "maximize"


def _text(value: Value) -> str:
    return "null" if value is None else str(value)
