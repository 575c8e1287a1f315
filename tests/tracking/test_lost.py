from pathlib import Path
from types import SimpleNamespace

from eoseg.errors import DataError, LossError
from eoseg.tracking.lost import LostSamples


def test_the_samples_of_a_lost_training_are_named_in_a_file(tmp_path: Path) -> None:
    trainer, error = SimpleNamespace(global_rank=2), LossError("The loss is nan.", samples=["a@0,0", "b@8,0"])
    LostSamples(tmp_path).on_exception(trainer, None, error)  # type: ignore[arg-type]
    path = tmp_path / "lost_samples_2.txt"
    assert path.read_text() == "a@0,0\nb@8,0\n"
    assert str(error) == f"The loss is nan. The 2 chips of the batch are named in {path}."


def test_other_errors_leave_nothing(tmp_path: Path) -> None:
    LostSamples(tmp_path).on_exception(SimpleNamespace(global_rank=0), None, DataError("x"))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
