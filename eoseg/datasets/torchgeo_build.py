"""Datamodules of torchgeo, built, checked and set up."""

import contextlib
import inspect
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.torchgeo_sources import FootprintSource, ImageSource, Source, reason
from eoseg.datasets.torchgeo_traits import attribute_of, put_in_order
from eoseg.errors import ConfigError, DataError, unknown_name

_log = logging.getLogger(__name__)

_OURS = {
    "batch_size": "data.init_args.batch_size",
    "num_workers": "data.init_args.num_workers",
    "patch_size": "data.init_args.chip_size",
    "length": "data.init_args.chips_per_epoch",
}
"""Arguments of torchgeo's datamodules that eoseg sets itself, and where."""

_WITHOUT_EFFECT = ("transforms", "split", "padding_length", "time_series")

_OFFICIAL_FOLDS = {"train": [1, 2, 3], "val": [4], "test": [5]}


def build(name: str, args: Mapping[str, Any], folds: Mapping[str, Sequence[int]] | None) -> Any:
    """Make a datamodule of torchgeo; no file is read.

    Args:
        name: Its class, such as EuroSATDataModule.
        args: Its arguments and those of its data set.
        folds: Which folds are in which split.

    Raises:
        ConfigError: The class or an argument is unknown, or an argument would have no effect.
    """
    from torchgeo import datamodules

    known = {
        key: entry
        for key, entry in vars(datamodules).items()
        if inspect.isclass(entry)
        and issubclass(entry, datamodules.BaseDataModule)
        and key not in ("BaseDataModule", "GeoDataModule", "NonGeoDataModule")
    }
    if name not in known:
        raise ConfigError(unknown_name("datamodule of torchgeo", name, known))
    for key in args:
        if key in _OURS:
            raise ConfigError(f"data.init_args.args.{key} has no effect here: set {_OURS[key]}.")
        if key in _WITHOUT_EFFECT:
            raise ConfigError(f"data.init_args.args.{key} has no effect here. Leave it out.")
    module = _make(known[name], args)
    defaults = {**_defaults(module.dataset_class), **_defaults(type(module))}
    _check_names(name, args, defaults, has_folds=_has_folds(module))
    typed = {key: _typed(key, value, defaults[key]) for key, value in args.items()}
    _check_folds(name, folds, has_folds=_has_folds(module))
    return module if typed == dict(args) else _make(known[name], typed)


def _make(kind: type[Any], args: Mapping[str, Any]) -> Any:
    try:
        return kind(**args)
    except Exception as error:
        raise ConfigError(f"{kind.__name__} refuses its arguments {dict(args)}: {reason(error)}.") from error


def _check_names(name: str, args: Mapping[str, Any], known: Mapping[str, Any], *, has_folds: bool) -> None:
    """Refuse arguments that neither the datamodule nor its data set has, or that would have no effect."""
    divided = ("folds", "val_split_pct", "test_split_pct") if has_folds else ()
    taken = set(known) - {*_OURS, *_WITHOUT_EFFECT, *divided, "dataset_class"}
    for key in args:
        if key in divided:
            raise ConfigError(
                f"data.init_args.args.{key} has no effect here: the official folds are the split. Set "
                "data.init_args.folds for others."
            )
        if key not in taken:
            raise ConfigError(unknown_name(f"argument of {name}", key, taken))


def _typed(key: str, value: Any, default: Any) -> Any:
    """A value with the type of its default: on the command line all values of `args` are text.

    Without this, `args.download=false` would be the text "false", which is true.
    """
    kind = type(default)
    if kind not in (bool, int, float) or type(value) is kind:
        return value
    words = {"true": True, "false": False}
    text = str(value).lower()
    try:
        return words[text] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ConfigError(
            f"data.init_args.args.{key} is of type {kind.__name__}, such as {default}; found {value!r}."
        ) from None


def _check_folds(name: str, folds: Mapping[str, Sequence[int]] | None, *, has_folds: bool) -> None:
    if folds is None:
        return
    if not has_folds:
        raise ConfigError(f"{name} has no folds, so data.init_args.folds has no effect. Leave it out.")
    held = [fold for split in _OFFICIAL_FOLDS for fold in folds.get(split, ())]
    if set(folds) - set(_OFFICIAL_FOLDS) or not set(held) <= {1, 2, 3, 4, 5} or len(set(held)) != len(held):
        raise ConfigError(
            "data.init_args.folds names the folds 1 to 5 for train, val and test, each at most once; found "
            f"{dict(folds)}."
        )


def data_root(module: Any) -> str:
    """The folder of a datamodule's data set."""
    return str(module.kwargs.get("root", module.kwargs.get("paths", "data")))


