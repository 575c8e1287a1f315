"""One clear line for what cannot be mapped, nothing that looks whole, and no work lost on the way."""

import socket
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from conftest import MakeScene
from full_disk import largest_file
from predict_factory import BANDS, Brightness, Convolutions, make_network, make_recipe, smooth_noise
from range_server import serve
from shapely.geometry import box

from eoseg.errors import DataError, OutputError
from eoseg.geo.parts import parts_folder
from eoseg.predict import Prediction, PredictOptions, Progress, match, predict_scene

IMAGE = smooth_noise(150, 170)
OPTIONS = PredictOptions(tile=32, probabilities=True)


def run(scene: Path | str, out: Path, **more: object) -> Prediction:
    settings = {"options": OPTIONS, **more}
    return predict_scene(make_network(Convolutions(3)), make_recipe(), str(scene), out, **settings)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", np.random.default_rng(0).integers(1, 255, IMAGE.shape, np.uint8), names=BANDS)


def test_a_disk_that_gets_full_is_one_line_and_the_work_goes_on_later(scene: Path, tmp_path: Path) -> None:
    """The probabilities take 102 kB; `tests/geo/test_cog.py` has a disk that gets full at the very end."""
    expected = run(scene, tmp_path / "whole.tif").path.read_bytes()
    out = tmp_path / "maps" / "map.tif"
    out.parent.mkdir()
    with largest_file(60_000), pytest.raises(OutputError, match="MB left") as raised:
        run(scene, out)
    assert "\n" not in str(raised.value)
    assert names(out.parent) in ([], ["map.tif.parts"])  # nothing that looks whole
    run(scene, out)
    assert out.read_bytes() == expected


def test_a_server_that_is_not_there_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match="does not answer as it should") as raised:
        run(f"http://127.0.0.1:{port}/s.tif", tmp_path / "map.tif")
    assert "\n" not in str(raised.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("size", "whole"), [(0, 0), (12_000, 12)])
def test_a_part_that_was_cut_is_never_taken_for_finished(
    scene: Path, tmp_path: Path, size: int, whole: int
) -> None:
    """The scene is 170 px wide, so 12 kB are two rows of six tiles of 32 px."""
    expected = run(scene, tmp_path / "whole.tif").path.read_bytes()
    out = tmp_path / "map.tif"
    done: list[Progress] = []

    def stop(progress: Progress) -> None:
        done.append(progress)
        if len(done) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scene, out, progress=stop)
    raw = parts_folder(out) / "share_0_0.raw"
    raw.write_bytes(raw.read_bytes()[:size])
    again = run(scene, out)
    assert again.resumed == whole
    assert out.read_bytes() == expected


@pytest.mark.parametrize(
    ("drawn", "crs", "words"),
    [
        (box(12, 40, 13, 41), "EPSG:4326", r"a.gpkg' \(12, 40, 13, 41\) lies outside '.*s.tif'"),
        (box(0, 0, 5, 5), "EPSG:32632", "lies outside"),
    ],
)
def test_an_area_outside_the_scene_leaves_nothing(
    scene: Path, tmp_path: Path, drawn: object, crs: str, words: str
) -> None:
    area = tmp_path / "a.gpkg"
    geopandas.GeoDataFrame(geometry=[drawn], crs=crs).to_file(area)
    before = names(tmp_path)
    with pytest.raises(DataError, match=words) as raised:
        run(scene, tmp_path / "map.tif", options=PredictOptions(aoi=str(area)))
    assert "\n" not in str(raised.value)
    assert names(tmp_path) == before


def test_an_area_in_another_crs_is_mapped_where_it_lies(scene: Path, tmp_path: Path) -> None:
    """A field of whole pixels, drawn in degrees."""
    field = box(500_000 + 300, 5_400_000 - 900, 500_000 + 1100, 5_400_000 - 200)
    drawn = geopandas.GeoDataFrame(geometry=[field], crs="EPSG:32632").to_crs("EPSG:4326")
    drawn.to_file(tmp_path / "a.gpkg")
    options = PredictOptions(aoi=str(tmp_path / "a.gpkg"))
    found = predict_scene(
        make_network(Brightness()), make_recipe(), str(scene), tmp_path / "map.tif", options=options
    )
    with rasterio.open(found.path) as dataset:
        mapped = dataset.read(1) != 255
    expected = np.zeros((150, 170), bool)
    expected[20:90, 30:110] = True
    np.testing.assert_array_equal(mapped, expected)


def test_credentials_that_expire_on_the_way_cost_no_work(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    values = np.random.default_rng(0).integers(1, 255, (3, 1024, 1024), np.uint8)
    made = make_scene("remote/late.tif", values, names=BANDS, tiled=True, blockxsize=128, blockysize=128)
    monkeypatch.setattr(match, "range_misfit", lambda scene, recipe: None)  # it reads far ahead
    network, recipe, options = make_network(Brightness()), make_recipe(), PredictOptions(tile=256, halo=0)
    out, whole = tmp_path / "map.tif", tmp_path / "whole.tif"
    predict_scene(network, recipe, str(made), whole, options=options)
    with serve(made.parent) as server:

        def expire(progress: Progress) -> None:
            server.status = 403

        arguments = (network, recipe, f"{server.address}/late.tif", out)
        with pytest.raises(DataError, match=r"credentials have expired.* Of 16 tiles \d+ are kept in"):
            predict_scene(*arguments, options=options, progress=expire)
        assert not out.exists()
        server.status = 200
        again = predict_scene(*arguments, options=options)
    assert 0 < again.resumed < again.tiles
    with rasterio.open(out) as found, rasterio.open(whole) as expected:
        np.testing.assert_array_equal(found.read(), expected.read())
