"""What `eoseg` says before any command runs, and how it ends."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from eoseg import __version__, cli
from eoseg.errors import ConfigError, DataError

SNAPSHOTS = Path(__file__).parent / "snapshots"
HEAVY = ("torch", "lightning", "rasterio", "numpy", "matplotlib", "wandb", "torchgeo", "jsonargparse")


def run_eoseg(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eoseg", *arguments],
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **extra},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check_snapshot(name: str, text: str) -> None:
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("EOSEG_WRITE_SNAPSHOTS"):
        path.write_text(text)
    assert path.is_file(), f"EOSEG_WRITE_SNAPSHOTS=1 scripts/test tests/cli/test_help.py writes {path.name}"
    assert text == path.read_text(), (
        "wanted? then EOSEG_WRITE_SNAPSHOTS=1 scripts/test tests/cli/test_help.py"
    )


def test_help_is_the_snapshot() -> None:
    result = run_eoseg("--help")
    assert (result.returncode, result.stderr) == (0, "")
    check_snapshot("eoseg", result.stdout)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_each_command_is_the_snapshot(command: str) -> None:
    result = run_eoseg(command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    check_snapshot(command, result.stdout)


def test_there_is_no_snapshot_without_its_command() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.txt")} <= {"eoseg", *cli.COMMANDS}


def test_help_names_every_command() -> None:
    result = run_eoseg("--help")
    assert [name for name in cli.COMMANDS if f"\n  {name} " not in result.stdout] == []


def test_help_answers_in_under_a_second() -> None:
    took = []
    for _ in range(3):  # the best of three: other programs may be running
        start = time.perf_counter()
        run_eoseg("--help")
        took.append(time.perf_counter() - start)
    assert min(took) < 1


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from eoseg.cli import main\n"
        f"try: main({arguments!r})\n"
        f"except SystemExit: print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "LOADED []"


def test_version_is_that_of_the_package() -> None:
    result = run_eoseg("--version")
    assert (result.returncode, result.stdout) == (0, f"eoseg {__version__}\n")


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 0
    assert "usage: eoseg" in capsys.readouterr().out


def test_an_unknown_command_is_one_line_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["predikt", "x.ckpt"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: There is no command 'predikt'. Did you mean 'predict'?")
    assert error.count("\n") == 1


def test_an_unknown_option_before_the_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--verbose", "fit"])
    assert ended.value.code == 2
    assert "--verbose" in capsys.readouterr().err


def test_an_unknown_log_level_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EOSEG_LOG", "debg")
    with pytest.raises(SystemExit) as ended:
        cli.main(["describe", "x.ckpt"])
    assert ended.value.code == 2
    assert "EOSEG_LOG: There is no level 'DEBG'. Did you mean 'DEBUG'?" in capsys.readouterr().err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for a command's module; set its `main`."""
    module = SimpleNamespace(main=lambda command, argv: None)
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: module)
    return module


def test_a_command_gets_its_name_and_its_arguments(command: SimpleNamespace) -> None:
    calls = []
    command.main = lambda name, argv: calls.append((name, argv))
    cli.main(["validate", "run", "--option", "3"])
    assert calls == [("validate", ["run", "--option", "3"])]


@pytest.mark.parametrize("kind", [ConfigError, DataError])
def test_an_error_of_eoseg_is_one_line_and_status_2(
    command: SimpleNamespace, capsys: pytest.CaptureFixture[str], kind: type[Exception]
) -> None:
    def fail(name: str, argv: list[str]) -> None:
        raise kind("expected this,\nfound that")

    command.main = fail
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: expected this, found that\n"


def test_an_error_that_eoseg_does_not_know_keeps_its_traceback(command: SimpleNamespace) -> None:
    def fail(name: str, argv: list[str]) -> None:
        raise ZeroDivisionError

    command.main = fail
    with pytest.raises(ZeroDivisionError):
        cli.main(["fit"])


def test_an_interruption_is_one_line_and_the_usual_status(
    command: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(name: str, argv: list[str]) -> None:
        raise KeyboardInterrupt

    command.main = interrupt
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "eoseg fit: interrupted\n"


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_who_goes_away_is_no_error(lines: int) -> None:
    code = (
        "from types import SimpleNamespace; from eoseg import cli\n"
        f"talk = lambda command, argv: print('word\\n' * {lines})\n"
        "cli.importlib.import_module = lambda name: SimpleNamespace(main=talk)\n"
        "cli.main(['describe'])"
    )
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (result.stderr, result.returncode) == ("", 141)


def test_a_missing_file_ends_in_one_line_whichever_command_reads_it(tmp_path: Path) -> None:
    result = run_eoseg("describe", str(tmp_path / "absent.tif"))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert "absent.tif" in result.stderr
