"""What differs between two images of a page, compressed.

The images are XORed: applied to either of them a delta gives the other, which is why a history
needs no base to start from and walks backwards from the present. Images are normalised (see
`storage.pages`) before they are compared: gaps would be noise, and come back as zeros after
a crash.
"""

from __future__ import annotations

import zlib

from storage.limits import PAGE_SIZE

_WINDOW = -12
"""Raw deflate with a window of one page: without zlib's frame, which costs 6 bytes a delta."""


def delta(old: bytes, new: bytes) -> bytes:
    """The difference of two pages; `ZERO` stands for a page that is not there."""
    mixed = int.from_bytes(old, "little") ^ int.from_bytes(new, "little")
    # Without the zeros behind the last difference: a leaf fills from its end.
    return zlib.compress(mixed.to_bytes((mixed.bit_length() + 7) // 8, "little"), 1, _WINDOW)


def apply(difference: bytes, page: bytes) -> bytes:
    """The other of the two pages that `difference` was made from."""
    return to_page(unpack(difference) ^ int.from_bytes(page, "little"))


def unpack(difference: bytes | memoryview) -> int:
    """A delta as a number, to be XORed with other deltas and pages."""
    return int.from_bytes(zlib.decompress(difference, _WINDOW, PAGE_SIZE), "little")


def to_page(number: int) -> bytes:
    """The page that `number` stands for."""
    return number.to_bytes(PAGE_SIZE, "little")
