import subprocess
import sys
from pathlib import Path

import pytest

from eoseg.errors import OutputError
from eoseg.files import write_atomically


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "first")

    def full(self: Path, *_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"file\.json' cannot be written: .*No space left"):
        write_atomically(path, "second")
    assert path.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_processes_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    program = """
import sys
from pathlib import Path
from eoseg.files import write_atomically
for _ in range(400):
    write_atomically(Path(sys.argv[1]), sys.argv[2] * 20_000)
"""
    command = [sys.executable, "-c", program, str(path)]
    writers = [subprocess.Popen([*command, letter], stderr=subprocess.PIPE, text=True) for letter in "ab"]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [("", 0)] * 2
    assert path.read_text() in ("a" * 20_000, "b" * 20_000)
    assert list(tmp_path.iterdir()) == [path]
