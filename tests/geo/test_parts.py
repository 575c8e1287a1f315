"""What is on disk of an unfinished map, told apart from another run's."""

import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from parts_factory import BYTES, fill, make_parts, pending

from eoseg.errors import OutputError
from eoseg.geo.grid import Grid
from eoseg.geo.parts import Parts, parts_folder, read_progress
from eoseg.geo.tiles import plan_tiles


def test_a_run_goes_on_with_the_tiles_that_are_missing(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    assert not parts.was_begun
    fill(parts, until=7)
    again = make_parts(tmp_path)
    assert again.was_begun
    assert pending(again) == list(range(7, 20))
    assert read_progress(tmp_path / "m.tif") == (7, 20)
    assert not again.is_complete()
    fill(again)
    assert again.is_complete()
    assert read_progress(tmp_path / "m.tif") == (20, 20)


def test_parts_may_lie_elsewhere(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    fill(parts, until=3)
    inner = Parts(
        parts.target, parts.grid, parts.layers, parts.cores, fingerprint={}, folder=parts.folder / "inner"
    )
    assert pending(inner) == list(range(20))
    inner.remove()
    assert pending(make_parts(tmp_path)) == list(range(3, 20))


def test_another_run_is_refused_by_name_and_replaced_on_demand(tmp_path: Path) -> None:
    fill(make_parts(tmp_path), until=3)
    with pytest.raises(OutputError, match=r"another run: the scene was 's.tif' and is 't.tif'.*--overwrite"):
        make_parts(tmp_path, **{"the scene": "t.tif"})
    assert pending(make_parts(tmp_path)) == list(range(3, 20))
    anew = make_parts(tmp_path, overwrite=True, **{"the scene": "t.tif"})
    assert pending(anew) == list(range(20))
    assert [path.name for path in tmp_path.iterdir()] == ["m.tif.parts"]


def test_the_same_run_goes_on_though_it_may_overwrite(tmp_path: Path) -> None:
    fill(make_parts(tmp_path), until=3)
    assert pending(make_parts(tmp_path, overwrite=True)) == list(range(3, 20))


@pytest.mark.parametrize("text", ["", "{", '{"shares": 1}', "[]"])
def test_a_damaged_plan_is_refused(tmp_path: Path, text: str) -> None:
    parts = make_parts(tmp_path)
    (parts.folder / "plan.json").write_text(text)
    with pytest.raises(OutputError, match=r"plan.json' is damaged. Start anew with --overwrite"):
        make_parts(tmp_path)
    assert pending(make_parts(tmp_path, overwrite=True)) == list(range(20))


def test_another_folder_of_that_name_is_left_alone(tmp_path: Path) -> None:
    mine = parts_folder(tmp_path / "m.tif")
    mine.mkdir()
    (mine / "thesis.txt").touch()
    with pytest.raises(OutputError, match="is in the way"):
        make_parts(tmp_path, overwrite=True)
    assert (mine / "thesis.txt").exists()


def test_a_run_keeps_its_number_of_shares(tmp_path: Path) -> None:
    fill(make_parts(tmp_path, shares=3), share=1)
    again = make_parts(tmp_path, shares=2)
    assert again.shares == 3
    assert [len(pending(again, share)) for share in range(3)] == [6, 0, 7]


def test_the_plan_tells_people_what_is_computed(tmp_path: Path) -> None:
    plan = json.loads((make_parts(tmp_path).folder / "plan.json").read_text())
    assert plan["fingerprint"]["the scene"] == "s.tif"
    assert plan["fingerprint"]["tiles"] == "16 px of 70 x 50 px"
    assert (plan["shares"], plan["tiles"]) == (1, 20)


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 30), st.integers(1, 9))
def test_pieces_cover_each_pixel_once_and_lie_in_their_share(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, core: int, shares: int
) -> None:
    grid = Grid(None, Affine.identity(), height, width)
    cores = plan_tiles(height, width, core=core, halo=0, stride=1)
    folder = tmp_path_factory.mktemp("parts")
    parts = Parts(folder / "m.tif", grid, [BYTES], cores, fingerprint={}, shares=shares)
    hits, owner = np.zeros((height, width), int), np.zeros((height, width), int)
    for piece in parts.pieces():
        part = piece.window.slices_in(grid.window)
        hits[part] += 1
        owner[part] = piece.share
        first, end = parts.rows(piece.share)
        assert first == piece.first_row <= piece.window.row
        assert piece.window.row_stop <= end
    assert (hits == 1).all()
    for share in range(parts.shares):
        for index in range(*parts.bounds(share)):
            assert (owner[cores.tile(index).core.slices_in(grid.window)] == share).all()
