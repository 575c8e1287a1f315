"""What a command line and its configuration files ask for, checked before anything heavy is imported."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eoseg.cli.options import check_class, check_keys, options_of, subclasses_of, trainer_options
from eoseg.errors import ConfigError, unknown_name

TOP_LEVEL = {
    "seed_everything": "One seed for weights, split, sampling and augmentation (default 0).",
    "ckpt_path": "fit: resume from this checkpoint; validate and test: the checkpoint to evaluate.",
    "run": "Where the run goes and how it is logged.",
    "data": "Scenes, labels, split and chips.",
    "model": "The task: network, loss, optimiser.",
    "trainer": "Lightning's Trainer.",
    "allow_leakage": "fit: train although the split leaks; it is then said beside every figure (default "
    "false).",
    "tta": "test: measure the mean over the 8 symmetries of the square (turned and mirrored chips), which "
    "'eoseg predict --tta' maps; takes 8 times as long (default false).",
    "weights_only": "Always true: no code from a checkpoint is ever run.",
    "verbose": "validate and test: print Lightning's own table too.",
}


def train(command: str, argv: Sequence[str]) -> Path:
    """Check the configuration, then train or evaluate; returns the run folder.

    Raises:
        ConfigError: There is no configuration, or it holds an unknown key.
    """
    arguments = prepare(command, argv)
    from eoseg.cli.trainer import run  # imports Lightning

    return run(command, arguments)


def prepare(command: str, argv: Sequence[str]) -> list[str]:
    """Write out the short forms, and check all keys before Lightning is imported.

    Raises:
        ConfigError: There is no configuration, or it holds an unknown key.
    """
    arguments = expand(command, resume(command, argv))
    paths = _config_files(arguments)
    if not paths and "--print_config" not in arguments:
        raise ConfigError(f"'eoseg {command}' needs a configuration: add --config FILE.yaml.")
    classes = {"data": "SceneData", "model": "SegmentationTask"}
    for path in paths:
        config = load_config(path)
        check_config(config, where=path)
        classes |= {key: config[key]["class_path"] for key in classes if "class_path" in config.get(key, {})}
    _check_overrides(arguments, classes)
    return arguments


def fit_and_test(
    config: Mapping[str, Any], fit_options: Sequence[str], run_options: Sequence[str]
) -> tuple[Path, Path]:
    """Train with a configuration made in memory, and test; returns both run folders.

    Args:
        config: As in a file for `eoseg fit`.
        fit_options: Further arguments of `eoseg fit`.
        run_options: Those of both, such as `--run.name`.
    """
    import yaml

    with tempfile.TemporaryDirectory(prefix="eoseg-") as scratch:
        path = Path(scratch) / "config.yaml"
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        fitted = train("fit", [f"--config={path}", *fit_options, *run_options])
    return fitted, train("test", [str(fitted), "--verbose=false", *run_options])


_SHORT = {
    "--no-wandb": "--run.wandb=false",
    "--allow-leakage": "--allow_leakage=true",
    "--register": "--run.register",
    "--tta": "--tta=true",
}


def expand(command: str, argv: Sequence[str]) -> list[str]:
    """Write out the short forms: a run folder, --no-wandb, --allow-leakage, --tta, --register, --batch-size.

    Raises:
        ConfigError: A run folder is not one, a batch size is no number, or an option is another command's.
    """
    arguments = [_SHORT.get(item, item) for item in argv]
    arguments = [
        f"--run.register={item.removeprefix('--register=')}" if item.startswith("--register=") else item
        for item in arguments
    ]
    if command != "fit" and "--allow-leakage" in argv:
        raise ConfigError(
            f"--allow-leakage is for 'eoseg fit', whose split 'eoseg {command}' takes over. Leave it out."
        )
    if command != "test" and "--tta" in argv:
        raise ConfigError(
            f"--tta is for 'eoseg test' and 'eoseg predict'; 'eoseg {command}' looks at each chip once. "
            "Leave it out."
        )
    arguments = _with_batch_size(command, arguments)
    if command == "fit" or arguments[0].startswith("-"):
        return arguments
    folder = Path(arguments[0])
    if folder.is_symlink():  # `latest` leads to another run tomorrow: the record names the run itself
        folder = folder.parent / folder.readlink()
    needed = {name: folder / name for name in ("config.yaml", "model.ckpt", "split.json")}
    missing = [name for name, path in needed.items() if not path.is_file()]
    if missing:
        raise ConfigError(
            f"'{folder}' is not the folder of a finished run: it has no {', '.join(missing)}. Name a folder "
            "that 'eoseg fit' made, or use --config and --ckpt_path."
        )
    given = [f"--config={needed['config.yaml']}", f"--ckpt_path={needed['model.ckpt']}"]
    # Trained on a cluster, tested anywhere: with the devices that there are.
    given += ["--trainer.devices=auto", "--trainer.num_nodes=1", "--trainer.strategy=auto"]
    if load_config(str(needed["config.yaml"])).get("data", {}).get("class_path", "").endswith("SceneData"):
        # Other data follow from the configuration; that their split is the same is checked by its hash.
        given.append(f"--data.init_args.split.path={needed['split.json']}")
    return [*given, *arguments[1:]]


def _with_batch_size(command: str, arguments: list[str]) -> list[str]:
    """Write out `--batch-size N`, and `--batch-size auto`, which tries before training."""
    found: list[str] = []
    rest = iter(arguments)
    for item in rest:
        name, is_joined, value = item.partition("=")
        if name != "--batch-size":
            found.append(item)
            continue
        value = value if is_joined else next(rest, "")
        if value == "auto" and command == "fit":
            found.append("--trainer.callbacks+=eoseg.tasks.batch_size.AutoBatchSize")
        elif value.isdecimal():
            found.append(f"--data.init_args.batch_size={value}")
        else:
            what = "a number, or auto for the largest that fits" if command == "fit" else "a number"
            raise ConfigError(f"--batch-size is {what}; found '{value}'.")
    return found


def resume(command: str, argv: Sequence[str]) -> list[str]:
    """Write out `--resume RUN_FOLDER`: the configuration of that run, its folder, and its last checkpoint.

    Raises:
        ConfigError: It is no folder of a run, or the command does not train.
    """
    arguments = [
        part for item in argv for part in (item.split("=", 1) if item.startswith("--resume=") else [item])
    ]
    if "--resume" not in arguments:
        return arguments
    place = arguments.index("--resume")
    if command != "fit" or place + 1 == len(arguments):
        raise ConfigError("--resume goes with fit and the folder of a run: eoseg fit --resume RUN_FOLDER.")
    folder = Path(arguments[place + 1])
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"'{folder}' is not the folder of a run: it has no config.yaml. Name one of 'eoseg fit'."
        )
    if not list((folder / "checkpoints").glob("*.ckpt")):
        raise ConfigError(
            f"The run in '{folder}' has no checkpoint to go on from. Start it anew with its config.yaml."
        )
    rest = [*arguments[:place], *arguments[place + 2 :]]
    given = [] if _config_files(rest) else [f"--config={folder / 'config.yaml'}"]
    return [*given, *rest, f"--run.resume={folder}"]


def check_config(config: Mapping[str, Any], *, where: str) -> None:
    """Refuse unknown keys of a configuration, before anything heavy is imported.

    Raises:
        ConfigError: A key is unknown; the line names the nearest known one.
    """
    for key, value in config.items():
        if key not in TOP_LEVEL:
            raise ConfigError(f"In '{where}': " + unknown_name("option", str(key), TOP_LEVEL))
        if not isinstance(value, Mapping):
            continue
        if key == "trainer":
            check_keys(trainer_options(), value, where="trainer")
        elif key == "run":
            check_class("RunConfig", value, where="run")
        else:
            unknown = set(value) - {"class_path", "init_args"}
            if unknown:
                raise ConfigError(
                    f"In '{key}': " + unknown_name("option", sorted(unknown)[0], ["class_path", "init_args"])
                )
            name = str(value.get("class_path", ""))
            if name and "." not in name and options_of(name) is None:
                raise ConfigError(f"In '{key}': " + unknown_name("class", name, choices(key)))
            check_class(name, value.get("init_args") or {}, where=f"{key}.init_args")


def choices(key: str) -> tuple[str, ...]:
    """Names of the classes that `data` or `model` can name."""
    return subclasses_of("EOData" if key == "data" else "Task")


def _config_files(arguments: Sequence[str]) -> list[str]:
    """Values of --config and -c, in both spellings."""
    found = []
    for here, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if here in ("--config", "-c"):
            found.append(following)
        elif here.startswith("--config="):
            found.append(here.removeprefix("--config="))
    return found


def load_config(path: str) -> Mapping[str, Any]:
    """Read a YAML configuration.

    Raises:
        ConfigError: The file is missing, is not YAML, or holds no keys.
    """
    import yaml

    if not Path(path).is_file():
        raise ConfigError(f"There is no configuration file '{path}'. Check the path.")
    try:
        config = yaml.safe_load(Path(path).read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"'{path}' is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(config, Mapping):
        raise ConfigError(f"'{path}' must hold keys such as data, model and trainer; found {config!r:.60}.")
    return config


def _check_overrides(arguments: Sequence[str], classes: Mapping[str, str]) -> None:
    """Refuse unknown keys among `--dotted.key` arguments."""
    own = {"config", "no-wandb", "print_config", *TOP_LEVEL}
    for argument in arguments:
        if not argument.startswith("--"):
            continue
        dotted = argument[2:].partition("=")[0].removesuffix("+")
        head, _, rest = dotted.partition(".")
        if head not in own:
            raise ConfigError(unknown_name("option", f"--{head}", [f"--{name}" for name in own]))
        if head == "trainer" and rest:
            check_keys(trainer_options(), {rest: None}, where="trainer")
        elif head == "run" and rest:
            check_class("RunConfig", {rest: None}, where="run")
        elif head in classes and rest.startswith("init_args."):
            check_class(classes[head], {rest.removeprefix("init_args."): None}, where=f"{head}.init_args")
