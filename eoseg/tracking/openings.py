"""How often a test set was opened: each look at it makes the best figure a little too good.

The count lies beside the runs, in a file that only grows, so that it outlives each of them.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from eoseg.datasets.base import EOData
from eoseg.datasets.data_hash import hash_names
from eoseg.errors import OutputError
from eoseg.recipe import Plain

FILE = "test_openings.jsonl"
"""In the folder of all runs; a line for each opening."""


def open_test_set(runs: Path, run_folder: Path, data: EOData) -> int:
    """Note that a run opens the test split of some data; the same files and the same split are one test set.

    Args:
        runs: The folder of all runs.
        run_folder: That of this run.
        data: What is tested on.

    Returns:
        How often it was opened, this time included.
    """
    test_set = f"{data.data_hash['sha256']}/{hash_names(data.members('test'))}"
    return record_opening(runs, test_set, {"run": f"{run_folder.parent.name}/{run_folder.name}"})


def record_opening(folder: Path, test_set: str, record: Mapping[str, Plain]) -> int:
    """Note that a test set is opened.

    Args:
        folder: The folder of all runs.
        test_set: What tells it from others, such as a hash.
        record: Plain values about the run that opens it.

    Returns:
        How often it was opened from this folder, this time included.

    Raises:
        OutputError: The file cannot be written or holds other things.
    """
    path = folder / FILE
    entry = {"test_set": test_set, "opened": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **record}
    try:
        with path.open("a", encoding="utf-8") as file:  # a line is appended whole, by whichever process
            file.write(json.dumps(entry) + "\n")
        lines = path.read_text(encoding="utf-8").splitlines()
        return sum(json.loads(line)["test_set"] == test_set for line in lines if line)
    except OSError as error:
        raise OutputError(
            f"'{path}', which counts how often test sets were opened, cannot be written: "
            f"{error.strerror or error}. Check the folder."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"'{path}' should count how often test sets were opened, but holds something else. Move it away."
        ) from error
