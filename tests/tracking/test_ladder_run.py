from pathlib import Path

import numpy as np
import pytest
import wandb
from wandb_records import isolate_wandb, read_run

from eoseg.figures.pictures import png_bytes
from eoseg.tracking.ladder_run import log_ladder


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    isolate_wandb(monkeypatch, tmp_path)
    yield
    wandb.teardown()


def test_a_ladder_is_a_table_and_a_picture_in_the_group_of_its_runs(tmp_path: Path) -> None:
    chart = tmp_path / "change.png"
    chart.write_bytes(png_bytes(np.zeros((4, 4, 3), np.uint8)))
    log_ladder(
        tmp_path / "runs",
        "change-table",
        ["method", "oa"],
        [["forest", 0.9], ["net", None]],
        chart=chart,
        project="course",
        group="course-change",
    )
    folder = (tmp_path / "runs" / "change-table" / "latest").resolve()
    records = read_run(folder)
    run = next(record["run"] for record in records if record["type"] == "run")
    assert (run["project"], run["run_group"], run["tags"]) == ("course", "course-change", ["table"])
    (table,) = folder.glob("wandb/**/ladder*.table.json")
    assert '"forest"' in table.read_text()
    assert list(folder.glob("wandb/**/picture*.png"))
