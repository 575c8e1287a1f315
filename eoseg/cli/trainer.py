"""Training and evaluating with Lightning's command line."""

import json
import logging
import re
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, cast

import jsonargparse
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from eoseg.cli.finished import say_finished
from eoseg.cli.leakage_gate import audit_before_training, keep_audit, leakage_record
from eoseg.cli.measured import measured_content
from eoseg.cli.output import OneLineParser, Progress, own_error, quiet
from eoseg.cli.processes import end_with_parent, run_all
from eoseg.cli.run_config import RunConfig
from eoseg.cli.scaling import (
    ManyProcesses,
    callbacks,
    checkpoint_to_go_on_from,
    parts_of_trainer,
    plan_processes,
    prepare_fit,
    require_same_split,
    say_stopped,
    translated,
    warn_of_version,
)
from eoseg.cli.symmetries import use_symmetries
from eoseg.datasets.base import EOData
from eoseg.datasets.chip_files import ChipFileData
from eoseg.datasets.datamodule import SceneData
from eoseg.datasets.leakage import LeakageAudit
from eoseg.datasets.tables import TableData
from eoseg.datasets.torchgeo import TorchGeoData
from eoseg.errors import ConfigError
from eoseg.files import write_atomically
from eoseg.models.checkpoint import export_checkpoint, read_checkpoint
from eoseg.models.pretrained import weights_from_checkpoint
from eoseg.predict.memory import keep_freed_memory
from eoseg.recipe import Schema
from eoseg.tasks import Task
from eoseg.tracking.checkpoints import LAST
from eoseg.tracking.data_wait import DataWait
from eoseg.tracking.identity import keep_models
from eoseg.tracking.loggers import finish_wandb, require_tensorboard
from eoseg.tracking.openings import FILE, open_test_set
from eoseg.tracking.preemption import PreemptedError
from eoseg.tracking.protocol import LeftOut, require_unseen, training_record
from eoseg.tracking.recorders import recorders, run_loggers
from eoseg.tracking.run_folder import create_run_folder, is_requeued, write_environment
from eoseg.tracking.wandb_mode import Mode, choose_mode

logger = logging.getLogger(__name__)

# The classes that a configuration may name shortly are those that are imported here.
DATA = (SceneData, ChipFileData, TableData, TorchGeoData)

# A schema is never written in a configuration: the data give it.
jsonargparse.set_parsing_settings(subclasses_enabled=[Schema])


def run(command: str, arguments: list[str]) -> Path:
    """Train or evaluate, in a new run folder.

    Args:
        command: "fit", "validate" or "test".
        arguments: What follows the command.

    Returns:
        The run folder.
    """
    try:
        cli = quiet_start(command, arguments)
    except PreemptedError as stopped:
        say_stopped(stopped)
    except ManyProcesses as plan:
        run_all([command, *arguments], plan.processes, folder=plan.folder)
        return plan.folder
    cli.write_figures()
    if command == "fit":
        cli.finish()
    finish_wandb(cli.trainer)
    return cli.run_folder


def quiet_start(command: str, arguments: list[str], *, kind: "type[EosegCLI] | None" = None) -> "EosegCLI":
    """Run a command of Lightning's, with eoseg's own errors in place of those of its parser and of torch."""
    quiet()
    keep_freed_memory()
    end_with_parent()
    try:
        return _start(command, arguments, kind or EosegCLI)
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        cause = own_error(error) or translated(error)
        if cause is None:
            raise
        raise cause from error


def _start(command: str, arguments: list[str], kind: "type[EosegCLI]") -> "EosegCLI":
    return kind(
        Task,
        EOData,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        save_config_callback=None,  # written by hand, into the run folder
        auto_configure_optimizers=False,  # a task has its own optimizer and scheduler
        trainer_defaults={
            "use_distributed_sampler": False,
            "log_every_n_steps": 1,
            "enable_model_summary": False,
        },
        args=[command, *arguments],
    )


