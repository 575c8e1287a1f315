import csv
import io
import json

import numpy as np
from tracking_fakes import SCHEMA

from eoseg.recipe import BandStatistics, Recipe, Schema, Statistics, parse_classes
from eoseg.tracking.charts import artifact_metadata, label_csv, matrix_csv, wandb_labels, wandb_matrices

MATRIX = np.array([[30, 10, 0], [0, 60, 0], [0, 0, 0]], np.int64)
NAMES = ["water", 'wood, "dry"', "absent"]


def test_the_csv_has_a_row_per_reference_class() -> None:
    rows = list(csv.reader(io.StringIO(matrix_csv(MATRIX, NAMES))))
    assert rows[0] == ["reference \\ map", *NAMES]
    assert rows[1] == ["water", "30", "10", "0"]
    assert [row[0] for row in rows[1:]] == NAMES


def test_wandb_gets_counts_shares_and_figures() -> None:
    charts = wandb_matrices(MATRIX, NAMES, "val")
    assert set(charts) == {"val/confusion", "val/confusion_normalized", "val/classes"}
    counts, shares = charts["val/confusion"].table, charts["val/confusion_normalized"].table
    assert counts.columns == ["Actual", "Predicted", "nPredictions"]
    assert counts.data[:3] == [["water", "water", 30], ["water", NAMES[1], 10], ["water", "absent", 0]]
    assert [row[2] for row in shares.data] == [0.75, 0.25, 0, 0, 1, 0, 0, 0, 0]
    assert charts["val/confusion"].spec.spec_name == "wandb/confusion_matrix/v1"
    figures = {row[0]: row[1:] for row in charts["val/classes"].data}
    assert figures["water"] == [0.75, 60 / 70, 1.0, 0.75, 40, 30]
    assert figures["absent"][:4] == [None, None, None, None]


def test_the_matrix_says_what_was_counted() -> None:
    titles = {
        unit: wandb_matrices(MATRIX, NAMES, "val", unit=unit)["val/confusion"].spec.string_fields["title"]
        for unit in ("pixels", "chips")
    }
    assert titles == {"pixels": "Confusion matrix, pixels", "chips": "Confusion matrix, chips"}


TABLES = np.array([[[5, 1], [2, 4]], [[9, 0], [3, 0]], [[10, 2], [0, 0]]])


def test_labels_have_a_row_each_with_counts_and_f1() -> None:
    rows = list(csv.reader(io.StringIO(label_csv(TABLES, NAMES))))
    assert rows[0] == ["label", "right", "missed", "false", "rightly absent", "f1"]
    assert rows[1] == ["water", "4", "2", "1", "5", str(8 / 11)]
    assert rows[2] == [NAMES[1], "0", "3", "0", "9", "0.0"]
    assert rows[3] == ["absent", "0", "0", "2", "10", ""]  # not defined, not 0


def test_wandb_gets_the_same_table_of_labels() -> None:
    (table,) = wandb_labels(TABLES, NAMES, "val").values()
    assert table.data[0] == ["water", 4, 2, 1, 5, 8 / 11]
    assert table.data[2][-1] is None


def count_keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(count_keys, value.values()))
    if isinstance(value, list):
        return sum(map(count_keys, value))
    return 0


def test_metadata_keep_the_whole_recipe_in_few_keys() -> None:
    names = [f"band {number}" for number in range(200)]
    schema = Schema(tuple(names), parse_classes([f"class {number}" for number in range(16)]))
    bands = tuple(BandStatistics(name, 1, 2, 3, 4, 5, 6) for name in names)
    recipe = Recipe(
        "SegmentationTask", schema, Statistics(bands, "uint16", 9, 8, (1,) * 16), {"arch": "unet"}, 128, 32
    )
    metadata = artifact_metadata(recipe)
    assert json.loads(json.dumps(metadata)) == metadata
    assert count_keys(metadata) <= 100  # W&B's limit
    assert metadata["schema"]["bands"] == names
    assert metadata["schema"]["classes"][3] == "class 3"
    assert metadata["statistics"]["mean"] == [1] * 200
    assert metadata["network"] == {"arch": "unet"}
    assert len(metadata["schema"]["class_colors"]) == 16
    assert SCHEMA.class_names == ["dark", "bright"]