def set_up(module: Any, folds: Mapping[str, Sequence[int]] | None) -> dict[str, Source]:
    """Find the files, and divide them as the datamodule does.

    Args:
        module: A datamodule of torchgeo.
        folds: Of a data set with folds, which are in which split; the official ones by default.

    Returns:
        Of each split that it has, the images: "train", "val", "test".

    Raises:
        DataError: The files are missing, broken or cannot be downloaded.
    """
    name = type(module).__name__
    root = data_root(module)
    told = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(told),
            _without_advice(),
            _one_at_a_time(Path(root), bool(module.kwargs.get("download"))),
        ):
            if _has_folds(module):
                sources = _by_folds(module, folds or _OFFICIAL_FOLDS)
            else:
                for stage in ("fit", "test"):
                    module.setup(stage)
                sources = {
                    split: source for split in ("train", "val", "test") if (source := _source(module, split))
                }
    except DataError:
        raise
    except Exception as error:  # torchgeo raises assertions, key errors, download errors ...
        raise DataError(f"{name} does not find its data: {reason(error)}") from error
    if told.getvalue():
        _log.debug("torchgeo: %s", told.getvalue().strip())
    sources = {split: source for split, source in sources.items() if len(source)}
    if "train" not in sources:
        raise DataError(f"{name} finds no training image in '{root}'. Check the folder.")
    _require_same_classes(sources)
    _warn_of_overlaps(sources)
    return sources


def _by_folds(module: Any, folds: Mapping[str, Sequence[int]]) -> dict[str, Source]:
    """By folds: torchgeo divides these data at random, which puts neighbours into different splits."""
    sources: dict[str, Source] = {}
    for split, numbers in folds.items():
        if numbers:
            dataset = module.dataset_class(**{**module.kwargs, "folds": tuple(numbers)})
            sources[split] = ImageSource(dataset, range(len(dataset)))
    return sources


def _source(module: Any, split: str) -> Source | None:
    """The images of a split, without torchgeo's transforms."""
    from torchgeo.datasets import GeoDataset

    samplers = [getattr(module, f"{split}_{kind}", None) for kind in ("batch_sampler", "sampler")]
    sampler = next((entry for entry in samplers if entry is not None), None)
    dataset = getattr(module, f"{split}_dataset", None)
    if dataset is None and sampler is not None:
        dataset = module.dataset  # one for all splits, divided by the samplers
    if dataset is None:
        return None
    places: NDArray[np.int64] | None = None
    while hasattr(dataset, "indices") and hasattr(dataset, "dataset"):  # torch's Subset
        own = np.asarray(dataset.indices, np.int64)
        places, dataset = (own if places is None else own[places]), dataset.dataset
    _strip_transforms(dataset)
    if isinstance(dataset, GeoDataset):
        return FootprintSource(dataset, sampler)
    put_in_order(dataset)
    return ImageSource(dataset, range(len(dataset)) if places is None else places.tolist())


def _strip_transforms(dataset: Any) -> None:
    """Take out what a datamodule does to samples: crops at random in every split, scaling."""
    for part in (dataset, *getattr(dataset, "datasets", ())):
        for attribute in ("transforms", "tg_transforms"):
            if getattr(part, attribute, None) is not None:
                setattr(part, attribute, None)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Leave out what torchgeo's libraries advise its authors."""
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        yield


@contextlib.contextmanager
def _one_at_a_time(folder: Path, downloads: bool) -> Iterator[None]:
    """Let one process of several download; the others find the files when it is done."""
    if not downloads:
        yield
        return
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".download.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _has_folds(module: Any) -> bool:
    return any(entry.__name__ == "PASTIS" for entry in module.dataset_class.__mro__)


def _defaults(kind: type[Any]) -> dict[str, Any]:
    """The arguments of a class and their defaults."""
    held = inspect.signature(kind).parameters.items()
    return {key: entry.default for key, entry in held if key not in ("kwargs", "args")}


def _require_same_classes(sources: dict[str, Source]) -> None:
    """Folders of classes are numbered by name: one that is missing in a split shifts all behind it."""
    held = {split: attribute_of(source.dataset, "classes") for split, source in sources.items()}
    for split, classes in held.items():
        if list(classes or ()) != list(held["train"] or ()):
            raise DataError(
                f"The {split} images have the classes {', '.join(map(str, classes))}, the training images "
                f"{', '.join(map(str, held['train']))}. Complete the folders of classes."
            )


def _warn_of_overlaps(sources: dict[str, Source]) -> None:
    counts = Counter(name for source in sources.values() for name in set(source.names))
    shared = [name for name, count in counts.items() if count > 1]
    if shared:
        _log.warning(
            "%d images are in more than one split, such as '%s': figures will be too good.",
            len(shared),
            shared[0],
        )
