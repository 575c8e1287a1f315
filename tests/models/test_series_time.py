"""Filling gaps, coding days and running pixel by pixel, against known answers."""

import math

import pytest
import torch
from torch import Tensor, nn

from eoseg.models import series_time
from eoseg.models.series_time import PixelSeries, encode_days, fill_gaps, season, usable


def fill(values: list[float], valid: list[int], days: list[float]) -> list[float]:
    filled = fill_gaps(
        torch.tensor(values).view(1, -1, 1), torch.tensor([valid], dtype=torch.bool), torch.tensor([days])
    )
    return [round(value, 4) for value in filled.flatten().tolist()]


@pytest.mark.parametrize(
    ("values", "valid", "days", "expected"),
    [
        ([1.0, 9.0, 3.0], [1, 0, 1], [10.0, 20.0, 30.0], [1.0, 2.0, 3.0]),
        ([1.0, 9.0, 3.0], [1, 0, 1], [10.0, 15.0, 30.0], [1.0, 1.5, 3.0]),  # by days, not by places
        ([9.0, 2.0, 9.0, 9.0, 8.0, 9.0], [0, 1, 0, 0, 1, 0], [1, 2, 3, 4, 5, 6], [2, 2, 4, 6, 8, 8]),
        ([9.0, 9.0], [0, 0], [1.0, 2.0], [0.0, 0.0]),
        ([5.0, float("nan")], [1, 0], [1.0, 2.0], [5.0, 5.0]),
        ([0.0, 9.0, 30.0], [1, 0, 1], [355.25, 0.0, 20.0], [0.0, 10.0, 30.0]),  # over the turn of the year
        ([1.0, 9.0, 3.0], [1, 0, 1], [10.0, 10.0, 10.0], [1.0, 1.0, 3.0]),  # one day: no division by zero
    ],
)
def test_gaps_are_interpolated_in_time(values, valid, days, expected):
    assert fill([float(value) for value in values], valid, [float(day) for day in days]) == expected


def test_each_band_and_each_pixel_is_filled_by_itself():
    values = torch.tensor([[[1.0, 10.0], [0.0, 0.0], [3.0, 30.0]], [[0.0, 0.0], [7.0, 8.0], [9.0, 9.0]]])
    valid = torch.tensor([[True, False, True], [False, True, True]])
    days = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    filled = fill_gaps(values, valid, days)
    assert filled.tolist() == [[[1, 10], [2, 20], [3, 30]], [[7, 8], [7, 8], [9, 9]]]


def test_dates_are_usable_where_valid_or_where_none_is():
    valid = torch.tensor([[True, False], [False, False]])
    assert usable(valid).tolist() == [[True, False], [True, True]]
    assert usable(valid, dim=0).tolist() == [[True, True], [False, True]]


def test_the_season_returns_after_a_year():
    torch.testing.assert_close(season(torch.tensor([10.0])), season(torch.tensor([10.0 + 365.25])))
    assert season(torch.tensor([0.0])).tolist() == [[0.0, 1.0]]


def test_days_are_coded_from_short_to_long_waves():
    code = encode_days(torch.tensor([5.0]), 4)  # (1, 4)
    long = 5.0 * 1000**-0.5
    expected = [math.sin(5.0), math.sin(long), math.cos(5.0), math.cos(long)]
    assert code[0].tolist() == pytest.approx(expected, abs=1e-5)


class Spy(nn.Module):
    """Adds up a pixel's values and its first day, and notes how many pixels come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, values: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        self.sizes.append(len(values))
        return torch.stack([values.sum(dim=(1, 2)), days[:, 0], valid.sum(dim=1).float()], dim=1)


def test_pixels_run_in_chunks_when_predicting_and_at_once_in_training(monkeypatch):
    monkeypatch.setattr(series_time, "_CHUNK", 30)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 4, 5, 6, generator=generator)
    valid = torch.rand(2, 3, 5, 6, generator=generator) > 0.5
    days = torch.tensor([[1.0, 2.0, 3.0], [7.0, 8.0, 9.0]])
    spy = Spy()
    body = PixelSeries(spy)
    whole = body.train()(image, valid, days)
    assert spy.sizes == [60]
    assert torch.equal(body.eval()(image, valid, days), whole)
    assert spy.sizes[1:] == [10] * 6
    torch.testing.assert_close(whole[:, 0], (image * valid.unsqueeze(2)).sum(dim=(1, 2)))
    assert (whole[0, 1] == 1).all()
    assert (whole[1, 1] == 7).all()
    assert torch.equal(whole[:, 2], valid.sum(dim=1).float())
