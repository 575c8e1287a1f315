"""Pretrained weights for encoders, fitted to the bands at hand.

The first convolution of pretrained weights has one kernel per band they were trained on. A band with
the name of one of those starts from its kernel; any other band starts from the mean of all, from 0, or from
a copy of one of them. Nothing is rescaled: the batch normalisation that follows adapts within a few steps.
What happened is logged.
"""

import logging
import pickle
import re
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError, unknown_name
from eoseg.models.encoders import bare_name, is_timm, make_encoder, resolve_encoder

logger = logging.getLogger(__name__)

RGB = ("red", "green", "blue")
"""The bands that ImageNet's weights were trained on."""

# Common names of STAC's electro-optical extension (https://github.com/stac-extensions/eo) and their
# usual short forms, for each sensor whose weights torchgeo has. Band codes are compared as "b04".
COLORS = {"r": "red", "g": "green", "b": "blue", "n": "nir"}
COLOR_CODES = {**COLORS, "b04": "red", "b03": "green", "b02": "blue"}
_SENTINEL2 = {
    **{"coastal": "b01", "blue": "b02", "green": "b03", "red": "b04", "nir": "b08", "nir08": "b08a"},
    **{"rededge071": "b05", "rededge075": "b06", "rededge078": "b07", "nir09": "b09", "cirrus": "b10"},
    **{"rededge1": "b05", "rededge2": "b06", "rededge3": "b07", "swir1": "b11", "swir2": "b12"},
    **{"swir16": "b11", "swir22": "b12", "r": "b04", "g": "b03", "b": "b02", "n": "b08"},
}
_LANDSAT_TM = {
    **{"blue": "b01", "green": "b02", "red": "b03", "nir": "b04", "nir08": "b04", "swir1": "b05"},
    **{"swir16": "b05", "swir2": "b07", "swir22": "b07", "pan": "b08", "r": "b03", "g": "b02", "b": "b01"},
}
_LANDSAT_OLI = {
    **{"coastal": "b01", "blue": "b02", "green": "b03", "red": "b04", "nir": "b05", "nir08": "b05"},
    **{"swir1": "b06", "swir16": "b06", "swir2": "b07", "swir22": "b07", "pan": "b08", "cirrus": "b09"},
    **{"lwir11": "b10", "lwir12": "b11", "r": "b04", "g": "b03", "b": "b02"},
}
_SENSORS = {
    "SENTINEL2": _SENTINEL2,
    "LANDSAT_TM": _LANDSAT_TM,
    "LANDSAT_ETM": _LANDSAT_TM,
    "LANDSAT_OLI": _LANDSAT_OLI,
}
_BAND_CODE = re.compile(r"(?:sr_)?b0*(\d+)(a?)")


def load_encoder_weights(
    encoder: nn.Module, name: str, *, weights: str, bands: Sequence[str], new_bands: str = "average"
) -> None:
    """Fill an encoder with pretrained weights, downloaded where they are not in the cache.

    Args:
        encoder: Made by smp for as many channels as there are bands.
        name: Its name, as `resolve_encoder` returns it.
        weights: "imagenet" or another of smp's weights for this encoder, or the name of torchgeo weights.
        bands: Names of the bands, in the order of the channels.
        new_bands: What bands that the weights do not know start from; see `Start`.

    Raises:
        ConfigError: There are no such weights, they are for another encoder, or cannot be downloaded.
    """
    depth = int(cast(int, encoder._depth))
    if "." in weights:
        entry = find_torchgeo(weights)
        trained = trained_model(entry)
        if trained != bare_name(name):
            raise ConfigError(_wrong_encoder(weights, trained, name))
        state, source, aliases = torchgeo_weights(weights, entry)
    else:
        state, source, aliases = _smp_weights(weights, name, depth), RGB, COLOR_CODES
    if is_timm(name) and not any(key.startswith("model.") for key in state):
        state = {f"model.{key}": value for key, value in state.items()}  # smp wraps timm's models
    start = Start(f"encoder '{name}'", weights, source, aliases, new_bands)
    start.fill(encoder, state, inputs=input_layers(encoder, name), bands=bands)


