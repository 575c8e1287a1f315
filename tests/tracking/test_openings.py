import json
from pathlib import Path

import pytest

from eoseg.errors import OutputError
from eoseg.tracking.openings import FILE, record_opening


def test_each_opening_of_a_test_set_counts_and_others_do_not(tmp_path: Path) -> None:
    counts = [record_opening(tmp_path, name, {"run": f"r{n}"}) for n, name in enumerate("abaab")]
    assert counts == [1, 1, 2, 3, 2]
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [line["run"] for line in lines if line["test_set"] == "a"] == ["r0", "r2", "r3"]
    assert all(line["opened"] for line in lines)


def test_a_file_that_counts_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[]\n")
    with pytest.raises(OutputError, match="holds something else. Move it away"):
        record_opening(tmp_path, "a", {})
    with pytest.raises(OutputError, match="cannot be written"):
        record_opening(tmp_path / "none", "a", {})
