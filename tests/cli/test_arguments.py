"""What the commands share that run a checkpoint over scenes."""

import argparse
from pathlib import Path

import pytest

from eoseg.cli.arguments import (
    add_device_options,
    add_reading_options,
    count,
    label_value,
    names,
    progress_bar,
    reading_of,
    require_free,
    require_input,
)
from eoseg.errors import CheckpointError, DataError, OutputError
from eoseg.predict import Progress


def test_numbers_and_names_are_read() -> None:
    assert count("12") == 12
    assert names("B02, B03") == ("B02", "B03")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_a_number_below_one_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"at least 1, found '{text}'"):
        count(text)


@pytest.mark.parametrize("text", ["", "B02,,B03", "B02,"])
def test_an_empty_name_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="commas between them"):
        names(text)


def test_the_options_of_reading_have_their_types() -> None:
    parser = argparse.ArgumentParser()
    add_reading_options(parser)
    found = parser.parse_args(["--bands", "B02,B03", "--nodata", "-9999", "--allow-range-mismatch"])
    assert (found.bands, found.nodata, found.allow_range_mismatch) == (("B02", "B03"), -9999.0, True)
    assert vars(parser.parse_args([])) == {"bands": None, "nodata": None, "allow_range_mismatch": False}


def test_options_of_reading_and_of_the_device_go_to_the_command() -> None:
    parser = argparse.ArgumentParser()
    add_reading_options(parser)
    add_device_options(parser.add_argument_group("work"))
    given = parser.parse_args(["--bands=a,b", "--nodata=0", "--allow-range-mismatch", "--device=cpu"])
    assert reading_of(given) == {"bands": ("a", "b"), "nodata": 0.0, "allow_range_mismatch": True}
    assert (given.device, given.no_progress) == ("cpu", False)
    none = parser.parse_args([])
    assert reading_of(none) == {"bands": None, "nodata": None, "allow_range_mismatch": False}
    assert none.device == "auto"


def test_what_is_missing_is_found_before_any_work(tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.ckpt"
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        require_input(checkpoint, [])
    checkpoint.touch()
    with pytest.raises(DataError, match=r"There is no file '.*absent.tif'"):
        require_input(checkpoint, [str(checkpoint), str(tmp_path / "absent.tif")])
    require_input(checkpoint, [str(checkpoint), "s3://bucket/scene.tif"])


def test_numbers_are_label_values_and_the_rest_is_text() -> None:
    assert [label_value(text) for text in ("12", "-3", "#9B9B9B", "1.5")] == [12, -3, "#9B9B9B", "1.5"]


def test_an_output_needs_a_folder_and_a_free_name(tmp_path: Path) -> None:
    require_free(tmp_path / "a.json", overwrite=False)
    (tmp_path / "a.json").touch()
    require_free(tmp_path / "a.json", overwrite=True)
    with pytest.raises(OutputError, match="exists already"):
        require_free(tmp_path / "a.json", overwrite=False)
    with pytest.raises(OutputError, match="There is no folder"):
        require_free(tmp_path / "none" / "a.json", overwrite=True)


@pytest.mark.parametrize("shown", [True, False])
def test_the_bar_leaves_nothing_on_standard_output(shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("map.tif", shown=shown) as report:
        report(Progress(50, 100))
        report(Progress(100, 100))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")  # neither is a terminal
