"""A COG is complete or not there at all."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from eoseg.errors import OutputError
from eoseg.geo import cog
from eoseg.geo.cog import CogWriter, Layout, require_writable
from eoseg.geo.grid import Grid
from eoseg.geo.tally import ByteTally
from eoseg.geo.window import Window

PLAIN = Layout(bands=("value",), overviews="MODE", tags={})
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_400_000)


def grid(height: int = 20, width: int = 30, *, transform: Affine = TRANSFORM) -> Grid:
    return Grid(CRS.from_epsg(32632), transform, height, width)


def write(path: Path, values: np.ndarray, layout: Layout = PLAIN, **options: object) -> Path:
    with CogWriter(path, grid(*values.shape[-2:]), layout, **options) as writer:
        writer.write(Window(0, 0, *values.shape[-2:]), values)
        writer.build({"A": "b"})
        writer.publish()
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (height, width), dtype=np.uint8)


def test_what_is_written_in_pieces_is_read_as_a_whole(tmp_path: Path) -> None:
    values = noise(1300, 1100)
    with CogWriter(tmp_path / "a.tif", grid(1300, 1100), PLAIN, block=256) as writer:
        for row in range(0, 1300, 512):
            for col in range(0, 1100, 512):
                piece = values[row : row + 512, col : col + 512]
                writer.write(Window(row, col, *piece.shape), piece)
        writer.build({})
        writer.publish()
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)
        assert dataset.nodata == 255
        assert dataset.crs.to_epsg() == 32632
        assert dataset.transform == TRANSFORM
        assert dataset.overviews(1) == [2, 4]
    assert files(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("size", [(10, 10), (1300, 700)])
def test_the_file_is_a_valid_cog(tmp_path: Path, size: tuple[int, int]) -> None:
    valid, errors, warnings = cog_validate(write(tmp_path / "a.tif", noise(*size)), strict=True)
    assert (valid, errors, warnings) == (True, [], [])


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, noise(700, 600)) for name in ("a.tif", "b.tif"))
    assert first.read_bytes() == second.read_bytes()


def test_blocks_of_the_part_file_do_not_change_the_result(tmp_path: Path) -> None:
    first = write(tmp_path / "a.tif", noise(700, 600), block=96)
    second = write(tmp_path / "b.tif", noise(700, 600), block=1)
    assert first.read_bytes() == second.read_bytes()


def test_overviews_of_classes_hold_classes_only(tmp_path: Path) -> None:
    values = np.where(noise(1200, 1200) > 2, 9, 1).astype(np.uint8)
    with rasterio.open(write(tmp_path / "a.tif", values), overview_level=0) as dataset:
        assert set(np.unique(dataset.read(1))) <= {1, 9}


def test_colours_categories_scale_and_descriptions(tmp_path: Path) -> None:
    layout = Layout(
        bands=("value",),
        overviews="MODE",
        tags={"KIND": "x"},
        colors={0: (1, 2, 3)},
        categories=("a & b", "<c>"),
        scale=0.5,
    )
    path = write(tmp_path / "a.tif", noise(5, 5), layout)
    with rasterio.open(path) as dataset:
        assert dataset.colormap(1)[0] == (1, 2, 3, 255)
        assert dataset.colormap(1)[255] == (0, 0, 0, 0)
        assert dataset.scales == (0.5,)
        assert dataset.descriptions == ("value",)
        assert dataset.tags()["KIND"] == "x"
        assert dataset.tags()["A"] == "b"
    # GDAL reads the names from the sidecar: they appear where it translates the file.
    rasterio.shutil.copy(path, tmp_path / "a.vrt", driver="VRT")
    text = (tmp_path / "a.vrt").read_text()
    assert "<Category>a &amp; b</Category>" in text
    assert "<Category>&lt;c&gt;</Category>" in text


def test_rotated_and_south_up_grids_stay_as_they_are(tmp_path: Path) -> None:
    turned = TRANSFORM @ Affine.rotation(30) @ Affine.scale(1, -1)
    with CogWriter(tmp_path / "a.tif", grid(5, 5, transform=turned), PLAIN) as writer:
        writer.write(Window(0, 0, 5, 5), noise(5, 5))
        writer.build({})
        writer.publish()
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.transform.almost_equals(turned)


def test_values_that_fit_are_stored_whatever_their_type(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(5, 5).astype(np.int64))
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), noise(5, 5))


@pytest.mark.parametrize("wrong", [np.full((4, 4), 256), np.full((4, 4), -1), np.full((4, 4), 1.0)])
def test_a_cast_that_loses_values_is_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    with (
        CogWriter(tmp_path / "a.tif", grid(4, 4), PLAIN) as writer,
        pytest.raises(OutputError, match="integers from 0 to 255; found"),
    ):
        writer.write(Window(0, 0, 4, 4), wrong)


def test_a_window_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with CogWriter(tmp_path / "a.tif", grid(4, 4), PLAIN) as writer:
        with pytest.raises(OutputError, match=r"1 x 2 x 2 values .* found an array of 3 x 3"):
            writer.write(Window(0, 0, 2, 2), noise(3, 3))
        with pytest.raises(OutputError, match="has no pixels at"):
            writer.write(Window(3, 3, 2, 2), noise(2, 2))


def test_the_order_of_steps_is_checked(tmp_path: Path) -> None:
    with CogWriter(tmp_path / "a.tif", grid(4, 4), PLAIN) as writer:
        with pytest.raises(OutputError, match="must be built before"):
            writer.publish()
        writer.write(Window(0, 0, 4, 4), noise(4, 4))
        writer.build({})
        with pytest.raises(OutputError, match="already built"):
            writer.build({})
        with pytest.raises(OutputError, match="already built"):
            writer.write(Window(0, 0, 4, 4), noise(4, 4))


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("built", [True, False])
def test_a_failure_leaves_nothing(tmp_path: Path, failure: type[BaseException], built: bool) -> None:
    layout = Layout(bands=("value",), overviews="MODE", tags={}, categories=("a",))

    def fail() -> None:
        with CogWriter(tmp_path / "a.tif", grid(4, 4), layout) as writer:
            writer.write(Window(0, 0, 4, 4), noise(4, 4))
            if built:
                writer.build({})
            raise failure

    with pytest.raises(failure):
        fail()
    assert files(tmp_path) == []


def test_a_failure_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(4, 4))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="stop"), CogWriter(path, grid(), PLAIN, overwrite=True):
        raise ValueError("stop")
    assert path.read_bytes() == before
    assert files(tmp_path) == ["a.tif"]


def test_overwriting_replaces_file_and_sidecar(tmp_path: Path) -> None:
    layout = Layout(bands=("value",), overviews="MODE", tags={}, categories=("a",))
    write(tmp_path / "a.tif", noise(4, 4), layout)
    assert files(tmp_path) == ["a.tif", "a.tif.aux.xml"]
    write(tmp_path / "a.tif", noise(6, 6), overwrite=True)
    assert files(tmp_path) == ["a.tif"]
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.shape == (6, 6)


def test_an_existing_file_is_refused_before_any_work(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(4, 4))
    with pytest.raises(OutputError, match=r"exists already.* --overwrite"):
        CogWriter(path, grid(), PLAIN)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"There is no folder .*absent"):
        CogWriter(tmp_path / "absent" / "a.tif", grid(), PLAIN)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        CogWriter(tmp_path, grid(), PLAIN)


def test_a_read_only_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cog.os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(OutputError, match="read-only"):
        require_writable(tmp_path / "a.tif", overwrite=False)


def test_a_folder_that_cannot_be_written_after_all_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "a.tif.part"
    blocked.mkdir()
    (blocked / "x").touch()
    with pytest.raises(OutputError, match="could not be begun"):
        CogWriter(tmp_path / "a.tif", grid(), PLAIN)


LIMITED = """
import resource, signal, sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_cog import PLAIN, CogWriter, Window, grid
from eoseg.errors import OutputError
from eoseg.geo.settings import gdal_settings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
values = np.random.default_rng(0).integers(0, 255, (1024, 1024), dtype=np.uint8)
try:
    with gdal_settings(), CogWriter({path!r}, grid(1024, 1024), PLAIN) as writer:
        for row in range(0, 1024, 256):
            writer.write(Window(row, 0, 256, 1024), values[row:row + 256])
        writer.build({{}})
        writer.publish()
