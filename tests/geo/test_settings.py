"""GDAL's block cache is bounded while eoseg reads, and as before afterwards."""

import pytest
import rasterio
from rasterio.env import get_gdal_config

from eoseg.geo.settings import BLOCK_CACHE_BYTES, bound_block_cache, gdal_settings


def cache_bytes() -> int:
    with rasterio.Env():
        return get_gdal_config("GDAL_CACHEMAX")


def test_the_block_cache_is_bounded_and_restored() -> None:
    before = cache_bytes()
    with gdal_settings():
        assert get_gdal_config("GDAL_CACHEMAX") == BLOCK_CACHE_BYTES == 64 * 2**20
    assert cache_bytes() == before


def test_another_size_can_be_chosen() -> None:
    with gdal_settings(2**20):
        assert get_gdal_config("GDAL_CACHEMAX") == 2**20


def test_the_cache_is_restored_after_an_error() -> None:
    before = cache_bytes()
    with pytest.raises(KeyError), gdal_settings():
        raise KeyError
    assert cache_bytes() == before


def test_a_bound_for_the_rest_of_the_process_leaves_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_bytes()
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    try:
        bound_block_cache(5 * 2**20)
        assert cache_bytes() == 5 * 2**20
        monkeypatch.setenv("GDAL_CACHEMAX", "7")
        bound_block_cache(6 * 2**20)
        assert cache_bytes() == 5 * 2**20
    finally:
        monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
        bound_block_cache(before)
