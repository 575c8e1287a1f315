"""What `eoseg fit` says of itself."""

import subprocess
import sys

import pytest

from eoseg.cli import fit
from eoseg.cli.configuration import choices
from eoseg.errors import ConfigError


def test_help_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; from eoseg.cli import main\n"
        "try: main(['fit', '--help'])\n"
        "finally: assert not {'torch', 'lightning', 'rasterio'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for option in ("chip_size", "encoder", "max_epochs", "label_encoding", "wandb"):
        assert option in done.stdout


@pytest.mark.parametrize("name", [*choices("data"), *choices("model"), "RunConfig"])
def test_the_options_of_each_class_can_be_asked_for(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    fit.main("fit", ["--help", name])
    told = capsys.readouterr().out
    place = {"RunConfig": "run"}.get(name, "data" if name in choices("data") else "model")
    assert told.startswith(f"{place}{'' if place == 'run' else '.init_args'} ({name})")
    assert "(required)" in told or "(default " in told


def test_help_on_an_unknown_class_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no class 'ChangTask'. Did you mean 'ChangeTask'"):
        fit.main("fit", ["--help", "ChangTask"])


def test_nothing_at_all_prints_the_help_and_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="'eoseg validate' needs a configuration"):
        fit.main("validate", [])
    assert capsys.readouterr().out.startswith("usage: eoseg validate")


@pytest.mark.parametrize("arguments", [["--folds", "3"], ["--folds=3"], ["--compare-random"]])
def test_folds_are_a_cross_validation(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(fit, "cross_validate", calls.append)
    monkeypatch.setattr(fit, "train", lambda *_: calls.append(["trained"]))
    fit.main("fit", arguments)
    fit.main("fit", ["--config=a.yaml"])
    assert calls == [arguments, ["trained"]]
