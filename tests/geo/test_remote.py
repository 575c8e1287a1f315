"""Scenes on other machines: read in parts, with the user's credentials, and refused in one line."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import MakeScene
from range_server import RangeServer, serve
from rasterio.env import get_gdal_config

from eoseg.errors import DataError
from eoseg.geo.remote import (
    address,
    explain,
    gdal_path,
    is_remote,
    may_be_missing,
    reads_remotely,
    scene_name,
    shown,
)
from eoseg.geo.scene import Scene
from eoseg.geo.settings import REMOTE_OPTIONS, gdal_settings, remote_settings
from eoseg.geo.window import Window

VALUES = np.random.default_rng(0).integers(1, 255, (3, 1024, 1024)).astype(np.uint8)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RangeServer]:
    with serve(tmp_path) as running:
        yield running


def write_cog(make_scene: MakeScene) -> Path:
    return make_scene("cog.tif", VALUES, names=["B1", "B2", "B3"], driver="COG", blocksize=128)


def test_a_window_of_a_remote_cog_is_read_in_parts(make_scene: MakeScene, server: RangeServer) -> None:
    path = write_cog(make_scene)
    window = Window(300, 500, 100, 100)
    with gdal_settings(), Scene(f"{server.address}/cog.tif", bands=["B2"]) as scene:
        image, valid = scene.read(window)
    np.testing.assert_array_equal(image[0], VALUES[1, 300:400, 500:600])
    assert valid.all()
    assert server.sent < path.stat().st_size / 5
    assert len(server.asked) <= 6
    assert set(server.asked) == {"/cog.tif"}  # neither sidecar files nor listings are asked for


def test_a_remote_scene_is_read_in_another_thread(make_scene: MakeScene, server: RangeServer) -> None:
    write_cog(make_scene)
    cache = get_gdal_config("GDAL_CACHEMAX")
    with gdal_settings(), Scene(f"{server.address}/cog.tif") as scene, ThreadPoolExecutor(1) as pool:
        image, _ = pool.submit(scene.read, Window(0, 0, 8, 8)).result()
    np.testing.assert_array_equal(image, VALUES[:, :8, :8])
    assert get_gdal_config("GDAL_CACHEMAX") == cache
    assert get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN") is None


def test_a_vrt_over_remote_files_is_remote(
    make_scene: MakeScene, server: RangeServer, tmp_path: Path
) -> None:
    write_cog(make_scene)
    vrt = tmp_path / "v.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="1024" rasterYSize="1024"><VRTRasterBand dataType="Byte"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{gdal_path(server.address + "/cog.tif")}</SourceFilename>'
        "<SourceBand>3</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    assert reads_remotely(str(vrt))
    with Scene(vrt) as scene:
        np.testing.assert_array_equal(scene.read(Window(0, 0, 4, 4))[0][0], VALUES[2, :4, :4])
    assert set(server.asked) == {"/cog.tif"}


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "7")
    with rasterio.Env(GDAL_HTTP_RETRY_DELAY=9), remote_settings(needed=True):
        assert get_gdal_config("GDAL_HTTP_MAX_RETRY") == 7
        assert get_gdal_config("GDAL_HTTP_RETRY_DELAY") == 9
        assert get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN") == "EMPTY_DIR"
    assert get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN") is None


def test_nothing_is_set_for_local_rasters_and_signing_is_never_turned_off() -> None:
    with remote_settings(needed=False):
        assert get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN") is None
    assert not [name for name in REMOTE_OPTIONS if "SIGN" in name]


def test_sidecar_files_of_local_rasters_are_found(make_scene: MakeScene) -> None:
    path = make_scene("a.tif", VALUES[:, :8, :8])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.zeros((8, 8), bool))
    assert path.with_suffix(".tif.msk").exists()
    with gdal_settings(), Scene(path) as scene:
        assert not scene.read(scene.grid.window)[1].any()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            404,
            r"There is no file 'http://127.0.0.1:\d+/a.tif' \(HTTP response code: 404\). Check the address",
        ),
        (403, r"may not be read \(HTTP response code: 403\): credentials .* signature at the end"),
        (401, r"may not be read \(HTTP response code: 401\).*GDAL_HTTP_USERPWD"),
        (500, r"does not answer as it should \(HTTP response code: 500\)"),
    ],
)
def test_a_server_that_refuses_is_told_in_one_line(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    server.status = status
    with pytest.raises(DataError, match=words) as raised:
        Scene(f"{server.address}/a.tif?signature=secret")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=r"does not answer as it should \(CURL error: .*Check the address"):
        Scene(f"http://127.0.0.1:{port}/a.tif")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        with pytest.raises(DataError, match=r"does not answer .*(too slow|timed out)"):
            Scene(f"http://127.0.0.1:{silent.getsockname()[1]}/a.tif")


def test_a_connection_lost_on_the_way_is_no_truncated_file(
    make_scene: MakeScene, server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cog(make_scene)
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with Scene(f"{server.address}/cog.tif") as scene:
        server.status = 403
        with pytest.raises(DataError, match="cannot be read at rows 600 to 699: .*credentials have expired"):
            scene.read(Window(600, 0, 100, 100))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without anyone's credentials, for S3 on this machine; set AWS_S3_ENDPOINT."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_NO_SIGN_REQUEST"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "GDAL_HTTP_MAX_RETRY": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of moto and boto3 themselves
def test_scenes_in_a_bucket_are_read_with_credentials(s3: pytest.MonkeyPatch, make_scene: MakeScene) -> None:
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    bucket = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    bucket.start()
    host, port = bucket.get_host_and_port()
    try:
        s3.setenv("AWS_S3_ENDPOINT", f"{host}:{port}")
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
        client.create_bucket(Bucket="eoseg-scenes")
        client.upload_file(str(write_cog(make_scene)), "eoseg-scenes", "cog.tif")
        with gdal_settings(), Scene("s3://eoseg-scenes/cog.tif") as scene:
            image, _ = scene.read(Window(300, 500, 100, 100))
        np.testing.assert_array_equal(image, VALUES[:, 300:400, 500:600])
        with pytest.raises(DataError, match=r"There is no file 's3://eoseg-scenes/b.tif' \(ObjectNotFound"):
            Scene("s3://eoseg-scenes/b.tif")
        with pytest.raises(DataError, match=r"There is no file 's3://eoseg-none/b.tif' \(BucketNotFound"):
            Scene("s3://eoseg-none/b.tif")
    finally:
        bucket.stop()


def test_missing_credentials_are_told_with_the_variables(s3: pytest.MonkeyPatch, server: RangeServer) -> None:
    s3.setenv("AWS_S3_ENDPOINT", server.address.removeprefix("http://"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        s3.delenv(name)
    words = r"'s3://eoseg-bare/a.tif' may not be read \(InvalidCredentials.* AWS_ACCESS_KEY_ID, .*AWS_PROFILE"
    with pytest.raises(DataError, match=words):
        Scene("s3://eoseg-bare/a.tif")
    assert server.asked == []


def test_expired_credentials_are_told_with_the_variables(s3: pytest.MonkeyPatch, server: RangeServer) -> None:
    s3.setenv("AWS_S3_ENDPOINT", server.address.removeprefix("http://"))
    server.status = 403
    server.body = (
        b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    )
    words = (
        r"'s3://eoseg-late/a.tif' may not be read .*: credentials are missing, wrong or expired.*AWS_SESSION"
    )
    with pytest.raises(DataError, match=words):
        Scene("s3://eoseg-late/a.tif")


@pytest.mark.parametrize(
    ("path", "remote", "missing", "inside"),
    [
        ("https://a.org/b.tif?sig=1", True, True, "/vsicurl/https://a.org/b.tif?sig=1"),
        ("s3://bucket/b.tif", True, True, "/vsis3/bucket/b.tif"),
        ("gs://bucket/b.tif", True, True, "/vsigs/bucket/b.tif"),
        (
            "/vsizip//vsicurl/http://a.org/b.zip/b.tif",
            True,
            True,
            "/vsizip//vsicurl/http://a.org/b.zip/b.tif",
        ),
        ("/vsizip/b.zip/b.tif", False, True, "/vsizip/b.zip/b.tif"),
        ("/data/s3/b.tif", False, False, "/data/s3/b.tif"),
    ],
)
def test_addresses_are_told_from_files(path: str, remote: bool, missing: bool, inside: str) -> None:
    assert (is_remote(path), may_be_missing(path), gdal_path(path)) == (remote, missing, inside)


def test_what_gives_access_is_never_shown() -> None:
    assert shown("https://me:word@a.org/x/b.tif?sig=secret&se=2") == "https://a.org/x/b.tif"
    assert shown("what?.tif") == "what?.tif"
    assert scene_name("https://a.org/x/S2_2021-05-27.tif?sig=a.b/c") == "S2_2021-05-27"
    assert scene_name("folder/b.c.tif") == "b.c"


def test_other_messages_of_gdal_are_not_explained() -> None:
    assert explain("s3://b/a.tif", "not recognized as being in a supported file format.") is None
    assert "AZURE_STORAGE_ACCOUNT" in (explain("az://b/a.tif", "AccessDenied: no") or "")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/vsicurl/https://me:secret@example.com/a.tif?sig=1", "https://example.com/a.tif"),
        ("https://example.com/a.tif?sig=1", "https://example.com/a.tif"),
        ("/vsis3/bucket/a.tif", "s3://bucket/a.tif"),
        ("folder/a.tif", "folder/a.tif"),
    ],
)
def test_an_address_for_other_programs_gives_no_access(path: str, expected: str) -> None:
    assert address(path) == expected
