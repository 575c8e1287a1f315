"""Every configuration that eoseg ships is parsed; those for real data are tried on it where it is there."""

from pathlib import Path

import pytest
import yaml

from eoseg.cli.fit import check_config
from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.world import WORLD_CLASSES

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def load(path: Path) -> dict[str, dict[str, dict[str, object]]]:
    config: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(path.read_text())
    return config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_configuration_has_no_unknown_key_and_sound_data(path: Path) -> None:
    config = load(path)
    check_config(config, where=str(path))
    options = config["data"]["init_args"]
    SceneSource(**options["scenes"])  # type: ignore[arg-type]
    SplitConfig(**options.get("split", {}))  # type: ignore[arg-type]


def test_the_demo_names_the_classes_of_its_world() -> None:
    scenes = load(ROOT / "configs" / "demo.yaml")["data"]["init_args"]["scenes"]
    assert scenes["classes"] == WORLD_CLASSES  # type: ignore[index]
