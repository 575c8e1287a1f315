"""The verdict of an audit, what it keeps, and what it refuses."""

import json

import pytest

from eoseg.datasets.leakage import Check, LeakageAudit, Outline, SplitMap, count_of, some
from eoseg.errors import ConfigError

CLEAN = Check("ground", "clean", "Nothing.")
NOTE = Check("source", "note", "Same scene.")
UNKNOWN = Check("distance", "unknown", "No labels.")
WARNING = Check("polygons", "warning", "Cut.", {"share": 0.5}, ("feature 1",))
ERROR = Check("duplicates", "error", "Twice.")


@pytest.mark.parametrize(
    ("checks", "level", "verdict"),
    [
        ((), "clean", "clean"),
        ((CLEAN, NOTE), "note", "clean"),
        ((CLEAN, UNKNOWN, NOTE), "unknown", "clean"),
        ((CLEAN, WARNING, UNKNOWN), "warning", "doubtful"),
        ((ERROR, WARNING), "error", "leaking"),
    ],
)
def test_the_worst_check_decides(checks: tuple[Check, ...], level: str, verdict: str):
    found = LeakageAudit(checks)
    assert (found.level, found.verdict) == (level, verdict)


def test_an_error_is_refused_in_one_line_unless_it_is_allowed():
    found = LeakageAudit((CLEAN, ERROR, WARNING))
    with pytest.raises(ConfigError, match=r"leaks.*Twice\. .*--allow-leakage\.$") as caught:
        found.require_clean(allowed=False)
    assert "Cut." not in str(caught.value)
    found.require_clean(allowed=True)
    LeakageAudit((WARNING,)).require_clean(allowed=False)


def test_the_record_says_what_was_found_and_whether_it_was_allowed():
    assert LeakageAudit((CLEAN, ERROR)).record(allowed=True) == {
        "verdict": "leaking",
        "allowed": True,
        "checks": {"ground": "clean", "duplicates": "error"},
        "found": {"duplicates": "Twice."},
    }
    assert (
        LeakageAudit((CLEAN, WARNING)).record(allowed=True)["allowed"] is False
    )  # there was nothing to allow


def test_an_audit_comes_back_from_json():
    ring = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0))
    drawn = SplitMap("m", (Outline("train", ring),), (ring,), (ring, ring))
    for found in (LeakageAudit((CLEAN, WARNING), drawn, 1.5), LeakageAudit((ERROR,))):
        assert LeakageAudit.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_examples_are_few_and_numbers_have_their_noun():
    assert some(list("abcdefgh")) == tuple("abcde")
    assert (count_of(1, "pair"), count_of(2500, "pair")) == ("1 pair", "2,500 pairs")
