"""`eoseg fit`, `validate` and `test`: what can be said before Lightning is imported."""

import textwrap

from eoseg.cli.configuration import TOP_LEVEL, choices, train
from eoseg.cli.folds import cross_validate
from eoseg.cli.options import Option, nested_classes, options_of, trainer_options
from eoseg.errors import ConfigError, unknown_name

USAGE = {
    "fit": "eoseg fit --config CONFIG.yaml [--data.init_args.KEY VALUE] [--model.init_args.KEY VALUE] ...\n"
    "       eoseg fit --resume RUN_FOLDER [--KEY VALUE] ...",
    "validate": "eoseg validate RUN_FOLDER | --config CONFIG.yaml --ckpt_path MODEL.ckpt [--KEY VALUE] ...",
    "test": "eoseg test RUN_FOLDER | --config CONFIG.yaml --ckpt_path MODEL.ckpt [--KEY VALUE] ...",
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
        named = [item for item in argv if not item.startswith("-")]
        print(class_text(named[0]) if named else help_text(command))
        if not argv:
            raise ConfigError(f"'eoseg {command}' needs a configuration, such as --config configs/demo.yaml.")
        return
    if command == "fit" and any(item.partition("=")[0] in _FOLD_OPTIONS for item in argv):
        cross_validate(argv)
        return
    train(command, argv)


_FOLD_OPTIONS = ("--folds", "--fold", "--compare-random")
_FOLD_HELP = [
    "  --folds K          cross-validate: train and test K times, each time on another fold",
    "  --fold N           with --folds: only fold N, from 0, such as in a job array",
    "  --compare-random   with --folds: the same again on random folds; prints how much they flatter",
]

_BATCH_HELP = [
    "  --batch-size N     the same as --data.init_args.batch_size; auto: the largest that fits into memory",
]


_RESUME_HELP = ["  --resume FOLDER    go on with the run of that folder, from its last checkpoint"]


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
        *([*_FOLD_HELP, *_RESUME_HELP, *_BATCH_HELP] if command == "fit" else []),
        "  --no-wandb         the same as --run.wandb=false",
        *(["  --allow-leakage    the same as --allow_leakage=true"] if command == "fit" else []),
        *(["  --tta              the same as --tta=true"] if command == "test" else []),
        "  --register NAME    fit: the same as --run.register: link the best checkpoint to a registry of W&B",
        "  --print_config     print the whole configuration",
        "",
    ]
    for key in ("data", "model"):
        lines += textwrap.wrap(f"{key}.class_path is one of {', '.join(choices(key))}.", 100)
    lines += [f"'eoseg {command} --help CLASS' shows the options of a class; these are the first two:", ""]
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


def class_text(name: str) -> str:
    """What `--help CLASS` prints.

    Raises:
        ConfigError: There is no such class.
    """
    known = [*choices("data"), *choices("model"), "RunConfig"]
    if name not in known:
        raise ConfigError(unknown_name("class", name, known))
    key = "data" if name in choices("data") else "model"
    title = "run" if name == "RunConfig" else f"{key}.init_args"
    return "\n".join(_class_help(title, name)).rstrip()


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
