"""Options are checked once, when they are made."""

from pathlib import Path

import pytest

from eoseg.errors import ConfigError
from eoseg.predict import Disagreement, Prediction, PredictOptions


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tile": 0}, "tile is 'auto' or 1 or more pixels; found 0"),
        ({"halo": -32}, "halo is 'auto' or 0 or more pixels; found -32"),
        ({"halo": "big"}, "found big"),
        ({"batch_size": 0}, "batch size is 1 or more; found 0"),
        ({"max_memory_mb": 10}, "at least 64 MB of memory; found 10"),
        ({"blend": "on"}, "'auto' or 'off'; found 'on'"),
        ({"check_seams": 0}, "1 or more tiles; found 0"),
        ({"bands": ("B02", "")}, "found 'B02,'"),
        ({"bands": ()}, "Name each band"),
        ({"pixel_size": 0}, "'auto', 'native' or metres above 0; found 0"),
        ({"pixel_size": float("nan")}, "metres above 0; found nan"),
        ({"pixel_size": float("inf")}, "metres above 0; found inf"),
        ({"pixel_size": "own"}, "'auto', 'native' or metres above 0; found own"),
        ({"mc_dropout": 1}, "Samples by dropout are 2 or more, to be averaged; found 1"),
        ({"mc_dropout": 5, "compile": True}, "--compile makes of a network holds no dropout.*--mc-dropout"),
        ({"mc_dropout": 5, "backend": "openvino"}, "--backend openvino makes .*Leave one of them out"),
    ],
)
def test_an_impossible_option_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PredictOptions(**values)


def test_the_share_of_disagreeing_pixels() -> None:
    assert Disagreement(pixels=200, differing=5).share == 0.025


def test_speed_of_a_prediction() -> None:
    prediction = Prediction(
        path=Path("map.tif"),
        probabilities=None,
        pixels=4_000_000,
        valid_pixels=6,
        class_pixels=(1, 2, 3),
        tiles=1,
        skipped=0,
        tile=64,
        halo=0,
        exact=True,
        reason="",
        disagreement=None,
        device="cpu",
        seconds=2.0,
        notices=(),
    )
    assert prediction.megapixels_per_second == 2


def test_an_unknown_nodata_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="'any' or 'all'; found 'some'"):
        PredictOptions(nodata_policy="some")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory", "cache"), [(None, 256), (64, 8), (512, 64), (1024, 64), (2048, 128), (8192, 256)]
)
def test_the_cache_of_blocks_has_a_share_of_the_memory(memory: int | None, cache: int) -> None:
    options = PredictOptions(max_memory_mb=memory)
    assert options.cache_bytes == cache * 2**20
    assert options.activation_bytes == ((memory or 2048) - (cache if memory else 0)) * 2**20
