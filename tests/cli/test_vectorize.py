"""`eoseg vectorize` as it is typed."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
from map_factory import write_map
from raster_factory import write_layer

from eoseg.cli.vectorize import main
from eoseg.errors import ConfigError
from eoseg.geo.mapfile import probability_layer, probability_path

MAP = np.array([[0, 0, 1], [0, 2, 1], [255, 1, 1]], np.uint8)


@pytest.fixture
def map_path(tmp_path: Path) -> Path:
    return write_map(tmp_path / "area.tif", np.kron(MAP, np.ones((4, 4), np.uint8)))


def test_a_geopackage_beside_the_map_is_the_default(
    map_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main("vectorize", [str(map_path), "--no-progress"])
    frame = geopandas.read_file(map_path.with_suffix(".gpkg"), layer="area")
    assert sorted(frame["name"]) == ["town", "water", "wood"]
    told = capsys.readouterr().out
    assert [line.split()[-3:] for line in told.splitlines()[1:4]] == [
        ["1", "0.48", "ha"],
        ["1", "0.64", "ha"],
        ["1", "0.16", "ha"],
    ]
    assert f"Polygons: {map_path.with_suffix('.gpkg')}" in told
    assert "Left out" not in told


def test_the_options_reach_the_polygons(map_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = map_path.parent / "a.parquet"
    base = [str(map_path), "--no-progress", "--overwrite", "--out", str(out)]

    def polygons(*options: str) -> list[str]:
        main("vectorize", [*base, *options])
        return sorted(geopandas.read_parquet(out)["name"])

    assert polygons("--min-area", "2000") == ["water", "wood"]
    assert "Left out: 1 polygon(s) smaller than --min-area, together 0.16 ha" in capsys.readouterr().out
    assert polygons("--classes", "town, water") == ["town", "water"]
    assert "wood" not in capsys.readouterr().out
    before = geopandas.read_parquet(out).get_coordinates()
    polygons("--simplify", "30")
    assert len(geopandas.read_parquet(out).get_coordinates()) != len(before)


def test_the_probabilities_are_named(map_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from eoseg.geo.mapfile import read_map_info

    info = read_map_info(map_path)
    layer = probability_layer(info.classes)
    write_layer(probability_path(map_path), info.grid, layer, np.full((3, 12, 12), 200, np.uint8))
    main("vectorize", [str(map_path), "--no-progress"])
    assert f"Probabilities: {probability_path(map_path)}" in capsys.readouterr().out
    moved = probability_path(map_path).rename(map_path.parent / "p.tif")
    main("vectorize", [str(map_path), "--no-progress", "--overwrite", "--probabilities", str(moved)])
    assert set(geopandas.read_file(map_path.with_suffix(".gpkg"), layer="area")["probability"]) == {0.8}


def test_a_map_of_no_value_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_map(tmp_path / "n.tif", np.full((3, 3), 255, np.uint8))
    main("vectorize", [str(tmp_path / "n.tif"), "--no-progress"])
    assert "Note: the map has no pixel of a class that is wanted" in capsys.readouterr().out
    assert len(geopandas.read_file(tmp_path / "n.gpkg", layer="n")) == 0


@pytest.mark.parametrize("option", ["--min-area", "--simplify"])
@pytest.mark.parametrize("value", ["0", "-3", "nan", "inf", "many"])
def test_a_size_must_be_above_zero(
    map_path: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main("vectorize", [str(map_path), f"{option}={value}"])
    assert ended.value.code == 2
    assert f"expected a number above 0, found '{value}'" in capsys.readouterr().err


def test_another_suffix_is_refused(map_path: Path) -> None:
    with pytest.raises(ConfigError, match="found '.*a.geojson'"):
        main("vectorize", [str(map_path), "--out", str(map_path.parent / "a.geojson")])
