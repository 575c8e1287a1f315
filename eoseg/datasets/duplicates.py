"""Near-duplicate chips: the same picture brighter, darker, recompressed, turned or mirrored.

A perceptual hash (the signs of the lowest frequencies of a cosine transform, as in pHash) finds candidates;
the
correlation of what remains without the coarse shapes decides, so that plain or smoothly shaded chips, which
all
look alike to a hash, do not count.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SIDES = (32, 16, 8)
"""Pixels along a side of the picture that is hashed: the most that a chip has."""

_LOW = 8
"""Frequencies along each axis that make the hash: 64 bits less the mean."""

_MOST_BITS = 12
"""Bits of 63 in which two hashes of one picture may differ; of two pictures it is 31.5 on average."""

_LEAST_CORRELATION = 0.9
"""Of the fine structure of two chips that count as one picture."""

_LEAST_TEXTURE = 0.02
"""Standard deviation of the fine structure over that of the chip, below which a chip is plain."""

_LEAST_SEEN = 0.25
"""Share of a chip away from gaps, below which it is not compared."""

_ALL = 0.999

_BLOCK = 4096
"""Chips of one split that are compared at once."""

_MOST_CANDIDATES = 200_000


@dataclass(frozen=True, eq=False)
class Signatures:
    """What is kept of chips."""

    low: NDArray[np.float32]
    """Low frequencies `(n, 8, 8)`, without the mean."""
    fine: NDArray[np.float16]
    """Fine structure `(n, 32, 32)` of length 1, in the middle; zeros where there is none."""

    def __len__(self) -> int:
        return len(self.low)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two chips that show one picture."""

    first: int
    second: int
    correlation: float


