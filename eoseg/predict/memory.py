"""How much memory a network takes per pixel, and how the C library hands memory out."""

import ctypes
import logging
import sys
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eoseg.models.dispatch import DispatchMode

_logger = logging.getLogger(__name__)

PROBE_PX = 128
"""Height and width of the image that the memory of one pass is measured with."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


class _LiveBytes(DispatchMode):
    """Count the bytes of all tensors that are alive, and remember the most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._seen:
            self._seen.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._remove, key, storage.nbytes())

    def _remove(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


@torch.inference_mode()
def bytes_per_pixel(body: nn.Module, *, channels: int, stride: int, size: int = PROBE_PX) -> float:
    """How many bytes of activations one pass through a network takes per pixel, at most at one time.

    Measured by a pass over a small image, with every tensor counted from its making to its end. What
    grows faster than the image (an attention matrix that is kept whole) is underestimated.

    Args:
        body: Maps `(1, C, H, W)` to `(1, K, H, W)`, or to `(1, K)` for chips.
        channels: C, the number of bands, of all dates together.
        stride: Heights and widths are multiples of this.
        size: Height and width of the small image, rounded up to the stride.
    """
    size = -(-size // stride) * stride
    like = next(body.parameters(), torch.zeros(()))
    image = torch.zeros(1, channels, size, size).to(like).contiguous(memory_format=torch.channels_last)
    with _LiveBytes() as live:
        body(image)
    own: int = 2 * image.element_size() * channels  # raw and standardised values, which outlive the pass
    return float(live.peak / size**2 + own)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next pass instead of giving it back to the system.

    Each pass frees and takes hundreds of megabytes. By default glibc maps and unmaps such pieces, and the
    system clears each page again; kept, they cost some 10 to 15 % less processor time, in training as in
    prediction. All threads then share one arena: with one for each, what a reader frees is not taken by
    the network, and memory creeps up over thousands of tiles. No effect on other C libraries. Call it
    before the first large allocation.
    """
    library = _glibc()
    if library is None:
        return
    largest = 2**31 - 1
    library.mallopt(_M_MMAP_THRESHOLD, largest)
    library.mallopt(_M_TRIM_THRESHOLD, largest)
    library.mallopt(_M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Give what was freed so far back to the system. No effect on C libraries other than glibc."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        _ = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):
        _logger.debug("this C library is not glibc: its allocator is left as it is")
        return None
    return library
