"""Numbers from 0 to 1 in one byte."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from eoseg.predict.quantise import quantise


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=5))
def test_quantising_keeps_the_order(values: list[float]) -> None:
    shares = torch.tensor(values).view(-1, 1, 1)
    steps = quantise(shares, np.ones((1, 1), bool))[:, 0, 0]
    assert steps.max() <= 250
    order = np.argsort(values)
    assert (np.diff(steps[order].astype(int)) >= 0).all()
    assert steps[np.argmax(values)] == steps.max()


def test_steps_are_rounded_and_pixels_without_value_are_told() -> None:
    shares = torch.tensor([[[0.0, 0.0021, 0.5, 1.0]], [[1.0, 0.9979, 0.5, 0.0]]])
    steps = quantise(shares, np.array([[True, True, False, True]]))
    assert steps.tolist() == [[[0, 1, 255, 250]], [[250, 249, 255, 0]]]
    assert steps.dtype == np.uint8
