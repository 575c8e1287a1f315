"""A COG is complete or not there at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from full_disk import largest_file
from parts_factory import copy_and_spoil
from raster_factory import write_layer
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from eoseg.errors import OutputError
from eoseg.geo import cog
from eoseg.geo.cog import finish_files, require_writable, require_writable_together
from eoseg.geo.grid import Grid
from eoseg.geo.layer import Counts, Layer
from eoseg.geo.parts import Parts, parts_folder
from eoseg.geo.settings import gdal_settings
from eoseg.geo.share import Share
from eoseg.geo.tiles import plan_tiles

PLAIN = Layer(bands=("value",), overviews="MODE")
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_400_000)


def grid(height: int = 20, width: int = 30, *, transform: Affine = TRANSFORM) -> Grid:
    return Grid(CRS.from_epsg(32632), transform, height, width)


def write(path: Path, values: np.ndarray, layer: Layer = PLAIN, **options: object) -> Path:
    write_layer(path, grid(*values.shape[-2:]), layer, values, **options)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (height, width), dtype=np.uint8)


def begin(path: Path, values: np.ndarray, layer: Layer = PLAIN) -> Parts:
    """Parts that hold all values, of one tile."""
    height, width = values.shape[-2:]
    cores = plan_tiles(height, width, core=max(height, width), halo=0, stride=1)
    parts = Parts(path, grid(height, width), [layer], cores, fingerprint={})
    with Share(parts, 0) as share:
        share.write(0, [values])
        share.finish()
    return parts


def test_what_is_written_in_pieces_is_read_as_a_whole(tmp_path: Path) -> None:
    values = noise(1300, 1100)
    finished = write_layer(tmp_path / "a.tif", grid(1300, 1100), PLAIN, values, tags={"A": "b"})
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)
        assert dataset.nodata == 255
        assert dataset.crs.to_epsg() == 32632
        assert dataset.transform == TRANSFORM
        assert dataset.overviews(1) == [2, 4]
        assert dataset.tags()["A"] == "b"
    counts = finished.counts[0]
    assert counts.values is not None
    np.testing.assert_array_equal(counts.values[0], np.bincount(values.ravel(), minlength=256))
    assert counts.known == values.size
    assert files(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("size", [(10, 10), (1300, 700), (1, 3000)])
def test_the_file_is_a_valid_cog(tmp_path: Path, size: tuple[int, int]) -> None:
    assert cog_validate(write(tmp_path / "a.tif", noise(*size)), strict=True) == (True, [], [])


# The validator tells levels of overviews by width alone, so it does not serve for a width of 1.
@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (1, 1)])
def test_a_line_of_pixels_is_a_raster_too(tmp_path: Path, size: tuple[int, int]) -> None:
    values = noise(*size)
    with rasterio.open(write(tmp_path / "a.tif", values)) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)


@pytest.mark.parametrize("how", [{"core": 96}, {"core": 200, "shares": 3}, {"core": 64, "shares": 7}])
def test_neither_tiles_nor_shares_change_the_bytes(tmp_path: Path, how: dict[str, int]) -> None:
    first = write(tmp_path / "a.tif", noise(700, 600))
    second = write(tmp_path / "b.tif", noise(700, 600), **how)
    assert first.read_bytes() == second.read_bytes()


def test_texts_lie_beside_the_files_and_know_what_they_hold(tmp_path: Path) -> None:
    values = noise(20, 30)
    parts = begin(tmp_path / "a.tif", values)
    note = tmp_path / "a.json"

    def told(counts: Sequence[Counts]) -> dict[Path, str]:
        assert not (tmp_path / "a.tif").exists()  # the map is the last to come
        return {note: f"é {counts[0].known}"}

    finish_files(parts, [tmp_path / "a.tif"], lambda _: {}, documents=told)
    assert note.read_text(encoding="utf-8") == "é 600"
    assert files(tmp_path) == ["a.json", "a.tif"]


def test_a_text_that_cannot_be_put_in_place_leaves_the_parts(tmp_path: Path) -> None:
    parts = begin(tmp_path / "a.tif", noise(20, 30))
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OutputError, match="a.json' could not be put in place"):
        finish_files(
            parts, [tmp_path / "a.tif"], lambda _: {}, documents=lambda counts: {tmp_path / "a.json": "x"}
        )
    assert files(tmp_path) == ["a.json", "a.tif.parts"]
    assert finish_files(parts, [tmp_path / "a.tif"], lambda _: {}) is not None


def test_files_beside_a_map_may_be_there_where_its_parts_are(tmp_path: Path) -> None:
    both = [tmp_path / "a.tif", tmp_path / "a.json"]
    both[1].write_text("x")
    with pytest.raises(OutputError, match="a.json' exists already"):
        require_writable_together(both, overwrite=False)
    require_writable_together(both, overwrite=True)
    parts = begin(both[0], noise(20, 30))
    require_writable_together(both, overwrite=False)
    both[0].write_text("x")
    with pytest.raises(OutputError, match="a.tif' exists already"):
        require_writable_together(both, overwrite=False)
    parts.remove()


@pytest.mark.parametrize(("side", "version"), [(3000, 42), (50_000, 43)])
def test_a_file_that_may_exceed_4_gb_is_a_bigtiff(tmp_path: Path, side: int, version: int) -> None:
    """Nothing is written but the header: GDAL decides by the size before compression, 2.5 GB here."""
    options = cog.creation_options(PLAIN, 1)
    decisive = {"compress": options["COMPRESS"], "bigtiff": options["BIGTIFF"], "sparse_ok": "yes"}
    path = tmp_path / "a.tif"
    size = {"height": side, "width": side, "count": 1, "dtype": "uint8"}
    rasterio.open(path, "w", **size, crs="EPSG:32632", transform=TRANSFORM, **decisive).close()
    header = path.read_bytes()[:4]
    assert header == b"II" + version.to_bytes(2, "little")


def test_several_bands_lie_in_one_file(tmp_path: Path) -> None:
    layer = Layer(bands=("a", "b", "c"), overviews="AVERAGE")
    values = np.stack([noise(150, 210) + number for number in range(3)]).astype(np.uint8)
    path = write(tmp_path / "a.tif", values, layer, core=64, shares=4)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.descriptions == ("a", "b", "c")


def test_overviews_of_classes_hold_classes_only(tmp_path: Path) -> None:
    values = np.where(noise(1200, 1200) > 2, 9, 1).astype(np.uint8)
    with rasterio.open(write(tmp_path / "a.tif", values), overview_level=0) as dataset:
        assert set(np.unique(dataset.read(1))) <= {1, 9}


def test_colours_categories_scale_and_descriptions(tmp_path: Path) -> None:
    layer = Layer(
        bands=("value",),
        overviews="MODE",
        tags={"KIND": "x"},
        colors=((1, 2, 3),),
        categories=("a & b", "<c>"),
        scale=0.5,
        unit="m",
    )
    path = write(tmp_path / "a.tif", noise(5, 5), layer)
    with rasterio.open(path) as dataset:
        assert dataset.colormap(1)[0] == (1, 2, 3, 255)
        assert dataset.colormap(1)[255] == (0, 0, 0, 0)
        assert (dataset.scales, dataset.units, dataset.descriptions) == ((0.5,), ("m",), ("value",))
        assert dataset.tags()["KIND"] == "x"
    # GDAL reads the names from the sidecar: they appear where it translates the file.
    rasterio.shutil.copy(path, tmp_path / "a.vrt", driver="VRT")
    text = (tmp_path / "a.vrt").read_text()
    assert "<Category>a &amp; b</Category>" in text
    assert "<Category>&lt;c&gt;</Category>" in text


def test_rotated_and_south_up_grids_stay_as_they_are(tmp_path: Path) -> None:
    turned = TRANSFORM @ Affine.rotation(30) @ Affine.scale(1, -1)
    write_layer(tmp_path / "a.tif", grid(5, 5, transform=turned), PLAIN, noise(5, 5))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.transform.almost_equals(turned)


def test_the_older_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(4, 4))
    before = path.read_bytes()
    parts = begin(path, noise(6, 6))
    assert path.read_bytes() == before
    assert finish_files(parts, [path], lambda _: {}) is not None
    with rasterio.open(path) as dataset:
        assert dataset.shape == (6, 6)
    assert files(tmp_path) == ["a.tif"]


def test_a_sidecar_of_a_file_that_is_replaced_goes(tmp_path: Path) -> None:
    named = Layer(bands=("value",), overviews="MODE", categories=("a",))
    write(tmp_path / "a.tif", noise(4, 4), named)
    assert files(tmp_path) == ["a.tif", "a.tif.aux.xml"]
    write(tmp_path / "a.tif", noise(6, 6))
    assert files(tmp_path) == ["a.tif"]


def test_an_existing_file_is_refused_before_any_work(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(4, 4))
    with pytest.raises(OutputError, match=r"exists already.* --overwrite"):
        require_writable(path, overwrite=False)
    require_writable(path, overwrite=True)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"There is no folder .*absent"):
        require_writable(tmp_path / "absent" / "a.tif", overwrite=False)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        require_writable(tmp_path, overwrite=True)


def test_a_read_only_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cog.os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(OutputError, match="read-only"):
        require_writable(tmp_path / "a.tif", overwrite=False)


# Noise of 1 MB: the parts do not fit, or do but the COG with its overviews does not.
@pytest.mark.parametrize("limit", [300_000, 1_100_000])
def test_a_full_disk_is_one_line_and_the_work_goes_on_later(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "a.tif"
    values = np.random.default_rng(0).integers(0, 255, (1024, 1024), dtype=np.uint8)
    with largest_file(limit), gdal_settings(), pytest.raises(OutputError) as raised:
        write(path, values, core=256)
    said = str(raised.value)
    assert "a.tif" in said
    assert "MB left" in said or "disk may be full" in said
    assert "\n" not in said
    assert files(tmp_path) == ["a.tif.parts"]  # nothing that looks whole
    with rasterio.open(write(path, values, core=256)) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)


def test_a_file_that_does_not_hold_what_was_computed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = begin(tmp_path / "a.tif", noise(4, 4))
    monkeypatch.setattr(cog.rasterio.shutil, "copy", copy_and_spoil)
    with pytest.raises(OutputError, match="does not hold what was computed"):
        finish_files(parts, [tmp_path / "a.tif"], lambda _: {})
    assert files(tmp_path) == ["a.tif.parts"]


def test_tiles_that_were_damaged_after_all_were_finished_are_computed_anew(tmp_path: Path) -> None:
    values = noise(64, 64)
    parts = begin(tmp_path / "a.tif", values)
    with parts.raw_path(0, 0).open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    with pytest.raises(OutputError, match=r"1 tile\(s\) of .* were damaged.* same command again"):
        finish_files(parts, [tmp_path / "a.tif"], lambda _: {})
    assert not parts.is_complete()
    with rasterio.open(write(tmp_path / "a.tif", values, core=64)) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)


def test_only_one_process_makes_the_files(tmp_path: Path) -> None:
    parts = begin(tmp_path / "a.tif", noise(4, 4))
    with parts.only_here() as mine:
        assert mine
        assert finish_files(parts, [tmp_path / "a.tif"], lambda _: {}) is None
    assert finish_files(parts, [tmp_path / "a.tif"], lambda _: {}) is not None
    assert finish_files(parts, [tmp_path / "a.tif"], lambda _: {}) is None  # made already
    assert not parts_folder(tmp_path / "a.tif").exists()
