"""`eoseg fit`, `validate` and `test`: what can be said before Lightning is imported."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eoseg.cli.options import Option, check_class, check_keys, nested_classes, options_of, trainer_options
from eoseg.errors import ConfigError, unknown_name

USAGE = {
    "fit": "eoseg fit --config CONFIG.yaml [--data.init_args.KEY VALUE] [--model.init_args.KEY VALUE] ...",
    "validate": "eoseg validate RUN_FOLDER | --config CONFIG.yaml --ckpt_path MODEL.ckpt [--KEY VALUE] ...",
    "test": "eoseg test RUN_FOLDER | --config CONFIG.yaml --ckpt_path MODEL.ckpt [--KEY VALUE] ...",
}

TOP_LEVEL = {
    "seed_everything": "One seed for weights, split, sampling and augmentation (default 0).",
    "ckpt_path": "fit: resume from this checkpoint; validate and test: the checkpoint to evaluate.",
    "run": "Where the run goes and how it is logged.",
    "data": "Scenes, labels, split and chips.",
    "model": "The task: network, loss, optimiser.",
    "trainer": "Lightning's Trainer.",
    "weights_only": "Always true: no code from a checkpoint is ever run.",
    "verbose": "validate and test: print Lightning's own table too.",
}

_COMMON_TRAINER_OPTIONS = (
    "max_epochs",
    "max_steps",
    "accelerator",
    "devices",
    "num_nodes",
    "strategy",
    "precision",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "check_val_every_n_epoch",
    "callbacks",
    "logger",
    "deterministic",
)


def main(command: str, argv: list[str]) -> None:
    """Check what is asked for, then train or evaluate."""
    if not argv or "--help" in argv or "-h" in argv:
        print(help_text(command))
        if not argv:
            raise ConfigError(f"'eoseg {command}' needs a configuration, such as --config configs/demo.yaml.")
        return
    train(command, argv)


def train(command: str, argv: Sequence[str]) -> Path:
    """Check the configuration, then train or evaluate; returns the run folder.

    Raises:
        ConfigError: There is no configuration, or it holds an unknown key.
    """
    arguments = expand(command, argv)
    paths = _config_files(arguments)
    if not paths and "--print_config" not in arguments:
        raise ConfigError(f"'eoseg {command}' needs a configuration: add --config FILE.yaml.")
    classes = {"data": "SceneData", "model": "SegmentationTask"}
    for path in paths:
        config = load_config(path)
        check_config(config, where=path)
        classes |= {key: config[key]["class_path"] for key in classes if "class_path" in config.get(key, {})}
    _check_overrides(arguments, classes)
    from eoseg.cli.trainer import run  # imports Lightning

    return run(command, arguments)


def expand(command: str, argv: Sequence[str]) -> list[str]:
    """Write out the short forms: a run folder, and `--no-wandb`.

    Raises:
        ConfigError: A run folder is not one.
    """
    arguments = ["--run.wandb=false" if item == "--no-wandb" else item for item in argv]
    if command == "fit" or arguments[0].startswith("-"):
        return arguments
    folder = Path(arguments[0])
    needed = {name: folder / name for name in ("config.yaml", "model.ckpt", "split.json")}
    missing = [name for name, path in needed.items() if not path.is_file()]
    if missing:
        raise ConfigError(
            f"'{folder}' is not the folder of a finished run: it has no {', '.join(missing)}. Name a folder "
            "that 'eoseg fit' made, or use --config and --ckpt_path."
        )
    return [
        f"--config={needed['config.yaml']}",
        f"--ckpt_path={needed['model.ckpt']}",
        f"--data.init_args.split.path={needed['split.json']}",
        *arguments[1:],
    ]


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
                raise ConfigError(f"In '{key}': " + unknown_name("class", name, _choices(key)))
            check_class(name, value.get("init_args") or {}, where=f"{key}.init_args")


def help_text(command: str) -> str:
    """What `--help` prints: every option with its type, default and meaning."""
    lines = [f"usage: {USAGE[command]}", ""]
    about = {
        "fit": "Train as a configuration says. The run folder gets the checkpoint (model.ckpt), the resolved "
        "configuration, the split, the statistics, package versions, metrics and panels.",
        "validate": "Evaluate a checkpoint on the validation split.",
        "test": "Evaluate a checkpoint on the test split.",
    }
    lines += [*textwrap.wrap(about[command], 100), "", "Options, in the YAML or as --dotted.key VALUE:", ""]
    lines += [f"  {key:<18} {text}" for key, text in TOP_LEVEL.items()]
    lines += [
        "  --no-wandb         the same as --run.wandb=false",
        "  --print_config     print the whole configuration",
        "",
    ]
    for title, name in (
        ("run", "RunConfig"),
        ("data.init_args", "SceneData"),
        ("model.init_args", "SegmentationTask"),
    ):
        lines += _class_help(title, name)
    lines.append("trainer (the usual ones; all of Lightning's Trainer are taken)")
    known = trainer_options()
    for name in _COMMON_TRAINER_OPTIONS:
        lines += _option_help(known[name], indent=2, doc=known[name].doc.split(". ")[0])
    return "\n".join(lines)


def _class_help(title: str, name: str, indent: int = 0) -> list[str]:
    lines = [" " * indent + f"{title} ({name})"]
    for option in (options_of(name) or {}).values():
        lines += _option_help(option, indent=indent + 2, doc=option.doc)
        for inner in nested_classes(option.annotation):
            lines += _class_help(option.name, inner, indent + 4)
    return [*lines, ""] if indent == 0 else lines


def _option_help(option: Option, *, indent: int, doc: str) -> list[str]:
    default = "required" if option.default is None else f"default {option.default}"
    pad = " " * indent
    wrapped = textwrap.wrap(doc.replace("``", ""), 100 - indent - 6)
    return [
        f"{pad}{option.name}: {option.annotation} ({default})",
        *(f"{pad}      {line}" for line in wrapped),
    ]


def _choices(key: str) -> list[str]:
    return ["SceneData"] if key == "data" else ["SegmentationTask"]


def _config_files(arguments: Sequence[str]) -> list[str]:
    """Values of --config and -c, in both spellings."""
    found = []
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
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
