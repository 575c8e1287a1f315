"""W&B's own objects of a specification, without its server."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from eoseg.errors import ConfigError, OutputError
from eoseg.tracking.dashboard import specification
from eoseg.tracking.publish import link_model, publish, report_of, workspace_of

PLACE = "someone/fields"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B's objects ask the server for the number of a project; it is not known here."""
    interface = pytest.importorskip("wandb_workspaces.reports.v2.interface")
    monkeypatch.setattr(interface, "_get_api", lambda: None)
    monkeypatch.setattr(interface, "execute_graphql", lambda *asked, **more: {"project": {"internalId": "1"}})


def sent(thing: Any) -> Any:
    """What would be sent."""
    return json.loads(json.dumps(thing._to_model().model_dump(by_alias=True, mode="json"), default=str))


@pytest.mark.parametrize("task", ["segmentation", "classification", "change", "series", "regression"])
def test_a_workspace_has_every_panel(task: str) -> None:
    pytest.importorskip("wandb_workspaces")
    spec = specification(task)
    made = sent(workspace_of(spec, PLACE))
    assert (made["entity"], made["project"], made["displayName"]) == ("someone", "fields", f"eoseg {task}")
    sections = made["spec"]["section"]["panelBankConfig"]["sections"]
    expected = spec["workspace"]["sections"]
    assert [section["name"] for section in sections] == [section["name"] for section in expected]
    for section, wanted in zip(sections, expected, strict=True):
        assert len(section["panels"]) == len(wanted["panels"])


def test_panels_ask_for_the_names_of_the_specification() -> None:
    pytest.importorskip("wandb_workspaces")
    spec = specification("segmentation", searched=["model.init_args.loss"])
    text = json.dumps(sent(workspace_of(spec, PLACE)))
    for name in ("val/miou", "val/iou/.*", "val/chips", "test/table", "wandb/confusion_matrix/v1"):
        assert name in text, name
    assert "val/confusion_table" in text
    assert (
        '"config:model.value.init_args.loss"' in text
    )  # as W&B has what is below a key of the configuration
    assert '"xAxis": "trainer/global_step"' in text
    assert "Parallel Coordinates Plot" in text
    assert "Parameter Importance" in text


@pytest.mark.usefixtures("offline")
def test_a_report_has_the_sections_over_a_table_of_runs() -> None:
    spec = specification("segmentation")
    made = sent(report_of(spec, PLACE))
    text = json.dumps(made)
    for section in spec["workspace"]["sections"]:
        assert section["name"] in text
    assert text.count('"type": "panel-grid"') == len(spec["workspace"]["sections"])
    assert '"summary:val/miou"' in text
    assert '"config:model.value.init_args.optimizer.lr"' in text
    assert made["displayName"] == "eoseg: segmentation"


class Saved:
    """Takes the place of W&B's objects."""

    def __init__(self, url: str, *, fails: bool = False) -> None:
        self.url, self.fails = url, fails

    def save(self) -> None:
        if self.fails:
            raise RuntimeError("permission\ndenied")


def test_publishing_gives_both_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eoseg.tracking.publish.workspace_of", lambda *asked: Saved("https://w"))
    monkeypatch.setattr("eoseg.tracking.publish.report_of", lambda *asked: Saved("https://r"))
    assert publish(specification("change"), PLACE) == ["https://w", "https://r"]


def test_what_wandb_refuses_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eoseg.tracking.publish.workspace_of", lambda *asked: Saved("", fails=True))
    monkeypatch.setattr("eoseg.tracking.publish.report_of", lambda *asked: Saved(""))
    with pytest.raises(
        OutputError, match=r"did not take the dashboard \(permission denied\)\. Check the login"
    ):
        publish(specification("change"), PLACE)


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(ConfigError, match=r'pip install "eoseg\[dashboard\]"'):
        workspace_of(specification("change"), PLACE)


def test_a_specification_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="version 1 was expected; found 2"):
        workspace_of({**specification("change"), "version": 2}, PLACE)


class Api:
    linked: list[tuple[str, str]] = []  # noqa: RUF012

    def artifact(self, name: str) -> "Api":
        if "gone" in name:
            raise ValueError("not found")
        self.name = name
        return self

    def link(self, target: str) -> None:
        self.linked.append((self.name, target))


def test_an_uploaded_run_is_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wandb.Api", Api)
    (tmp_path / "wandb_run_id.txt").write_text("abc\n")
    assert link_model(tmp_path, PLACE, "land-cover") == "wandb-registry-model/land-cover"
    assert Api.linked == [("someone/fields/model-abc:best", "wandb-registry-model/land-cover")]
    (tmp_path / "wandb_run_id.txt").write_text("gone\n")
    with pytest.raises(OutputError, match=r"\(not found\)\. Upload the run first \(wandb sync"):
        link_model(tmp_path, PLACE, "land-cover")


def test_a_run_without_wandb_cannot_be_linked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was not logged to W&B"):
        link_model(tmp_path, PLACE, "land-cover")
