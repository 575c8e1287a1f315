from pathlib import Path

import pytest

from eoseg.datasets.data_hash import hash_data, hash_names


def files(folder: Path, text: str = "pixels") -> list[str]:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "images" / "a.tif").write_text(text * 40_000)
    (folder / "labels" / "a.tif").write_text("classes")
    return [str(folder / name / "a.tif") for name in ("labels", "images")]


WHOLE = {"whole files": {}, "sizes and": {"whole_bytes": 10}, "names": {"whole_bytes": 10, "ends_files": 1}}


@pytest.mark.parametrize("of", WHOLE)
def test_the_folder_and_the_order_do_not_matter_but_a_size_does(tmp_path: Path, of: str) -> None:
    first = files(tmp_path / "one")
    found = hash_data(first, **WHOLE[of])
    assert found == hash_data(files(tmp_path / "deep" / "two")[::-1], **WHOLE[of])
    assert str(found["of"]).startswith(of)
    assert (found["files"], found["bytes"]) == (2, 240_007)
    Path(first[0]).write_text("more classes")
    assert hash_data(first, **WHOLE[of])["sha256"] != found["sha256"]


@pytest.mark.parametrize(
    ("of", "place", "noticed"),
    [
        ("whole files", 100_000, True),
        ("sizes and", 3, True),
        ("sizes and", -3, True),
        ("sizes and", 100_000, False),
        ("names", 3, False),
    ],
)
def test_a_changed_byte_is_noticed_where_it_is_read(
    tmp_path: Path, of: str, place: int, noticed: bool
) -> None:
    paths = files(tmp_path)
    before = hash_data(paths, **WHOLE[of])["sha256"]
    held = bytearray(Path(paths[1]).read_bytes())
    held[place] ^= 1
    Path(paths[1]).write_bytes(held)
    assert (hash_data(paths, **WHOLE[of])["sha256"] != before) == noticed


def test_a_renamed_file_and_a_remote_one_count_by_name(tmp_path: Path) -> None:
    paths = files(tmp_path)
    before = hash_data(paths)["sha256"]
    Path(paths[1]).rename(tmp_path / "images" / "b.tif")
    assert hash_data([paths[0], str(tmp_path / "images" / "b.tif")])["sha256"] != before
    remote = [hash_data([f"https://example.com/{name}.tif"])["sha256"] for name in "ab"]
    assert remote[0] != remote[1]
    assert hash_data([])["files"] == 0


def test_names_are_hashed_in_any_order() -> None:
    assert hash_names(["a", "b"]) == hash_names(["b", "a"]) != hash_names(["ab"])
