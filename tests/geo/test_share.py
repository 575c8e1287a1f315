"""The files of a share: whole tiles count, torn and damaged ones do not."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from parts_factory import BYTES, WIDTH, fill, make_parts, pending, values_of

from eoseg.errors import BusyError, OutputError
from eoseg.geo.grid import Grid
from eoseg.geo.parts import Parts, is_busy
from eoseg.geo.share import Share
from eoseg.geo.tiles import plan_tiles
from eoseg.geo.window import Window


def test_what_is_written_is_read(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    fill(parts)
    with Share(parts, 0) as share:
        assert (share.pending, share.done, share.skipped) == ([], 20, 1)
        for index in range(20):
            core = parts.cores.tile(index).core
            for layer, expected in enumerate(values_of(parts, index)):
                found = share.read(layer, core)
                np.testing.assert_array_equal(found, expected.reshape(found.shape))


def test_values_beyond_4_gb_are_where_they_belong(tmp_path: Path) -> None:
    """Files of 5 GB each, of which next to nothing is on disk."""
    grid = Grid(None, Affine.identity(), 70_000, 70_000)
    cores = plan_tiles(70_000, 70_000, core=35_000, halo=0, stride=1)
    parts = Parts(tmp_path / "m.tif", grid, [BYTES], cores, fingerprint={})
    last = Window(69_990, 69_000, 10, 1000)
    with Share(parts, 0) as share:
        values = np.arange(10_000, dtype=np.uint16).astype(np.uint8).reshape(1, 10, 1000)
        share._put(0, BYTES, last, values)
        np.testing.assert_array_equal(share.read(0, last), values)
        assert not share.read(0, Window(0, 0, 10, 1000)).any()
    with parts.raw_path(0, 0).open("rb") as file:
        file.seek(69_991 * 70_000 + 69_003)
        assert file.read(2) == values[0, 1, 3:5].tobytes()


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_torn_line_is_a_tile_to_compute(tmp_path: Path, cut: int) -> None:
    parts = make_parts(tmp_path)
    fill(parts, until=7)
    journal = parts.journal_path(0)
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert pending(parts) == list(range(6, 20))
    fill(parts, until=1)  # a new line does not run into the torn one
    assert pending(parts) == list(range(7, 20))


@pytest.mark.parametrize("layer", [0, 1])
def test_values_that_changed_on_disk_are_computed_anew(tmp_path: Path, layer: int) -> None:
    parts = make_parts(tmp_path)
    fill(parts)
    with parts.raw_path(0, layer).open("r+b") as file:
        file.seek((17 * WIDTH + 3) * (1 if layer == 0 else 4))  # row 17: the second row of tiles
        file.write(b"\xff\xff\xff\xff")
    assert not make_parts(tmp_path).is_complete() or pending(parts) == [5]
    assert not parts.is_complete()


@pytest.mark.parametrize("size", [0, 2000])
def test_a_file_that_was_cut_is_computed_anew(tmp_path: Path, size: int) -> None:
    parts = make_parts(tmp_path)
    fill(parts)
    raw = parts.raw_path(0, 0)
    raw.write_bytes(raw.read_bytes()[:size])
    todo = pending(parts)
    assert set(todo) >= set(range(10, 20))
    assert (len(todo) == 20) == (size == 0)


def test_a_journal_without_its_values_counts_for_nothing(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    fill(parts)
    parts.raw_path(0, 1).unlink()
    assert pending(parts) == list(range(20))


def test_values_without_a_journal_count_for_nothing(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    fill(parts)
    parts.journal_path(0).unlink()
    assert pending(parts) == list(range(20))


def test_two_processes_do_not_work_on_one_share(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    assert not is_busy(tmp_path / "m.tif")
    with Share(parts, 0):
        assert is_busy(tmp_path / "m.tif")
        with pytest.raises(BusyError, match="Another process is making"):
            Share(parts, 0)
    assert not is_busy(tmp_path / "m.tif")
    assert pending(parts) == list(range(20))


def test_a_tile_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    with Share(parts, 0) as share:
        classes, floats = values_of(parts, 0)
        with pytest.raises(OutputError, match=r"\(1, 16, 16\) values of uint8"):
            share.write(0, [classes[:3], floats])
        with pytest.raises(OutputError, match="of float32"):
            share.write(0, [classes, floats.astype(np.float64)])
    assert pending(parts) == list(range(20))


@pytest.mark.parametrize("strip", [1, 300])
def test_strips_of_any_size_find_the_same_damage(
    tmp_path: Path, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eoseg.geo.share._STRIP_BYTES", strip)
    parts = make_parts(tmp_path, shares=3)
    for number in range(3):
        fill(parts, share=number)
        assert pending(parts, number) == []
    with parts.raw_path(1, 1).open("r+b") as file:
        file.seek(4 * WIDTH * 20)  # row 36: the third row of tiles, all of share 1
        file.write(b"\xff")
    assert len(pending(parts, 1)) == 1
    assert pending(parts, 2) == []
