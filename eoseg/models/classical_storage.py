"""Estimators of scikit-learn as bytes, without pickle: a stored estimator can run no code when it is read."""

import warnings
import zipfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eoseg.errors import CheckpointError

TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
)
"""What an estimator may hold beside arrays, plain values and the public estimators of scikit-learn."""


def pack_estimators(estimators: list[Any]) -> Tensor:
    """Store fitted estimators, in the format of skops (https://skops.readthedocs.io), compressed.

    Args:
        estimators: Of scikit-learn; whole numbers may be among them.

    Returns:
        Uint8 `(bytes,)`.
    """
    from skops import io

    data = io.dumps(estimators, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def unpack_estimators(stored: Tensor) -> list[Any]:
    """Read what `pack_estimators` stored.

    Raises:
        CheckpointError: The bytes are broken, hold a type that is not trusted, or need another version of
            scikit-learn.
    """
    from skops import io

    data = stored.cpu().numpy().tobytes()
    try:
        strange = sorted(set(io.get_untrusted_types(data=data)) - set(TRUSTED))
        if strange:
            raise CheckpointError(
                f"The stored model holds the type {strange[0]}, which none of eoseg's models has. Nothing "
                "of it was loaded. Use a checkpoint that 'eoseg fit' wrote."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # scikit-learn warns of estimators of another version
            estimators = io.loads(data, trusted=list(TRUSTED))
    except CheckpointError:
        raise
    except Exception as error:  # a zip of plain values can be broken in any way
        raise CheckpointError(
            f"The stored model cannot be read ({type(error).__name__}). Use the version of scikit-learn that "
            "it was fitted with, or fit it again."
        ) from error
    if not isinstance(estimators, list):
        raise CheckpointError(
            "The stored model is no list of estimators. Use a checkpoint that 'eoseg fit' wrote."
        )
    return estimators
