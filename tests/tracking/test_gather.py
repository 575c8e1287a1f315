from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from eoseg.tracking.gather import at_rank_zero, is_shared, of_all


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A group of one process, through which objects go as through one of many.

    tests/test_board_runs.py has two processes.
    """
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_alone_everything_is_at_hand() -> None:
    assert not is_shared()
    assert of_all([1, 2]) == at_rank_zero([1, 2]) == [1, 2]


@pytest.mark.usefixtures("group")
def test_objects_come_back_from_the_group() -> None:
    assert is_shared()
    assert of_all(["a", ("b", 2)]) == ["a", ("b", 2)]
    assert at_rank_zero([{"c": 1}]) == [{"c": 1}]
    assert at_rank_zero([]) == []
