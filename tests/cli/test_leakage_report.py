"""What is printed and drawn of an audit; the rest is in test_cli_doctor.py."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from eoseg.cli.leakage_report import print_audit, require_picture, write_picture
from eoseg.datasets.leakage import Check, LeakageAudit, Outline, SplitMap
from eoseg.errors import ConfigError, OutputError

RING = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 0.0))


def test_each_check_has_its_line_and_examples_where_it_is_bad() -> None:
    checks = (Check("ground", "clean", "Nothing."), Check("duplicates", "error", "Twice.", {}, ("a and b",)))
    told = io.StringIO()
    print_audit(Console(file=told, width=120), LeakageAudit(checks, None, 0.25))
    lines = [line.split() for line in told.getvalue().splitlines() if line.strip()]
    assert lines[0] == ["Leakage", "leaking", "(audited", "in", "0.2", "s)"]
    assert lines[1] == ["ground", "in", "two", "splits", "clean", "Nothing."]
    assert lines[2] == ["same", "picture", "in", "two", "splits", "leak", "Twice."]
    assert lines[3] == ["a", "and", "b"]


def test_a_picture_needs_a_place_and_a_folder(tmp_path: Path) -> None:
    require_picture(None)
    require_picture("a.PNG")
    with pytest.raises(ConfigError, match=r"written as .png"):
        require_picture("a.pdf")
    drawn = SplitMap("m", (Outline("train", RING),))
    with pytest.raises(ConfigError, match="no map of the split"):
        write_picture(tmp_path / "a.png", LeakageAudit(()), title="")
    with pytest.raises(OutputError, match="cannot be written"):
        write_picture(tmp_path / "no" / "a.png", LeakageAudit((), drawn), title="")
    write_picture(tmp_path / "a.png", LeakageAudit((), drawn), title="A split")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
