"""`eoseg audit-labels` from a run folder to a list; that it finds wrong labels is in tests/evaluate."""

from pathlib import Path

import pyogrio
import pytest
import yaml
from wandb_records import isolate_wandb, read_run

from eoseg.cli import main
from eoseg.cli.audit_labels import main as audit_labels
from eoseg.errors import ConfigError, OutputError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A softmax regression on a table of two classes far apart, in which three labels are wrong."""
    folder = tmp_path_factory.mktemp("run")
    rows = ["x,y,label"]
    for number in range(120):
        kind = number % 2
        label = ("dry", "wet")[1 - kind if number in (10, 55, 91) else kind]
        rows.append(f"{10 * kind + number % 7 / 7:.3f},{10 * kind + number % 5 / 5:.3f},{label}")
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    table = {"path": str(folder / "rows.csv"), "classes": ["dry", "wet"], "label": "label"}
    data = {
        "class_path": "TableData",
        "init_args": {"table": table, "split": {"folds": 3, "method": "random"}},
    }
    model = {
        "class_path": "SegmentationTask",
        "init_args": {"arch": "nearest_neighbours", "network_args": {"neighbours": 9}},
    }
    config = {"data": data, "model": model, "trainer": {"max_epochs": 1, "accelerator": "cpu"}}
    (folder / "rows.yaml").write_text(yaml.safe_dump(config))
    for fold in range(3):
        named = [f"--run.name=fold{fold}", f"--data.init_args.split.fold={fold}", "--run.panels_every=0"]
        main(["fit", f"--config={folder / 'rows.yaml'}", f"--run.folder={folder}", "--no-wandb", *named])
    return folder


def test_the_wrong_labels_of_all_folds_are_listed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds, out = [str(run / f"fold{fold}" / "latest") for fold in range(3)], tmp_path / "suspects.gpkg"
    audit_labels("audit-labels", [*folds, "--out", str(out)])
    found = pyogrio.read_dataframe(out)
    assert sorted(found["place"]) == ["rows.csv@10", "rows.csv@55", "rows.csv@91"]
    assert set(found["split"]) == {"test"}
    told = capsys.readouterr().out
    assert "120 labels of rows judged; about" in told
    assert "Suspects: 3 rows." in told
    assert "Written:" in told
    with pytest.raises(OutputError, match="exists already"):
        audit_labels("audit-labels", [*folds, "--out", str(out)])
    audit_labels("audit-labels", [*folds, "--out", str(out), "--overwrite", "--count", "1"])
    assert len(pyogrio.read_dataframe(out)) == 1


def test_of_one_run_validation_and_test_labels_are_judged(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "suspects.gpkg")
    audit_labels("audit-labels", [str(run / "fold0" / "latest"), "--out", out, "--device", "cpu"])
    assert "80 labels of rows judged" in capsys.readouterr().out


def test_with_wandb_the_list_is_in_an_offline_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_wandb(monkeypatch, tmp_path)
    out = str(tmp_path / "suspects.gpkg")
    audit_labels("audit-labels", [str(run / "fold0" / "latest"), "--out", out, "--device", "cpu", "--wandb"])
    records = read_run((tmp_path / "runs" / "suspects-audit" / "latest").resolve())
    (logged,) = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert logged["labels/judged"] == 80
    assert logged["labels/suspects"] == len(pyogrio.read_dataframe(out))
    kinds = {record["artifact"]["type"] for record in records if record["type"] == "artifact"}
    assert {"model", "label-audit"} <= kinds
    with pytest.raises(ConfigError, match="--project p is for --wandb"):
        audit_labels("audit-labels", [str(run), "--out", str(tmp_path / "b.gpkg"), "--project", "p"])


def test_what_is_no_run_or_no_geopackage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not the folder of a finished run"):
        audit_labels("audit-labels", [str(tmp_path), "--out", str(tmp_path / "a.gpkg")])
    with pytest.raises(ConfigError, match=r"written as .gpkg; found|written as .gpkg \(GeoPackage\); found"):
        audit_labels("audit-labels", [str(tmp_path), "--out", str(tmp_path / "a.csv")])
