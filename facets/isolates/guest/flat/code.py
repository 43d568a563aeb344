"""Function bodies: everything that holds no index is kept as it is, the rest is taken apart."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .binary import put_signed, put_unsigned, signed, unsigned

CALL, INDIRECT, TAIL, TAIL_INDIRECT = 0x10, 0x11, 0x12, 0x13
GET, SET, TABLE_GET, TABLE_SET, REF = 0x23, 0x24, 0x25, 0x26, 0xD2
CONST: Final = {0x7F: 0x41, 0x7E: 0x42}
"""How a constant of a type is written."""
I32_CONST: Final = b"\x41"
END: Final = b"\x0b"
_BLOCKS, _BR_TABLE, _SELECT, MORE = (0x02, 0x03, 0x04), 0x0E, 0x1C, 0xFC
_TABLE_GROW, _TABLE_FILL = 15, 17

_LEB = rb"[\x80-\xff]*+[\x00-\x7f]"
_INERT: Final = re.compile(
    rb"(?:[\x00\x01\x05\x0b\x0f\x1a\x1b\x45-\xc4\xd1]"
    rb"|[\x0c\x0d\x20-\x22\x41\x42]" + _LEB +  # branches, locals, constants
    rb"|[\x02-\x04][\x40\x6f\x70\x7b-\x7f]"  # blocks of no or one result
    rb"|[\x28-\x3e][\x00-\x3f]" + _LEB +  # memory, by alignment and offset
    rb"|[\x3f\x40]\x00|\xd0[\x6f\x70]"
    rb"|\x43[\x00-\xff]{4}|\x44[\x00-\xff]{8}"
    rb"|\xfc(?:[\x00-\x07]|\x0a\x00\x00|\x0b\x00)"  # saturating, memory.copy and fill
    rb")*+"
)  # fmt: skip


class Op(NamedTuple):
    """An instruction with an index in it, or two: a type and a table."""

    code: int
    about: int
    """The function, variable, table or type; of what begins with 0xfc, what it does."""
    table: int = 0
    """The table of a call or of what begins with 0xfc."""


Body = list[bytes | Op]


def parse(data: bytes, at: int, end: int) -> Body:
    """A function's body without its size: local variables, then instructions."""
    start, body = at, Body()
    count, at = unsigned(data, at)
    for _ in range(count):
        at = unsigned(data, at)[1] + 1
    while at < end:
        at = _past_inert(data, at, end)
        if at < end and data[at] in (_BR_TABLE, _SELECT):
            at = _past_list(data, at)
        elif at < end:
            body.append(data[start:at])
            op, at = _op(data, at)
            body.append(op)
            start = at
    body.append(data[start:at])
    return body


def _past_inert(data: bytes, at: int, end: int) -> int:
    found = _INERT.match(data, at, end)  # it may be empty
    return found.end() if found else at


def _past_list(data: bytes, at: int) -> int:
    count, after = unsigned(data, at + 1)
    for _ in range(count + 1 if data[at] == _BR_TABLE else count):
        after = unsigned(data, after)[1]
    return after


def _op(data: bytes, at: int) -> tuple[Op, int]:
    code = data[at]
    if code in (INDIRECT, TAIL_INDIRECT):
        kind, after = unsigned(data, at + 1)
        table, after = unsigned(data, after)
        return Op(code, kind, table), after
    if code in (CALL, TAIL, GET, SET, TABLE_GET, TABLE_SET, REF):
        index, after = unsigned(data, at + 1)
        return Op(code, index), after
    if code in _BLOCKS:
        index, after = signed(data, at + 1)
        if index >= 0:
            return Op(code, index), after
    if code == MORE:
        more, after = unsigned(data, at + 1)
        if _TABLE_GROW <= more <= _TABLE_FILL:
            table, after = unsigned(data, after)
            return Op(code, more, table), after
    raise ValueError(f"an instruction {data[at : at + 8].hex()} that merging does not know")


def put(op: Op) -> bytes:
    """An instruction, with the indices it has now."""
    if op.code in _BLOCKS:
        return bytes([op.code]) + put_signed(op.about)
    made = bytes([op.code]) + put_unsigned(op.about)
    if op.code in (INDIRECT, TAIL_INDIRECT, MORE):
        made += put_unsigned(op.table)
    return made


def constant(value: int) -> bytes:
    """`i32.const`."""
    return I32_CONST + put_signed(value)


def is_type(op: Op) -> bool:
    """Whether the index is that of a type."""
    return op.code in (INDIRECT, TAIL_INDIRECT, *_BLOCKS)


def is_function(op: Op) -> bool:
    """Whether the index is that of a function."""
    return op.code in (CALL, TAIL, REF)


def is_table(op: Op) -> bool:
    """Whether the index itself is that of a table."""
    return op.code in (TABLE_GET, TABLE_SET)
