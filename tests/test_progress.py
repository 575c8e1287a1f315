"""Progress counts pixels unless it says otherwise."""

from eoseg.progress import Progress


def test_pixels_are_counted_unless_said_otherwise() -> None:
    assert Progress(3, 7).unit == "pixels"
    assert Progress(3, 7, unit="tiles") != Progress(3, 7)
