"""Mean and deviation of results that come one by one."""

import torch
from torch import Tensor


class RunningMean:
    """Mean and standard deviation of several results, of which no more than one is kept at a time.

    The deviation is that of these results themselves (divided by their number), added up as Welford 1962
    does (https://doi.org/10.1080/00401706.1962.10490022): equal results have exactly none.
    """

    def __init__(self, *, deviation: bool = False) -> None:
        """Begin.

        Args:
            deviation: Whether to compute it too.
        """
        self._with_deviation = deviation
        self._squares: Tensor | None = None
        self.mean = torch.empty(0)
        """Of the results so far."""
        self.count = 0

    def add(self, result: Tensor) -> None:
        """Take one more result, of the shape of the others."""
        self.count += 1
        if self.count == 1:
            self.mean = result.clone()
            self._squares = torch.zeros_like(result) if self._with_deviation else None
            return
        difference = result - self.mean
        self.mean += difference / self.count
        if self._squares is not None:
            self._squares += difference * (result - self.mean)

    @property
    def deviation(self) -> Tensor | None:
        """Of the results so far; None where it is not computed."""
        return None if self._squares is None else (self._squares / self.count).sqrt()
