"""What a network says of the data that it did not train on."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from label_factory import run_of, write_world

from eoseg.datasets.datamodule import SceneData
from eoseg.errors import ConfigError
from eoseg.evaluate.out_of_sample import answers, held_out, require_classes
from eoseg.recipe import IGNORE


def test_answers_come_chip_by_chip_with_their_labels(tmp_path: Path):
    run = run_of(write_world(tmp_path))
    data = run.data
    assert isinstance(data, SceneData)
    count = 0
    for batch in answers(run, "test", device="cpu"):
        assert batch.chips is not None
        assert batch.names == [chip.id for chip in batch.chips]
        np.testing.assert_allclose(batch.probabilities.sum(axis=1), 1, rtol=1e-5)
        known = batch.given != IGNORE
        assert (batch.probabilities.argmax(axis=1)[known] == batch.given[known]).mean() > 0.99
        count += int(known.sum())
    assert count == sum(r.window.height * r.window.width for r in data.split.of("test"))


def test_of_a_network_for_chips_the_label_is_that_of_most_pixels(tmp_path: Path):
    run = run_of(write_world(tmp_path), "classification")
    for batch in answers(run, "val", device="cpu"):
        assert batch.probabilities.shape == (len(batch.names), 3)
        assert (batch.probabilities.argmax(axis=1) == batch.given).all()


def test_held_out_are_test_and_validation_or_of_folds_the_test_part(tmp_path: Path):
    run = run_of(write_world(tmp_path))
    assert held_out(run, of_several=False) == ("val", "test")
    assert held_out(run, of_several=True) == ("test",)
    alone = replace(run, data=SimpleNamespace(has=lambda stage: stage == "train"))
    with pytest.raises(ConfigError, match="holds nothing to validate or test"):
        held_out(alone, of_several=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantity": "height"}, "hold a quantity"),
        ({"multilabel": True}, "have several labels for each chip"),
        ({"classes": ()}, "have no labels"),
    ],
)
def test_other_labels_than_classes_are_refused(tmp_path: Path, changes: dict[str, object], words: str):
    run = run_of(write_world(tmp_path))
    require_classes(run)
    schema = SimpleNamespace(**{"quantity": None, "multilabel": False, "classes": ("a",), **changes})
    with pytest.raises(ConfigError, match=words):
        require_classes(replace(run, data=SimpleNamespace(schema=schema)))
