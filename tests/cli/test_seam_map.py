"""A picture of seams is refused before any work, or shows the parts that differ most."""

from pathlib import Path

import pytest

from eoseg.cli.seam_map import require_seam_map
from eoseg.errors import ConfigError, OutputError


@pytest.mark.parametrize(
    ("name", "maps", "error", "message"),
    [
        ("x.jpg", 1, ConfigError, "NAME.png; found"),
        ("a/x.png", 1, OutputError, "There is no folder"),
        ("taken.png", 1, OutputError, "exists already"),
        ("x.png", 2, ConfigError, "there are 2 maps"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, name: str, maps: int, error: type[Exception], message: str
) -> None:
    (tmp_path / "taken.png").write_bytes(b"x")
    with pytest.raises(error, match=message):
        require_seam_map(tmp_path / name, maps=maps, overwrite=False)


def test_an_older_picture_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "taken.png").write_bytes(b"x")
    require_seam_map(tmp_path / "taken.png", maps=1, overwrite=True)
    require_seam_map(tmp_path / "new.png", maps=1, overwrite=False)
