"""The contract of every classical model, of each kind; a new method is tested by being in a registry."""

import inspect

import pytest
import torch
from classical_factory import REGISTRIES, make_body

from eoseg.errors import CheckpointError, ConfigError
from eoseg.models.classical import CHIP_MODELS, PIXEL_MODELS, SERIES_MODELS
from eoseg.models.classical_methods import METHODS, REGRESSORS
from eoseg.models.dimensions import Dimensions
from eoseg.models.fitted import FittedBody

DAYS = torch.tensor([10.0, 100.0, 200.0])


def problem(kind: str, bands: int = 3):
    """A body's dimensions, its inputs and its targets: three classes, each a level of two bands."""
    target = torch.arange(60) % 3
    levels = torch.stack([target - 1.0, 1.0 - 2.0 * (target == 1)], dim=1)  # (60, 2)
    values = levels[:, [band % 2 for band in range(bands)]]  # (60, C)
    values = values + 0.1 * torch.randn(60, bands, generator=torch.Generator().manual_seed(0))
    if kind == "chips":
        return Dimensions(bands, 3, 4), (values[:, :, None, None].expand(-1, -1, 4, 4).contiguous(),), target
    if kind == "pixels":
        return Dimensions(bands, 3, 1), (values[:, :, None, None],), target[:, None, None]
    image = torch.stack([values, -values, values], dim=1)[..., None, None]  # (60, T, C, 1, 1)
    inputs = (image, torch.ones(60, 3, 1, 1, dtype=torch.bool), DAYS.expand(60, -1))
    return Dimensions(bands, 3, 1, 3), inputs, target[:, None, None]


def collect(body: FittedBody, kind: str, inputs: tuple[torch.Tensor, ...], target: torch.Tensor) -> None:
    image = inputs[0]
    if kind == "series":
        body.collect(image, inputs[1], target, days=inputs[2])
    else:
        body.collect(image, torch.ones_like(image[:, 0], dtype=torch.bool), target)


CLASSIFIERS = [(kind, name) for kind in REGISTRIES for name in METHODS]


@pytest.fixture(scope="module", params=CLASSIFIERS, ids="-".join)
def learned(request):
    """Kind, name, problem and a body that has learned it."""
    kind, name = request.param
    dims, inputs, target = problem(kind)
    body = make_body(kind, name, dims)
    collect(body, kind, inputs, target)
    body.fit()
    return kind, name, dims, inputs, target, body.eval()


def test_it_learns_what_can_be_told_apart(learned):
    kind, _, _, inputs, target, body = learned
    logits = body(*inputs)
    assert logits.shape == ((60, 3) if kind == "chips" else (60, 3, 1, 1))
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert torch.equal(logits.argmax(dim=1), target)


def test_the_state_dict_carries_what_was_learned(learned):
    kind, name, dims, inputs, _, body = learned
    twin = make_body(kind, name, dims)
    twin.load_state_dict(body.state_dict())
    assert torch.equal(twin(*inputs), body(*inputs))
    assert torch.equal(twin.half()(*inputs), body(*inputs))  # there is nothing to round
    assert not list(twin.parameters())


def test_the_same_seed_gives_the_same_model_however_batches_are_cut(learned):
    kind, name, dims, inputs, target, body = learned
    twin = make_body(kind, name, dims)
    for part in (slice(0, 5), slice(5, 60)):
        collect(twin, kind, tuple(value[part] for value in inputs), target[part])
    twin.fit()
    assert torch.equal(twin(*inputs), body(*inputs))


def test_before_fit_it_refuses_to_predict(learned):
    kind, name, dims, inputs, _, _ = learned
    with pytest.raises(CheckpointError, match="never fitted"):
        make_body(kind, name, dims)(*inputs)


def test_a_device_other_than_the_cpu_is_refused_at_once(learned):
    kind, name, dims, _, _, _ = learned
    body = make_body(kind, name, dims)
    with pytest.raises(ConfigError, match=rf"{name} runs on the CPU, .*'meta'. Set --device cpu"):
        body.to("meta")
    assert body.stored.device.type == "cpu"
    body.to("cpu").to(memory_format=torch.channels_last)


@pytest.mark.parametrize("bands", [1, 13])
@pytest.mark.parametrize(
    ("kind", "name"), [("pixels", "random_forest"), ("chips", "rbf_svm"), ("series", "linear_svm")]
)
def test_any_number_of_bands(kind, name, bands):
    dims, inputs, target = problem(kind, bands)
    body = make_body(kind, name, dims)
    collect(body, kind, inputs, target)
    body.fit()
    assert (
        body(*inputs).argmax(dim=1) == target
    ).float().mean() > 0.6  # a line parts two of three from 1 band


def test_all_methods_are_models_of_all_kinds():
    assert set(PIXEL_MODELS) == {*METHODS, *REGRESSORS}
    assert set(CHIP_MODELS) == set(SERIES_MODELS) == set(METHODS)


@pytest.mark.parametrize(
    ("kind", "own"),
    [("pixels", ["features", "window"]), ("chips", ["checkpoint", "inner"]), ("series", [])],
)
@pytest.mark.parametrize("name", METHODS)
def test_a_models_options_are_those_of_its_kind_and_of_its_method(kind, own, name):
    function = REGISTRIES[kind][name]
    parameters = inspect.signature(function).parameters
    assert list(parameters) == ["dims", *own, *inspect.signature(METHODS[name]).parameters]
    assert all(entry.kind is entry.KEYWORD_ONLY for key, entry in parameters.items() if key != "dims")
    assert function.__name__ == name
    assert (function.__doc__ or "").startswith((METHODS[name].__doc__ or "").split("\n")[0])


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'leaves'"):
        make_body("pixels", "random_forest", Dimensions(2, 4), leaves=3)