class EosegCLI(LightningCLI):
    """Lightning's command line with linked facts, a run folder and one-line errors."""

    run_folder: Path
    purpose: ClassVar[str | None] = None
    """What a run is for, where that is not its subcommand."""
    _started: float
    _asked_for: dict[str, Any]
    _openings: int | None = None
    _leakage: LeakageAudit | None = None

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Those that need a Trainer. `eoseg predict` maps scenes of any size without one."""
        return {name: LightningCLI.subcommands()[name] for name in ("fit", "validate", "test")}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Lightning's parser with one-line errors."""
        parser = super().init_parser(**kwargs)
        parser.__class__ = OneLineParser
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Each fact once: bands, classes and chip size from the data, one seed for all."""
        parser.add_argument("--run", type=RunConfig, default=RunConfig())
        parser.add_argument("--allow_leakage", type=bool, default=False)
        parser.add_argument("--tta", type=bool, default=False)
        parser.link_arguments("data.schema", "model.init_args.schema", apply_on="instantiate")
        parser.link_arguments("data.chip_size", "model.init_args.chip_size", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def before_instantiate_classes(self) -> None:
        """Refuse what would be ignored; find out how many processes there are."""
        chosen = self.config[self.subcommand]
        if chosen.get("weights_only") is False:
            raise ConfigError("weights_only is always true: no code from a checkpoint is run. Leave it out.")
        chosen["weights_only"] = True
        run, trainer = chosen["run"], chosen["trainer"]
        self._asked_for = {key: trainer[key] for key in ("devices", "num_nodes")}
        name, base = self._name(run["name"]), Path(run["folder"])
        plan_processes(trainer, base=base, name=name, resume=self._goes_on_in, alone=self.purpose is not None)

    def instantiate_classes(self) -> None:
        """Data, task and trainer; of a checkpoint that is evaluated, not what it started from."""
        is_evaluated = self.subcommand != "fit" and self.config[self.subcommand].get("ckpt_path")
        with weights_from_checkpoint() if is_evaluated else nullcontext():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add loggers, callbacks and the run folder to what the configuration says."""
        options: RunConfig = self._get(self.config_init, "run")
        chosen = self._get(self.config_init, "trainer", default={})
        data = cast(EOData, self.datamodule)
        mine = chosen.get("logger") in (None, True)
        if not mine and (options.tensorboard or options.register):
            raise ConfigError(
                "run.tensorboard and run.register are for eoseg's own loggers, but trainer.logger names "
                "others. Leave one of them out."
            )
        require_tensorboard(wanted=options.tensorboard)
        mode = choose_mode(wanted=options.wandb) if mine else "absent"  # a wrong key leaves no run folder
        kwargs |= parts_of_trainer(chosen, cast(Task, self.model))
        self._look_at(data)
        resume = self.subcommand == "fit" and (self._goes_on_in is not None or is_requeued())
        self.run_folder = data.run_folder = create_run_folder(
            Path(options.folder), self._name(options.name), resume=resume, chosen=self._goes_on_in
        )
        path = checkpoint_to_go_on_from(self.run_folder, data, cast(Task, self.model)) if resume else None
        if path is not None:
            self.config_init[self.subcommand]["ckpt_path"] = path
        kwargs["default_root_dir"] = str(self.run_folder)
        if mine:
            kwargs["logger"] = self._own_loggers(options, mode)
        own = self._own_callbacks(options)
        if chosen.get("enable_progress_bar") is False:
            own = [callback for callback in own if not isinstance(callback, Progress)]
        chosen["callbacks"] = [*(chosen.get("callbacks") or []), *own]
        trainer = super().instantiate_trainer(**kwargs)
        self._record(trainer)
        self._started = time.perf_counter()
        return trainer

    def _look_at(self, data: EOData) -> None:
        """Find what is wrong with the data before a run folder is made."""
        record, checkpoint = data.split_record, self._get(self.config_init, "ckpt_path")
        tta, task = self._get(self.config_init, "tta"), cast(Task, self.model)
        use_symmetries(task, wanted=tta, command=str(self.subcommand), checkpoint=checkpoint)
        if self.subcommand == "fit":
            _ = data.statistics  # kept by the datamodule
            if not data.has("val"):
                raise ConfigError(
                    "Training needs a validation split, which chooses the checkpoint, and finds none. Set "
                    "split.val to a share above 0, or to the scenes to validate on."
                )
            runs, allowed = (self._get(self.config_init, key) for key in ("run", "allow_leakage"))
            self._leakage = audit_before_training(data, Path(runs.folder), allowed=allowed)
            return
        provenance = read_checkpoint(checkpoint)[0].provenance if checkpoint else {}
        require_same_split(provenance.get("split"), record)
        warn_of_version(provenance.get("eoseg"))
        if self.subcommand == "test":
            require_unseen(provenance, data)

    def _leakage_record(self) -> dict[str, Any]:
        """What the audit of the split found, before this training or that of the checkpoint."""
        asked = (self._get(self.config_init, key) for key in ("allow_leakage", "ckpt_path"))
        return leakage_record(self._leakage, *asked)

    @property
    def _goes_on_in(self) -> Path | None:
        """The folder of a run to go on with; a checkpoint is tested in a folder of its own."""
        chosen = self.config[self.subcommand]["run"]["resume"]
        return Path(chosen).resolve() if chosen and self.subcommand == "fit" else None  # not "latest"

    def before_fit(self) -> None:
        """Put into every checkpoint how it came about. No time and no path: equal runs, equal files."""
        task, data = cast(Task, self.model), cast(EOData, self.datamodule)
        seed = self._get(self.config_init, "seed_everything")
        record = training_record(task, data, seed=seed, world_size=self.trainer.world_size)
        task.provenance = {**record, "split": {**data.split_record, "leakage": self._leakage_record()}}
        options: RunConfig = self._get(self.config_init, "run")
        prepare_fit(self.trainer, task, compiled=options.compile, seconds=options.connect_seconds)

    @rank_zero_only
    def before_test(self) -> None:
        """Count how often this test set was opened."""
        runs = Path(cast(RunConfig, self._get(self.config_init, "run")).folder)
        self._openings = open_test_set(runs, self.run_folder, cast(EOData, self.datamodule))
        print(f"This test set was opened {self._openings} times, this time included ({runs / FILE}).")

    @rank_zero_only
    def write_figures(self) -> None:
        """Write `figures.json`: the last figures of the run, its time, and the size of the network."""
        trained = self.subcommand == "fit"
        values = {
            name: float(value)
            for name, value in sorted(self.trainer.callback_metrics.items())
            if not name.endswith(("_step", "_epoch"))
        }
        content: dict[str, Any] = {
            "command": self.subcommand,
            "task": type(self.model).__name__,
            "network": cast(Task, self.model).network_config,
            "parameters": sum(
                item.numel() for item in cast(Task, self.model).network.parameters() if item.requires_grad
            ),
            "seconds": round(time.perf_counter() - self._started, 2),
            "figures": values,
            "leakage": self._leakage_record(),
        }
        if trained:
            best = cast(ModelCheckpoint, self.trainer.checkpoint_callback)
            score = best.best_model_score
            content["best"] = {"figure": best.monitor, "value": None if score is None else float(score)}
            content["epochs"] = self.trainer.current_epoch
            rule = cast(Task, self.model).batch_rule()
            content["batch"] = {"effective": rule.effective, "learning_rate": rule.lr}
        content |= measured_content(
            cast(Task, self.model),
            cast(EOData, self.datamodule),
            self.run_folder,
            "test" if self.subcommand == "test" else "val",
            seed=self._get(self.config_init, "seed_everything"),
            world_size=self.trainer.world_size,
            block_size=cast(RunConfig, self._get(self.config_init, "run")).block_size,
            openings=self._openings,
        )
        write_atomically(self.run_folder / "figures.json", json.dumps(content, indent=2) + "\n")

    def finish(self) -> None:
        """Leave the best weights, with their recipe and nothing else, as `model.ckpt`."""
        best = cast(ModelCheckpoint, self.trainer.checkpoint_callback)
        if not self.trainer.is_global_zero or not best.best_model_path:
            return
        model = export_checkpoint(Path(best.best_model_path), self.run_folder / "model.ckpt")
        last = self.run_folder / "checkpoints" / LAST
        keep_models(self.trainer, model, last, register=self._get(self.config_init, "run").register)
        score = f"{cast(Task, self.model).monitor} {best.best_model_score:.3f}"
        print(f"\nBest checkpoint ({score}): {model}")
        say_finished(cast(Task, self.model), cast(EOData, self.datamodule), model, self.run_folder)

    def _own_loggers(self, options: RunConfig, mode: Mode) -> list[Logger]:
        return run_loggers(
            self.run_folder,
            cast(EOData, self.datamodule),
            command=str(self.subcommand),
            task=type(self.model).__name__,
            project=options.project,
            group=options.group,
            tags=options.tags,
            mode=mode,
            checkpoint=self._get(self.config_init, "ckpt_path"),
            tensorboard=options.tensorboard,
        )

    def _own_callbacks(self, options: RunConfig) -> list[Callback]:
        mine: list[Callback] = [Progress(leave=True)]
        mine += recorders(
            self.run_folder,
            cast(EOData, self.datamodule),
            training=self.subcommand == "fit",
            panels_every=options.panels_every,
            table_pictures=options.table_pictures,
        )
        if self.subcommand == "fit":
            task = cast(Task, self.model)
            best = ModelCheckpoint(
                self.run_folder / "checkpoints",
                filename="best",
                monitor=task.monitor,
                mode=task.monitor_mode,
                enable_version_counter=False,  # a run that goes on writes the same file
            )
            mine += [
                LeftOut(),
                best,
                DataWait(),
                *callbacks(self.run_folder, minutes=options.checkpoint_minutes),
            ]
        return mine

    @rank_zero_only
    def _record(self, trainer: Trainer) -> None:
        """Write what is needed to repeat the run, before it starts."""
        write_environment(self.run_folder)
        keep_audit(self._leakage, self.run_folder)
        config = self.config[self.subcommand].clone()
        config["run"]["resume"] = None  # who repeats the run does not go on with it
        for key, value in self._asked_for.items():
            config["trainer"][key] = value  # nor does it need as many processes
        text = self._parser(self.subcommand).dump(config, skip_unset=False)
        (self.run_folder / "config.yaml").write_text(text)
        told = {**self.config[self.subcommand].as_dict(), "leakage": self._leakage_record()}
        for item in trainer.loggers:
            item.log_hyperparams(told)

    def _name(self, given: str | None) -> str:
        name = given or self._config_name()
        return name if self.subcommand == "fit" else f"{name}-{self.purpose or self.subcommand}"

    def _config_name(self) -> str:
        paths = [Path(str(path)) for path in self.config[self.subcommand].get("config") or []]
        if paths and (paths[-1].parent / "model.ckpt").is_file():
            name = paths[-1].resolve().parent.parent.name  # of the experiment that the run folder is of
            return name if re.fullmatch(r"[\w-][\w.-]*", name) else "run"
        return paths[-1].stem if paths else "run"
