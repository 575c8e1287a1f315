import pytest
from page_checker import check_part

from eoseg.errors import DataError
from eoseg.report.reliability import read_diagrams, reliability_content, told_reliability

HELD = {
    "ece": 0.12,
    "class_ece": {"water": 0.1, "town": None},
    "brier": 0.3,
    "nll": 0.9,
    "bins": {"count": [0, 500, 1500], "right": [0, 300, 1260], "confidence": [0.0, 250.0, 1350.0]},
}


def test_bins_become_points_of_a_diagram() -> None:
    (diagram,) = read_diagrams({"calibration": HELD}, path="figures.json")
    assert diagram.points == ((0.5, 0.6, 500), (0.9, 0.84, 1500))
    assert (diagram.ece, diagram.brier, diagram.nll) == (0.12, 0.3, 0.9)


def test_before_and_after_are_two_diagrams() -> None:
    after = {**HELD, "ece": 0.01}
    diagrams = read_diagrams({"calibration": {"before": HELD, "after": after, "scaling": None}}, path="f")
    assert [diagram.name for diagram in diagrams] == ["before", "after"]
    page = check_part(reliability_content(diagrams, part="test split"))
    assert page.charts == [
        f"Reliability {name} on the test split: share that is right by probability"
        for name in ("before", "after")
    ]
    for word in ("0.120", "0.010", "ECE of water", "undefined"):
        assert word in page.text


def test_nothing_measured_is_nothing_shown() -> None:
    assert read_diagrams({"calibration": None}, path="f") == []
    assert read_diagrams({"calibration": {"scaling": {"method": "vector"}}}, path="f") == []
    assert reliability_content([], part="test split") == ""
    assert told_reliability([]) == ""


def test_the_sentence_says_to_which_side_probabilities_err() -> None:
    high = read_diagrams({"calibration": HELD}, path="f")
    assert told_reliability(high) == "Its probabilities are 0.120 off on average (ECE), mostly too high."
    bins = {**HELD["bins"], "confidence": [0, 200, 900]}  # type: ignore[dict-item]
    low = read_diagrams({"calibration": {**HELD, "bins": bins}}, path="f")
    assert "mostly too low" in told_reliability(low)


@pytest.mark.parametrize(
    "bins",
    [
        {},
        {"count": [1], "right": [1, 2], "confidence": [1]},
        {"count": ["x"], "right": [1], "confidence": [1]},
    ],
)
def test_other_values_are_refused(bins: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"'f' does not say how reliable"):
        read_diagrams({"calibration": {**HELD, "bins": bins}}, path="f")