@dataclass(frozen=True)
class Start:
    """Pretrained weights on their way into a network."""

    what: str
    """The network that is filled, for messages."""
    weights: str
    """Name of the weights, for messages."""
    source: Sequence[str]
    """Names of the bands that the weights were trained on."""
    aliases: Mapping[str, str]
    """Other names of these bands."""
    new_bands: str = "average"
    """What other bands start from: "average" (of all kernels), "zero", or a band whose kernels are copied."""

    def fill(
        self,
        module: nn.Module,
        state: Mapping[str, Tensor],
        *,
        inputs: Collection[str],
        bands: Sequence[str],
        optional: tuple[str, ...] = (),
    ) -> None:
        """Copy weights into a network, those of the first layer by band.

        Args:
            module: The network.
            state: The weights; names that the network does not have are left out.
            inputs: Names of weights with one kernel per band.
            bands: Names of the network's bands, in the order of the channels.
            optional: What names start with that `state` may lack.

        Raises:
            ConfigError: A value is missing, or has another shape, or `new_bands` is no band of the weights.
        """
        own = module.state_dict()
        missing = [
            key
            for key in own
            if key not in state and not key.endswith("num_batches_tracked") and not key.startswith(optional)
        ]
        wrong = [
            key
            for key in own
            if key in state and not _fits(state[key], own[key], key in inputs, len(self.source))
        ]
        if missing or wrong:
            raise ConfigError(
                f"The weights '{self.weights}' do not fit the {self.what}: {len(missing)} of its values are "
                f"missing and {len(wrong)} have another shape, such as {(missing + wrong)[0]}. Choose other "
                "weights, or null."
            )
        kernels = _matching_kernels(bands, self.source, self.aliases)
        fitted = {key: state[key] for key in own if key in state}
        copied = self._copied()
        for key in inputs:
            kernel = state[key]
            new = kernel[:, copied].mean(dim=1) if copied else torch.zeros_like(kernel[:, 0])
            fitted[key] = _adapt(kernel, kernels, new)
        module.load_state_dict({**own, **fitted})
        self._log(bands, kernels)

    def _copied(self) -> list[int]:
        """Places of the kernels from whose mean other bands start; none for 0."""
        if self.new_bands == "zero":
            return []
        if self.new_bands == "average":
            return list(range(len(self.source)))
        found = _matching_kernels([self.new_bands], self.source, self.aliases)[0]
        if not found:
            raise ConfigError(
                f"new_bands is average, zero, or one of the bands of '{self.weights}' "
                f"({', '.join(dict.fromkeys(self.source))}); found '{self.new_bands}'."
            )
        return found

    def _log(self, bands: Sequence[str], places: Sequence[Sequence[int]]) -> None:
        own = [band for band, found in zip(bands, places, strict=True) if found]
        rest = [band for band, found in zip(bands, places, strict=True) if not found]
        parts = []
        if own:
            parts.append(f"{', '.join(own)} from the kernels of their own band")
        if rest:
            source = {
                "average": f"the mean of {', '.join(dict.fromkeys(self.source))}",
                "zero": "0",
            }.get(self.new_bands, f"a copy of {self.new_bands}")
            parts.append(f"{', '.join(rest)} from {source}")
        logger.info("The %s starts from '%s': %s.", self.what, self.weights, "; ".join(parts))


def _smp_weights(weights: str, name: str, depth: int) -> dict[str, Tensor]:
    """Weights of smp or timm, trained on red, green and blue."""
    import timm
    from segmentation_models_pytorch.encoders import encoders

    if is_timm(name):
        bare = name.removeprefix("tu-")
        known = ["imagenet"] if timm.models.is_model_pretrained(bare) else []
    else:
        known = list(encoders[name]["pretrained_settings"])
    if weights not in known:
        if not known:
            raise ConfigError(f"The encoder '{name}' has no pretrained weights. Set weights to null.")
        raise ConfigError(
            unknown_name(f"weights of encoder '{name}'", weights, known)
            + " Torchgeo's are named like 'ResNet18_Weights.SENTINEL2_ALL_MOCO'."
        )
    pretrained = download(weights, lambda: make_encoder(name, len(RGB), depth=depth, weights=weights))
    return dict(pretrained.state_dict())


def find_torchgeo(weights: str) -> Any:
    """An entry of torchgeo's list of weights.

    Raises:
        ConfigError: There is none of that name.
    """
    from torchgeo.models import get_weight, list_models
    from torchgeo.models.api import get_model_weights

    try:
        return get_weight(weights)
    except ValueError:
        groups = {get_model_weights(model) for model in list_models() if _has_weights(model)}
        known = [str(member) for group in groups for member in group]
        raise ConfigError(_unknown_torchgeo(weights, known)) from None


def trained_model(entry: Any) -> str:
    """The name of the encoder or model that torchgeo's weights are for."""
    return str(entry.meta.get("encoder", entry.meta["model"]))


