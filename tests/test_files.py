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
