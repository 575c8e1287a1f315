import pytest
from page_checker import check_part

from eoseg.errors import DataError
from eoseg.report.selective import read_surest, surest_content

HELD = {
    "aurc": 0.05,
    "count": 2000,
    "curve": {"coverage": [0.5, 1.0], "accuracy": [0.96, 0.78], "confidence": [0.8, 0.4]},
    "mask_for_accuracy": {
        "0.95": {"confidence": 0.812, "coverage": 0.52, "accuracy": 0.951},
        "0.99": None,
    },
}


def test_the_curve_and_where_to_mask_are_shown() -> None:
    found = read_surest({"selective": HELD}, path="f")
    assert found is not None
    assert found.points == ((0.5, 0.96), (1.0, 0.78))
    page = check_part(surest_content(found, part="test split"))
    assert page.charts == ["Accuracy of the surest answers on the test split, by their share"]
    for words in ("AURC 0.0500", "0.95 0.812 52 %", "0.99 none none"):
        assert words in " ".join(page.text.split())


def test_nothing_measured_is_nothing_shown() -> None:
    assert read_surest({"figures": {}}, path="f") is None
    assert surest_content(None, part="test split") == ""


@pytest.mark.parametrize(
    "change",
    [
        {"curve": {"coverage": [0.5], "accuracy": [0.9, 0.8]}},
        {"aurc": None},
        {"mask_for_accuracy": {"0.95": {"coverage": 0.5}}},
        {"mask_for_accuracy": []},
    ],
)
def test_other_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"'f' does not say how accurate the surest"):
        read_surest({"selective": {**HELD, **change}}, path="f")
