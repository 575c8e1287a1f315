"""What `eoseg calibrate` refuses before anything heavy is imported."""

import sys
from pathlib import Path

import pytest

from eoseg.cli.calibrate import main
from eoseg.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "'nothing' is not the folder of a finished run"),
        (["nothing", "--dta.x=1"], "'nothing' is not the folder"),
    ],
)
def test_what_is_no_run_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        main("calibrate", arguments)


def test_a_mistyped_option_is_named(tmp_path: Path) -> None:
    for name in ("model.ckpt", "split.json"):
        (tmp_path / name).touch()
    (tmp_path / "config.yaml").write_text("data: {class_path: SceneData}\n")
    with pytest.raises(ConfigError, match="no option '--tainer'"):
        main("calibrate", [str(tmp_path), "--tainer.devices=1"])


@pytest.mark.parametrize("arguments", [[], ["run", "--method=platt"], ["run", "--method"]])
def test_a_method_that_is_none_exits_with_a_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main("calibrate", arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err
    assert "eoseg.cli.calibration_run" not in sys.modules or not arguments
