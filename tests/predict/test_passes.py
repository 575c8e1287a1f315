"""Of how many results a map is the mean, and how that is said."""

import pytest

from eoseg.predict.passes import Passes


@pytest.mark.parametrize(
    ("passes", "members", "count", "said"),
    [
        (Passes(), 1, 1, ""),
        (Passes.chosen(tta=True), 1, 8, "8 symmetries"),
        (Passes.chosen(networks=3), 3, 3, "3 checkpoints"),
        (Passes.chosen(mc_dropout=5), 5, 5, "5 samples by dropout"),
        (
            Passes.chosen(networks=2, mc_dropout=5, tta=True),
            10,
            80,
            "2 checkpoints x 5 samples by dropout x 8 symmetries",
        ),
    ],
)
def test_passes_are_counted_and_named(passes: Passes, members: int, count: int, said: str) -> None:
    assert (passes.members, passes.count, str(passes)) == (members, count, said)
