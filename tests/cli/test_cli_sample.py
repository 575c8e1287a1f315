"""`eoseg sample`: what is asked for is what is drawn."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
from conftest import write_scene
from map_factory import write_map
from sample_factory import LAND, land

from eoseg.cli import main
from eoseg.geo.sample_file import read_sample


@pytest.fixture
def map_path(tmp_path: Path) -> str:
    return str(write_map(tmp_path / "map.tif", land()[1], names=LAND))


def sample(map_path: str, out: Path, *options: str) -> dict[str, int]:
    """Points of each stratum."""
    main(["sample", map_path, "--out", str(out), "--no-progress", *options])
    return {entry["name"]: entry["points"] for entry in read_sample(out).design["strata"]}


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["sample", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_the_strata_and_the_next_step_are_printed(
    map_path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = sample(map_path, tmp_path / "s.gpkg")
    assert sum(found.values()) == 391  # (0.4 / 0.02)^2, less what a map of 17,100 px saves
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    mapped = land()[1]
    share = f"{(mapped == 1).sum() / (mapped != 255).sum():.2%}"
    assert ["clearing", f"{(mapped == 1).sum():,}", share, str(found["clearing"])] in lines
    assert "Standard error of overall accuracy that may be expected: 0.02" in printed
    assert f"eoseg accuracy {map_path} {tmp_path / 's.gpkg'}" in printed


def test_options_say_how_many_points_and_where(map_path: str, tmp_path: Path) -> None:
    number = iter(range(20))

    def points(*options: str) -> dict[str, int]:
        return sample(map_path, tmp_path / f"{next(number)}.gpkg", *options)

    assert sum(points("--points", "200").values()) == 200
    assert sum(points("--standard-error", "0.05").values()) < 70
    assert set(points("--points", "90", "--allocation", "equal").values()) == {30}
    assert min(points("--points", "200").values()) < 60
    assert min(points("--points", "200", "--minimum", "60").values()) == 60
    sure = points(
        "--points", "300", "--allocation", "optimal", "--minimum", "5", "--expected", "0.6,forest=0.99"
    )
    unsure = points(
        "--points", "300", "--allocation", "optimal", "--minimum", "5", "--expected", "forest=0.5"
    )
    assert sure["forest"] < unsure["forest"]
    rare = points("--points", "300", "--allocation", "optimal", "--minimum", "5", "--target", "area:water")
    assert rare["water"] > points("--points", "300", "--allocation", "optimal", "--minimum", "5")["water"]


def test_seed_strata_and_what_the_interpreter_sees(map_path: str, tmp_path: Path) -> None:
    regions = np.where(np.arange(150) < 100, 4, 9)[None].repeat(120, axis=0).astype(np.uint8)
    strata = str(write_scene(tmp_path / "regions.tif", regions))
    assert set(sample(map_path, tmp_path / "a.gpkg", "--strata", strata)) == {"4", "9"}
    sample(map_path, tmp_path / "b.gpkg", "--seed", "1", "--points", "60")
    sample(map_path, tmp_path / "c.gpkg", "--seed", "2", "--points", "60", "--show-map-class")
    one, other = (geopandas.read_file(tmp_path / name, layer="points") for name in ("b.gpkg", "c.gpkg"))
    assert not one.geometry.equals(other.geometry)
    assert "map_class" in other.columns
    assert "map_class" not in one.columns


def test_a_map_of_another_program_gets_its_classes_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_scene(tmp_path / "foreign.tif", np.where(land()[1] == 1, 7, 3).astype(np.uint8)))
    told = fails(capsys, path, "--out", str(tmp_path / "s.gpkg"))
    assert "does not name its classes" in told
    assert told.count("\n") == 1
    assert set(sample(path, tmp_path / "s.gpkg", "--classes", "old wood=3,bare=7")) == {"old wood", "bare"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "wood"], "expected NAME=VALUE with commas between, found 'wood'"),
        (["--classes", "wood=x"], "expected NAME=VALUE"),
        (["--expected", "forest=much"], "expected a share or NAME=SHARE, found 'forest=much'"),
        (["--expected", "1.5"], "expected user's accuracy is between 0 and 1; found 1.5"),
        (["--expected", "sea=0.5"], "There is no stratum 'sea'"),
        (["--points", "0"], "expected a whole number of at least 1, found '0'"),
        (["--points", "9", "--standard-error", "0.1"], "not allowed with argument"),
        (["--standard-error", "0"], "A standard error is a share between 0 and 0.5"),
        (["--points", "20", "--minimum", "10"], "20 points are too few for 3 strata"),
        (["--target", "area:sea"], "There is no target 'area:sea'"),
    ],
)
def test_options_that_cannot_be_are_refused(
    map_path: str, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s.gpkg"
    assert message in fails(capsys, map_path, "--out", str(out), "--no-progress", *options)
    assert not out.exists()


def test_an_existing_sample_is_kept_unless_told_otherwise(
    map_path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s.gpkg"
    sample(map_path, out, "--points", "60")
    assert "exists already" in fails(capsys, map_path, "--out", str(out))
    assert sum(sample(map_path, out, "--points", "70", "--overwrite").values()) == 70
