import pytest
from task_worlds import make_schema

from eoseg.errors import ConfigError
from eoseg.tasks.needs import require_chip_size, require_labels, require_time


@pytest.mark.parametrize(("size", "nearest"), [(36, "32 or 64"), (8, "32")])
def test_chips_are_multiples_of_the_stride(size: int, nearest: str) -> None:
    require_chip_size(64, 32)
    with pytest.raises(ConfigError, match=f"chip_size {size} does not suit .* Set chip_size to {nearest}."):
        require_chip_size(size, 32)


def test_dates_are_those_of_the_task() -> None:
    require_time("SegmentationTask", "segmentation", make_schema())
    with pytest.raises(
        ConfigError, match="ChangeTask learns from pairs .*; found scenes of one date. Use Segm"
    ):
        require_time("ChangeTask", "change", make_schema())


def test_labels_are_there() -> None:
    require_labels("SegmentationTask", make_schema())
    with pytest.raises(ConfigError, match="learns from labels, but the data have none"):
        require_labels("SegmentationTask", make_schema(classes=()))
