from pathlib import Path

import pytest

from eoseg.errors import OutputError
from eoseg.geo.whole_file import whole_file


def left(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_gets_its_name_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    path.write_text("old")
    (tmp_path / "a.gpkg.part.gpkg").write_text("of a run that was killed")
    with whole_file(path) as part:
        assert part.suffix == ".gpkg"
        assert not part.exists()
        part.write_text("new")
        assert path.read_text() == "old"
    assert left(tmp_path) == {"a.gpkg": "new"}


def fail_halfway(path: Path, error: BaseException) -> None:
    with whole_file(path) as part:
        part.write_text("half")
        for ending in ("-journal", "-wal", "-shm"):
            part.with_name(part.name + ending).write_text("of SQLite")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError()])
def test_whatever_fails_leaves_the_older_file_alone(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a.gpkg").write_text("old")
    with pytest.raises(type(error)):
        fail_halfway(tmp_path / "a.gpkg", error)
    assert left(tmp_path) == {"a.gpkg": "old"}


def test_what_the_disk_says_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a.parquet' cannot be written: No space left. Check the folder"):
        fail_halfway(tmp_path / "a.parquet", OSError("No space\n left"))
    assert left(tmp_path) == {}