def torchgeo_weights(weights: str, entry: Any) -> tuple[dict[str, Tensor], Sequence[str], Mapping[str, str]]:
    """Weights of torchgeo, the bands they were trained on, and how its sensor's bands are called.

    Args:
        weights: Their name, for messages.
        entry: As `find_torchgeo` found it.

    Raises:
        ConfigError: They cannot be downloaded.
    """
    source = [str(band) for band in entry.meta.get("bands", ())]
    if len(source) != entry.meta["in_chans"]:
        source = [f"band {place + 1}" for place in range(entry.meta["in_chans"])]
    state: dict[str, Tensor] = download(
        weights,
        # weights_only: a download is never unpickled as code
        lambda: entry.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu"),
    )
    if any(key.startswith("encoder.") for key in state):  # a whole U-Net: its encoder alone is taken
        state = {
            key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")
        }
    sensor = next((names for prefix, names in _SENSORS.items() if entry.name.startswith(prefix)), COLORS)
    return state, source, sensor


def _has_weights(model: str) -> bool:
    from torchgeo.models.api import _model_weights

    return model in _model_weights


def _unknown_torchgeo(weights: str, known: Sequence[str]) -> str:
    """As `unknown_name`, but without the list of all: torchgeo has more than a hundred."""
    from difflib import get_close_matches

    near = get_close_matches(weights, known, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"Torchgeo has no weights '{weights}'.{hint} Those for encoders start with ResNet18_Weights, "
        "ResNet50_Weights, ResNet152_Weights and Unet_Weights; classifiers of chips take those of ViT too."
    )


def _wrong_encoder(weights: str, trained: str, name: str) -> str:
    try:
        resolve_encoder(trained)
    except ConfigError:
        return (
            f"The weights '{weights}' are for {trained}, which is no encoder of eoseg. Choose ResNet or "
            "U-Net weights of torchgeo, or null."
        )
    return (
        f"The weights '{weights}' are for the encoder {trained}, the configuration says {name}. Set encoder "
        f"to {trained}, or choose other weights."
    )


def download[T](weights: str, fetch: Callable[[], T]) -> T:
    """Run a download and word its failures.

    Raises:
        ConfigError: It failed, or the file is broken.
    """
    try:
        return fetch()
    except OSError as error:  # also what huggingface_hub and urllib raise without a network
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise ConfigError(
            f"The weights '{weights}' could not be downloaded ({type(error).__name__}: {reason}). Connect "
            "once to the network, set HF_HOME and TORCH_HOME to caches that hold them, or set weights to "
            "null."
        ) from error
    except (RuntimeError, pickle.UnpicklingError) as error:  # a wrong hash, or a file that is no state dict
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise ConfigError(
            f"The file of the weights '{weights}' is broken ({reason}). Delete it from the cache and try "
            "again."
        ) from error


def input_layers(encoder: nn.Module, name: str) -> set[str]:
    """The names of an encoder's values whose shape depends on the number of bands.

    Args:
        encoder: Made by smp.
        name: Its name, as `resolve_encoder` returns it.
    """
    depth = int(cast(int, encoder._depth))
    other = make_encoder(name, _channels(encoder) + 1, depth=depth).state_dict()
    return {key for key, value in encoder.state_dict().items() if value.shape != other[key].shape}


def _channels(encoder: nn.Module) -> int:
    return int(cast(int, encoder._in_channels))


def _fits(value: Tensor, own: Tensor, is_input: bool, bands: int) -> bool:
    if not is_input:
        return value.shape == own.shape
    return value.ndim == own.ndim == 4 and value.shape == (own.shape[0], bands, *own.shape[2:])


def _matching_kernels(
    bands: Sequence[str], source: Sequence[str], aliases: Mapping[str, str]
) -> list[list[int]]:
    """For each band the places of the pretrained bands with its name; none where it is unknown."""
    trained = [_canonical(band, aliases) for band in source]
    wanted = [_canonical(band, aliases) for band in bands]
    return [[place for place, name in enumerate(trained) if name == band] for band in wanted]


def _canonical(band: str, aliases: Mapping[str, str]) -> str:
    """One spelling for the names of a band: "B4", "b04", "SR_B4" and "red" (of Sentinel-2) are "b04"."""
    name = band.strip().lower().replace(" ", "").replace("-", "")
    code = _BAND_CODE.fullmatch(name)
    if code:
        name = f"b{int(code[1]):02}{code[2]}"
    return aliases.get(name, name)


def _adapt(kernel: Tensor, places: Sequence[Sequence[int]], new: Tensor) -> Tensor:
    """Choose the kernels of the bands: (out, pretrained bands, h, w) to (out, bands, h, w).

    Args:
        kernel: That of the weights.
        places: For each band those of the pretrained bands with its name.
        new: What a band without any takes, (out, h, w).
    """
    return torch.stack([kernel[:, list(found)].mean(dim=1) if found else new for found in places], dim=1)