def signatures(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> Signatures:
    """Describe chips, whatever their bands and their brightness.

    Args:
        image: `(n, C, h, w)`, raw values. Dates of pairs and series are bands here.
        valid: `(n, h, w)`.
    """
    count = valid.sum(axis=(1, 2), dtype=np.float64)[:, None].clip(min=1)  # (n, 1)
    inside = valid[:, None]
    mean = np.where(inside, image, 0).sum(axis=(2, 3)) / count  # (n, C)
    centred = np.where(inside, image - mean[..., None, None], 0)
    scale = np.sqrt((centred**2).sum(axis=(2, 3)) / count)  # (n, C)
    standard = centred / np.where(scale > 1e-9, scale, np.inf)[..., None, None]
    side = next((side for side in _SIDES if min(image.shape[2:]) >= side), _SIDES[-1])
    grey = _shrink(standard.mean(axis=1, dtype=np.float32), side)  # (n, side, side)
    basis = _cosines(side)
    low = np.einsum("uh,nhw,vw->nuv", basis, grey, basis)
    low[:, 0, 0] = 0
    # The border of what has no value is no structure of the picture.
    whole_pixels = (_shrink(valid.astype(np.float32), side) > _ALL).astype(np.float32)
    known = _smooth(whole_pixels) > _ALL
    fine = np.where(known, grey - _smooth(grey), 0)
    seen = known.mean(axis=(1, 2), keepdims=True)
    fine = np.where(known, fine - fine.mean(axis=(1, 2), keepdims=True) / np.maximum(seen, 1e-9), 0)
    length = np.sqrt((fine**2).sum(axis=(1, 2), keepdims=True))
    whole = np.sqrt((grey**2).sum(axis=(1, 2), keepdims=True))
    is_plain = (length <= _LEAST_TEXTURE * whole) | (whole < 1e-6) | (seen < _LEAST_SEEN)
    fine = np.where(is_plain, 0, fine / np.where(is_plain, 1, length))
    around = (_SIDES[0] - side) // 2
    padded = np.pad(fine, ((0, 0), (around, around), (around, around)))
    return Signatures(low.astype(np.float32), padded.astype(np.float16))


def join(parts: list[Signatures]) -> Signatures:
    """Those of several batches, in their order."""
    if not parts:
        return Signatures(
            np.zeros((0, _LOW, _LOW), np.float32), np.zeros((0, _SIDES[0], _SIDES[0]), np.float16)
        )
    return Signatures(np.concatenate([p.low for p in parts]), np.concatenate([p.fine for p in parts]))


def find_duplicates(first: Signatures, second: Signatures) -> list[Duplicate]:
    """Pairs of chips of two splits that show one picture, also turned or mirrored; the surest first."""
    best: dict[tuple[int, int], float] = {}
    textured = np.flatnonzero(first.fine.any(axis=(1, 2))), np.flatnonzero(second.fine.any(axis=(1, 2)))
    hashes = _bits(first.low[textured[0]])
    for transposed in (False, True):
        for down, right in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            turned = _turn_low(second.low[textured[1]], transposed, down, right)
            pairs = _candidates(hashes, _bits(turned))  # (p, 2)
            for some in np.array_split(pairs, max(1, -(-len(pairs) // _BLOCK))):
                one, other = textured[0][some[:, 0]], textured[1][some[:, 1]]
                fine = _turn(second.fine[other].astype(np.float32), transposed, down, right)
                found = (first.fine[one].astype(np.float32) * fine).sum(axis=(1, 2))
                for place in np.flatnonzero(found >= _LEAST_CORRELATION):
                    pair = int(one[place]), int(other[place])
                    best[pair] = max(float(found[place]), best.get(pair, 0.0))
    held = [Duplicate(one, other, found) for (one, other), found in best.items()]
    return sorted(held, key=lambda pair: (-round(pair.correlation, 4), pair.first, pair.second))


def _candidates(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pairs whose hashes differ in few bits, `(p, 2)`."""
    found, count = [np.zeros((0, 2), np.int64)], 0
    for start in range(0, len(one), _BLOCK):
        differ = np.bitwise_count(one[start : start + _BLOCK, None] ^ other[None])  # (m, n)
        pairs = np.argwhere(differ <= _MOST_BITS)
        found.append(pairs + np.array([start, 0]))
        count += len(pairs)
        if count > _MOST_CANDIDATES:
            break
    return np.concatenate(found)[:_MOST_CANDIDATES]


def _bits(low: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Signs of the frequencies but the mean, `(n, 8, 8)` to `(n,)`."""
    signs = low.reshape(len(low), _LOW**2)[:, 1:] > 0
    return np.asarray((signs.astype(np.uint64) << np.arange(signs.shape[1], dtype=np.uint64)).sum(axis=1))


def _turn_low(low: NDArray[np.float32], transposed: bool, down: int, right: int) -> NDArray[np.float32]:
    """Low frequencies of the turned picture: mirroring changes the sign of the odd ones."""
    odd = np.arange(_LOW) % 2 == 1
    signs = np.where(odd, down, 1)[:, None] * np.where(odd, right, 1)[None]
    turned = low.transpose(0, 2, 1) if transposed else low
    return np.asarray(turned * signs, np.float32)


def _turn(picture: NDArray[np.float32], transposed: bool, down: int, right: int) -> NDArray[np.float32]:
    """Pictures `(n, 32, 32)`, transposed first and mirrored then."""
    turned = picture.transpose(0, 2, 1) if transposed else picture
    return turned[:, ::down, ::right]


def _cosines(side: int) -> NDArray[np.float32]:
    """The lowest rows of the cosine transform (DCT-II), `(8, side)`."""
    angle = np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(side)[None] + 1) / (2 * side)
    return np.cos(angle).astype(np.float32)


def _shrink(grey: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Bring pictures `(n, h, w)` to `(n, side, side)`: means over parts of a pixel's size."""
    for axis in (1, 2):
        if grey.shape[axis] < side:  # chips of less than 8 px
            grey = grey.repeat(-(-side // grey.shape[axis]), axis=axis)
        length = grey.shape[axis]
        sums = np.concatenate(
            [np.zeros_like(grey.take([0], axis)), np.cumsum(grey, axis=axis, dtype=np.float32)], axis=axis
        )
        edges = np.linspace(0, length, side + 1)
        whole = np.floor(edges).astype(int).clip(max=length - 1)
        shape = [-1 if a == axis else 1 for a in range(3)]
        part = (edges - whole).astype(np.float32).reshape(shape)
        at = sums.take(whole, axis) * (1 - part) + sums.take(whole + 1, axis) * part
        grey = np.diff(at, axis=axis) * np.float32(side / length)
    return grey


def _smooth(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 5 x 5 pixels; slopes go on beyond the border, so that they are no structure."""
    for axis in (1, 2):
        padding = [(2, 2) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(grey, padding, mode="reflect", reflect_type="odd")
        length = grey.shape[axis]
        parts = [padded.take(range(k, k + length), axis) for k in range(5)]
        grey = np.mean(parts, axis=0, dtype=np.float32)
    return grey
