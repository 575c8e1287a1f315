"""Which part of the work is a process's."""

import pytest

from eoseg.errors import ConfigError
from eoseg.predict.ranks import Rank, find_rank

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0"}


def test_a_process_alone_has_all_the_work() -> None:
    assert find_rank({}) == Rank(0, 1, 0)
    assert find_rank({"RANK": "3", "WORLD_SIZE": "8"}) == Rank()  # left over from something else


def test_launchers_tell_the_rank() -> None:
    assert find_rank(TORCHRUN) == Rank(3, 8, 1)
    assert find_rank(SRUN) == Rank(2, 4, 0)


def test_a_batch_script_is_one_process_whatever_the_job_has() -> None:
    assert find_rank({"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}) == Rank()


def test_torchrun_within_a_step_of_slurm_counts() -> None:
    assert find_rank(SRUN | TORCHRUN) == Rank(3, 8, 1)


@pytest.mark.parametrize("text", ["", "two", "-1"])
def test_a_broken_variable_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"srun started this process .* SLURM_PROCID is '"):
        find_rank(SRUN | {"SLURM_PROCID": text})


def test_a_rank_beyond_the_last_is_refused() -> None:
    with pytest.raises(ConfigError, match="the last 3; found 4"):
        find_rank(SRUN | {"SLURM_PROCID": "4"})
