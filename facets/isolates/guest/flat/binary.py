"""Numbers, names and sections of WebAssembly's binary format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def unsigned(data: bytes, at: int) -> tuple[int, int]:
    """A LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def signed(data: bytes, at: int) -> tuple[int, int]:
    """A signed LEB128 number and where it ends."""
    value, end = unsigned(data, at)
    bits = 7 * (end - at)
    return (value - (1 << bits) if data[end - 1] & 0x40 else value), end


def text(data: bytes, at: int) -> tuple[str, int]:
    """A name and where it ends."""
    size, at = unsigned(data, at)
    return data[at : at + size].decode(), at + size


def sections(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Each section's id, and where its content starts and ends."""
    while at < end:
        size, start = unsigned(data, at + 1)
        yield data[at], start, start + size
        at = start + size


def put_unsigned(value: int) -> bytes:
    """The shortest LEB128 of a number."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def put_signed(value: int) -> bytes:
    """The shortest signed LEB128 of a number."""
    made = bytearray()
    while not -64 <= value < 64:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value & 0x7F)
    return bytes(made)


def put_text(name: str) -> bytes:
    """A name with its length."""
    encoded = name.encode()
    return put_unsigned(len(encoded)) + encoded


def put_all(items: Iterable[bytes]) -> bytes:
    """A vector."""
    listed = list(items)
    return put_unsigned(len(listed)) + b"".join(listed)


def put_section(number: int, content: bytes) -> bytes:
    """A section."""
    return bytes([number]) + put_unsigned(len(content)) + content
