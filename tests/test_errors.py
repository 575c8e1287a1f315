import pytest

from eoseg import errors
from eoseg.errors import EosegError, unknown_name

DEFINED = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == "eoseg.errors"
]


def test_every_error_is_an_eoseg_error() -> None:
    assert len(DEFINED) == 9
    assert all(issubclass(kind, EosegError) for kind in DEFINED)


def test_the_tree_at_the_top_of_the_file_is_true() -> None:
    drawn = [line.strip(" │├└─").split()[0] for line in errors.__doc__.splitlines() if "Error" in line]
    assert drawn == [kind.__name__ for kind in DEFINED]
    assert issubclass(errors.GridError, errors.DataError)
    assert issubclass(errors.BandError, errors.DataError)
    assert issubclass(errors.BusyError, errors.OutputError)
    assert not issubclass(errors.CheckpointError, errors.DataError)


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    message = unknown_name("model", "unett", ["fcn", "unet", "segformer"])
    assert message == "There is no model 'unett'. Did you mean 'unet'? Known: fcn, segformer, unet."


def test_a_name_near_to_none_gets_no_guess() -> None:
    message = unknown_name("band", "xyzzy", ["B02", "B03"])
    assert message == "There is no band 'xyzzy'. Known: B02, B03."


@pytest.mark.parametrize("name", ["", "a\nb"])
def test_a_strange_name_does_not_break_the_message(name: str) -> None:
    assert unknown_name("loss", name, ["dice"]).startswith("There is no loss '")
