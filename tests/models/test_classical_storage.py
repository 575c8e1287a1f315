"""What is stored can be read, and nothing else."""

import os
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from skops import io

from eoseg.errors import CheckpointError
from eoseg.models.classical_storage import TRUSTED, pack_estimators, unpack_estimators


class Stranger:
    """A type that no model of eoseg holds."""

    def __init__(self) -> None:
        self.value = 1


def as_bytes(data: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def with_text(data: bytes, old: bytes, new: bytes) -> bytes:
    """A zip whose files hold another text in place of one."""
    target = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name).replace(old, new))
    return target.getvalue()


def test_estimators_and_numbers_come_back():
    rows = np.array([[0.0], [1.0], [2.0], [3.0]])
    stored = pack_estimators([DecisionTreeClassifier(random_state=0).fit(rows, [0, 0, 1, 1]), 1])
    assert stored.dtype == torch.uint8
    restored, number = unpack_estimators(stored)
    assert number == 1
    assert restored.predict(rows).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("value", [Stranger(), os.system])
def test_a_type_that_is_not_trusted_is_named_and_not_loaded(value):
    name = "system" if value is os.system else "Stranger"
    with pytest.raises(
        CheckpointError, match=rf"holds the type .*\.{name}, which none of eoseg's models has"
    ):
        unpack_estimators(as_bytes(io.dumps([value])))


@pytest.mark.parametrize("data", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_broken_bytes_are_told(data):
    with pytest.raises(CheckpointError, match="cannot be read .*fit it again"):
        unpack_estimators(as_bytes(data))


def test_something_else_than_a_list_is_told():
    with pytest.raises(CheckpointError, match="no list of estimators"):
        unpack_estimators(as_bytes(io.dumps({"a": 1})))


def test_an_estimator_of_another_version_of_scikit_learn_is_told():
    import sklearn

    data = io.dumps([LogisticRegression().fit([[0.0], [1.0]], [0, 1])])
    old = with_text(data, sklearn.__version__.encode(), b"0.20.1")
    with pytest.raises(CheckpointError, match=r"\(InconsistentVersionWarning\).*version of scikit-learn"):
        unpack_estimators(as_bytes(old))


def test_the_list_of_trusted_types_is_short():
    # Trees, boosted trees and the search tree of neighbours: anything new here wants a second look.
    assert len(TRUSTED) == 4
    assert all(name.startswith("sklearn.") for name in TRUSTED)
