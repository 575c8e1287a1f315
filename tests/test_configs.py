"""Every configuration that eoseg ships is parsed, and every network that one names is built."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eoseg import tasks
from eoseg.cli.configuration import check_config
from eoseg.cli.folds import fold_split
from eoseg.cli.options import check_class, check_keys, trainer_options
from eoseg.datasets.chip_list import ChipFileSource
from eoseg.datasets.config import AugmentConfig, SceneSource, SplitConfig
from eoseg.datasets.course_world import CHANGE_CLASSES, COURSE_CLASSES
from eoseg.datasets.grouping import ItemSplitConfig
from eoseg.datasets.table_files import TableSource
from eoseg.datasets.world import WORLD_BANDS, WORLD_CLASSES
from eoseg.losses import LossTerm
from eoseg.recipe import Schema
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig

CONFIGS = Path(__file__).parents[1] / "configs"
ALL = {path.relative_to(CONFIGS).with_suffix("").as_posix(): path for path in sorted(CONFIGS.rglob("*.yaml"))}
LADDERS = {name: path for name, path in ALL.items() if name.startswith("course/")}
RUNS = {name: path for name, path in ALL.items() if "/" not in name}
SEARCHES = {"tune", "sweeps", "cluster"}
"""Folders with files of another kind; tests/cli/test_tune.py and tests/cli/test_scaling.py read these."""

SOURCES = {
    "SceneData": ("scenes", SceneSource, SplitConfig),
    "ChipFileData": ("chips", ChipFileSource, ItemSplitConfig),
    "TableData": ("table", TableSource, ItemSplitConfig),
}
# What the files would say: the number of bands, of a series also of dates, of chip files their size.
FACTS = {
    "aberystwyth": (3, 1, None),
    "demo": (4, 1, None),
    "dubai": (3, 1, None),
    "pretrain": (4, 1, None),
    "rachel_carson": (3, 1, None),
    "eurosat_rgb": (3, 1, 64),
    "statlog": (36, 1, 1),
    "mato_grosso": (4, 12, 1),
    "course/real/airchange": (3, 2, None),
    "course/real/dubai": (3, 1, None),
    "course/real/eurosat_rgb": (3, 1, 64),
    "course/real/landsat_taizhou": (6, 2, None),
    "course/real/series": (4, 12, 1),
    "course/real/statlog": (36, 1, 1),
    "course/change": (4, 2, None),
    "course/series": (4, 11, None),
    "course/classification": (4, 1, None),
    "course/height": (4, 1, None),
    "course/segmentation": (4, 1, None),
}


def load(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def source_of(config: dict[str, Any]) -> Any:
    """The files that a configuration names, checked by their class."""
    options = config["data"]["init_args"]
    key, source, _ = SOURCES[config["data"]["class_path"]]
    return source(**options[key])


def schema_of(name: str, config: dict[str, Any]) -> Schema:
    """What the data of a configuration would be."""
    bands, steps, _ = FACTS[name]
    source = source_of(config)
    several = "series" if config["model"]["class_path"] == "SeriesTask" else "pair"
    return Schema(
        tuple(f"band_{number}" for number in range(1, bands + 1)),
        source.map_classes,
        time=several if steps > 1 else "single",
        steps=steps,
        quantity=getattr(source, "label_quantity", None),
    )


def make_task(name: str, config: dict[str, Any], options: dict[str, Any]) -> tasks.Task:
    """The task as the command line would make it, without pretrained weights."""
    made = {key: value for key, value in options.items() if key not in ("weights", "data", "trainer")}
    for key, kind in (("optimizer", OptimizerConfig), ("scheduler", SchedulerConfig)):
        if key in made:
            made[key] = kind(**made[key])
    if isinstance(made.get("loss"), list):
        made["loss"] = [LossTerm(**term) for term in made["loss"]]
    size = FACTS[name][2] or {**config["data"]["init_args"], **options.get("data", {})}["chip_size"]
    task: tasks.Task = getattr(tasks, config["model"]["class_path"])(schema_of(name, config), size, **made)
    return task


def test_every_file_is_a_run_a_ladder_or_a_search() -> None:
    others = [name for name in ALL if name not in RUNS and name not in LADDERS]
    assert {name.partition("/")[0] for name in others} == SEARCHES


@pytest.mark.parametrize("name", [*RUNS, *LADDERS])
def test_a_configuration_has_no_unknown_key_and_sound_data(name: str) -> None:
    config = load(ALL[name])
    methods = config.pop("methods", None)
    assert (methods is not None) == (name in LADDERS)
    check_config(config, where=name)
    folds = re.search(r"--folds (\d+)", ALL[name].read_text())  # the first line says how it is to be called
    if folds is not None:
        config = fold_split(config, folds=int(folds[1]), fold=0)
    if config["data"]["class_path"] == "TorchGeoData":
        return  # tests/datasets/test_torchgeo_configs.py reads them all
    options = config["data"]["init_args"]
    source_of(config)
    SOURCES[config["data"]["class_path"]][2](**options.get("split", {}))
    AugmentConfig(**options.get("augment", {}))


@pytest.mark.parametrize("name", LADDERS)
def test_the_methods_of_a_ladder_have_no_unknown_key(name: str) -> None:
    config = load(LADDERS[name])
    assert len(config["methods"]) > 1
    for method, options in config["methods"].items():
        own = {key: value for key, value in options.items() if key not in ("trainer", "data")}
        check_class(config["model"]["class_path"], own, where=method)
        check_class(config["data"]["class_path"], options.get("data", {}), where=method)
        check_keys(trainer_options(), options.get("trainer", {}), where=method)


def _methods() -> Iterator[Any]:
    for name, path in LADDERS.items():
        for method, options in load(path)["methods"].items():
            if options["arch"] != "post_classification":  # it needs a checkpoint
                yield pytest.param(name, options, id=f"{name}-{method}")


@pytest.mark.parametrize(("name", "options"), list(_methods()))
def test_the_network_of_each_method_of_a_ladder_is_built(name: str, options: dict[str, Any]) -> None:
    config = load(LADDERS[name])
    shared = config["model"].get("init_args", {})
    assert make_task(name, config, {**shared, **options}).network_config["arch"] == options["arch"]


@pytest.mark.parametrize("name", [name for name in RUNS if name in FACTS])
def test_the_network_of_each_run_is_built(name: str) -> None:
    config = load(RUNS[name])
    make_task(name, config, config["model"].get("init_args", {}))


def test_the_facts_of_every_data_set_are_known() -> None:
    benchmarks = {name for name in RUNS if load(RUNS[name])["data"]["class_path"] == "TorchGeoData"}
    assert {*RUNS, *LADDERS} - benchmarks == set(FACTS)


def test_the_demo_and_the_course_name_the_classes_of_their_worlds() -> None:
    assert len(WORLD_BANDS) == FACTS["demo"][0] == FACTS["course/change"][0]
    assert load(RUNS["demo"])["data"]["init_args"]["scenes"]["classes"] == WORLD_CLASSES
    for name in ("segmentation", "classification", "series"):
        scenes = load(LADDERS[f"course/{name}"])["data"]["init_args"]["scenes"]
        assert scenes["classes"] == COURSE_CLASSES
    change = load(LADDERS["course/change"])["data"]["init_args"]["scenes"]["classes"]
    values = [change[name]["value"] for name in ("unchanged", "changed")]
    assert [values[0], *values[1]] == list(range(len(CHANGE_CLASSES)))
