"""What bodies that learn in one go share: a state of any size, and no answer before they learned."""

import pytest
import torch
from torch import Tensor

from eoseg.errors import CheckpointError
from eoseg.models import FittedBody


class Median(FittedBody):
    """Remembers all that it saw, and tells where a value is above the middle one."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(0))

    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:
        self.seen = torch.cat([self.seen, image[:, 0][valid]])

    def fit(self, class_weights: list[float] | None = None) -> None:
        self.is_fitted.fill_(True)

    def forward(self, image: Tensor) -> Tensor:
        self.require_fitted()
        return torch.cat([torch.zeros_like(image[:, :1]), image[:, :1] - self.seen.median()], dim=1)


def fitted(count: int) -> Median:
    body = Median()
    body.collect(torch.arange(float(count)).view(1, 1, 1, -1), torch.ones(1, 1, count) > 0, torch.zeros(0))
    body.fit()
    return body


def test_it_answers_once_it_has_learned():
    image = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    with pytest.raises(CheckpointError, match="never fitted. Train it, or load a checkpoint"):
        Median()(image)
    assert fitted(5)(image)[0, 1, 0].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("before", [0, 2, 9])
def test_a_state_is_taken_whatever_size_the_one_before_had(before):
    body = fitted(before) if before else Median()
    body.load_state_dict(fitted(5).state_dict())
    assert body.seen.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert body.is_fitted


def test_it_is_loaded_as_a_part_of_a_network_too():
    whole = torch.nn.Sequential(torch.nn.Identity(), Median())
    whole.load_state_dict(torch.nn.Sequential(torch.nn.Identity(), fitted(7)).state_dict())
    assert len(whole[1].seen) == 7


def test_a_state_that_lacks_something_is_refused():
    state = fitted(3).state_dict()
    del state["seen"]
    with pytest.raises(RuntimeError, match='Missing key.*"seen"'):
        Median().load_state_dict(state)


def test_it_looks_at_one_pixel_and_has_no_weights():
    assert Median.output_stride == 1
    assert list(fitted(3).parameters()) == []


def test_a_body_that_cannot_learn_cannot_be_made():
    class Half(FittedBody):
        def collect(self, *args, **kwargs):
            pass

    with pytest.raises(TypeError, match="abstract method 'fit'"):
        Half()