except OutputError as error:
    print(error)
"""


# Noise of 1 MB: the part file does not fit, or does but the COG with its overviews does not.
@pytest.mark.parametrize("limit", [300_000, 1_100_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    code = LIMITED.format(tests=str(Path(__file__).parent), limit=limit, path=str(tmp_path / "a.tif"))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "a.tif" in result.stdout
    assert "MB left" in result.stdout or "disk may be full" in result.stdout
    assert result.stdout.count("\n") == 1
    assert files(tmp_path) == []


def test_a_file_that_does_not_hold_what_was_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cog, "_read_back", lambda path, tally: tally)
    with pytest.raises(OutputError, match="does not hold what was written"):
        write(tmp_path / "a.tif", noise(4, 4))
    assert files(tmp_path) == []


def test_a_pixel_that_was_never_written_is_noticed(tmp_path: Path) -> None:
    with CogWriter(tmp_path / "a.tif", grid(4, 4), PLAIN) as writer:
        writer.write(Window(0, 0, 4, 3), noise(4, 3))
        with pytest.raises(OutputError, match="does not hold what was written"):
            writer.build({})


def test_the_check_counts_every_pixel_of_a_large_file(tmp_path: Path) -> None:
    values = noise(2500, 2100)
    path = write(tmp_path / "a.tif", values)
    found = cog._read_back(path, ByteTally())
    np.testing.assert_array_equal(found.counts, np.bincount(values.ravel(), minlength=256))
