"""Build the data of a configuration without training: what `eoseg fit` would build, from the same keys."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eoseg.errors import ConfigError, EosegError

if TYPE_CHECKING:
    from eoseg.datasets.base import EOData


def build_data(config: Mapping[str, Any], *, where: str) -> "EOData":
    """Build the datamodule that a configuration names; no file is read yet.

    Args:
        config: As `load_config` reads it.
        where: Its path, for messages.

    Raises:
        ConfigError: It names no data, or an option is wrong.
    """
    from jsonargparse import ArgumentParser

    from eoseg.datasets.base import EOData
    from eoseg.datasets.chip_files import ChipFileData  # noqa: F401 (named shortly in configurations)
    from eoseg.datasets.datamodule import SceneData  # noqa: F401
    from eoseg.datasets.tables import TableData  # noqa: F401
    from eoseg.datasets.torchgeo import TorchGeoData  # noqa: F401

    data = config.get("data")
    if not isinstance(data, Mapping):
        raise ConfigError(f"'{where}' has no 'data'; expected a configuration as 'eoseg fit' takes.")
    seed = config.get("seed_everything", 0)
    arguments = {"seed": seed if isinstance(seed, int) and not isinstance(seed, bool) else 0}
    chosen = {**data, "init_args": {**arguments, **(data.get("init_args") or {})}}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EOData, "data")
    try:
        built: EOData = parser.instantiate(parser.parse_object({"data": chosen})).data
    except (argparse.ArgumentError, TypeError, ValueError) as error:
        cause = _own(error)
        if cause is not None:
            raise cause from error
        raise ConfigError(f"'{where}': data: {' '.join(str(error).split())[:300]}") from error
    return built


def run_config(folder: Path) -> dict[str, Any]:
    """The resolved configuration of a run folder, with the split that the run had.

    Raises:
        ConfigError: It is not the folder of a finished run.
    """
    from eoseg.cli.configuration import load_config

    needed = [folder / name for name in ("config.yaml", "model.ckpt", "split.json")]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        raise ConfigError(
            f"'{folder}' is not the folder of a finished run: it has no {', '.join(missing)}. Name a folder "
            "that 'eoseg fit' made."
        )
    config = dict(load_config(str(needed[0])))
    data = dict(config.get("data") or {})
    if str(data.get("class_path", "")).endswith("SceneData"):  # others' splits follow from their options
        arguments = dict(data.get("init_args") or {})
        arguments["split"] = {**(arguments.get("split") or {}), "path": str(needed[2])}
        config["data"] = {**data, "init_args": arguments}
    return config


def _own(error: BaseException | None) -> EosegError | None:
    """The error of eoseg that the parser wrapped in one of its own, if any."""
    while error is not None and not isinstance(error, EosegError):
        error = error.__cause__ or error.__context__
    return error
