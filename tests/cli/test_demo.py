from pathlib import Path

import pytest

from eoseg.cli import main
from eoseg.datasets.world import make_world


def test_the_demo_leaves_everything_in_one_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    world = tmp_path / "world"
    make_world(world, scenes=3, size=256, unseen_size=(150, 170))
    main(["demo", f"--data={world}", f"--runs={tmp_path / 'runs'}", "--epochs=1"])
    run = tmp_path / "runs" / "demo" / "latest"
    for name in ("model.ckpt", "map.tif", "report.html", "evaluation.json", "metrics.csv"):
        assert (run / name).stat().st_size > 0
    assert list(run.glob("wandb/offline-run-*"))
    page = (run / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/png;base64,") == 4  # image, reference, map and errors
    assert "IoU per class" in page
    told = capsys.readouterr().out
    for word in ("model.ckpt", "map.tif", "report.html", "Next: eoseg doctor"):
        assert word in told


@pytest.mark.parametrize("epochs", ["0", "-1"])
def test_no_epoch_at_all_is_refused(epochs: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", f"--epochs={epochs}"])
    assert "--epochs is 1 or more" in capsys.readouterr().err
