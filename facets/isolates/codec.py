"""Values across the boundary of an isolate: JSON with tags, and attachments behind it.

    FRAME   HEADER, or HEADER "\\n" BLOB
    HEADER  JSON; a dict with the key "$" is a tagged value: {"$": [TAG, ...]}
    BLOB    the attachments end to end; offsets and lengths count code points

    t tuple   e set   f frozenset   d dict with other keys than strings   R Rows   w Row
    i large int (hex)   n nan, inf   c complex   D Decimal   u UUID   o record
    dt datetime   da date   ti time   td timedelta   N, F, S arrays (see `science.arrays`)
    b bytes, B bytearray (attached, if they are ASCII)   x bytes, X bytearray (attached, as base64:
    UTF-8 of any others takes an interpreter ten times as long)   s text over 4 KiB (attached)
    r capability of the host   g export of the guest (both need a `References`; `grants`)

An enum travels as its value, a subclass of a builtin as that builtin, a dataclass, struct or model
as a `Record`. Anything else is NotTransferable, which says where it stands. Nothing that a guest
sends is unpickled or evaluated; `lift` raises ValueError for what this format does not allow.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
from binascii import a2b_base64, b2a_base64
from collections import Counter, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Protocol, final
from uuid import UUID

import msgspec

from facets.capabilities.reference import is_capability
from facets.isolates import places
from facets.isolates.errors import NotTransferable
from facets.isolates.science import arrays
from storage.rows import Row, Rows, row_type

MAX_DEPTH = 128
SAFE = 2**53
"""Integers from here on are tagged on their way in: a guest's JSON may have only doubles."""
LONG = 4096
"""Text longer than this is attached: JSON would escape and scan it twice."""
COLLISIONS = 1 << 16
"""Comparisons of unequal values with equal hashes that one frame may cost, about. A guest can
choose numbers for their hashes, and the host takes seconds to make a set of thousands with one."""
SHAPES = 256
"""Rows of so many different columns may be in one frame: each takes a class of its own."""
PAUSE = 256
"""Containers that are lifted in some tenths of a millisecond."""
_FEW = 16
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading a message raises that is not what it should be; its sender has lied."""
_SINGLE = frozenset({bool, type(None)})
_SIMPLE = frozenset({bool, type(None), str, int, float})
_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


@final
class Record:
    """The fields of an object whose class exists only on the other side. Read-only.

    `record.x` is a field and `kind_of(record)` the name of the class it had.
    """

    __slots__ = ("_fields", "_kind")
    _fields: dict[str, Any]
    _kind: str

    def __init__(self, kind: str, fields: dict[str, Any]) -> None:
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_fields", fields)

    def __getattr__(self, name: str) -> Any:
        try:
            return object.__getattribute__(self, "_fields")[name]
        except KeyError:
            raise AttributeError(f"this {self._kind} has no field {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a record is read-only: {name}")

    def asdict(self) -> dict[str, Any]:
        """The fields, as a new dict."""
        return dict(self._fields)

    def lower(self, blob: Blob, depth: int) -> Any:
        """The record as JSON and attachments."""
        return {"$": ["o", self._kind, _fields(self._fields, blob, depth)]}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record):
            return (self._kind, self._fields) == (other._kind, other._fields)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self._kind}({', '.join(f'{k}={v!r}' for k, v in self._fields.items())})"

    def __reduce__(self) -> tuple[type[Record], tuple[str, dict[str, Any]]]:
        return Record, (self._kind, self._fields)


class References(Protocol):
    """What values that travel by reference become, and what references from the guest mean."""

    def grant(self, value: object) -> dict[str, Any] | None:
        """The tagged value that stands for this one; None if it is mere data."""

    def take_back(self, mark: int) -> None:
        """Nothing that was granted since `mark` is sent after all."""

    @property
    def mark(self) -> int:
        """Grants so far."""

    def granted(self, tagged: list[Any]) -> object:
        """What the guest means by an `r`; ValueError if it was not given that."""

    def exported(self, tagged: list[Any]) -> object:
        """What a `g` of the guest stands for; ValueError if it is malformed."""


class Blob:
    """The attachments of one frame."""

    __slots__ = ("arrays", "left", "parts", "pause", "references", "size")

    def __init__(
        self,
        references: References | None = None,
        arrays: bool = False,
        pause: Callable[[], None] | None = None,
        left: int = 0,
    ) -> None:
        self.left = left
        """Containers to lower before `pause` is called, again and again; if 0, it never is."""
        self.pause = pause
        self.arrays = arrays
        """Whether the other side knows arrays and data frames."""
        self.parts: list[str | bytes] = []
        self.size = 0
        self.references = references
        """None where only data may cross."""

    def attach(self, text: str | bytes, tag: str) -> dict[str, Any]:
        """Append text, or bytes of ASCII; the tagged value that stands for it."""
        at = self.size
        self.size += len(text)
        self.parts.append(text)
        return {"$": [tag, at, len(text)]}

    def text(self, text: str) -> Any:
        """Attach `text`, whatever its length, if it can be."""
        try:
            text.encode()
        except UnicodeEncodeError:  # lone surrogates cross only as escapes, in the header
            return text
        return self.attach(text, "s")


class Tail(str):
    """The attachments of a frame that came in, and what references in it mean."""

    __slots__ = ("collisions", "left", "pause", "references", "shapes")
    references: References | None
    collisions: int
    shapes: set[tuple[str, ...]]
    left: int
    """Containers to lift before `pause` is called; if it is 0 at first, it never is."""
    pause: Callable[[], None] | None


class _Refused(Exception):
    pass


def raw(value: object) -> bytes:
    """A lowered value as JSON; in a `msgspec.Raw` it may stand for itself in a header."""
    try:
        return _to_json(value)
    except (UnicodeError, ValueError):  # a lone surrogate, which JSON can only escape
        return json.dumps(value, separators=(",", ":")).encode()


def pack(header: object, blob: Blob | None = None) -> bytes:
    """The frame of a lowered header and its attachments."""
    data = raw(header)
    if blob is None or not blob.parts:
        return data
    parts = [part if type(part) is bytes else part.encode() for part in blob.parts]  # type: ignore[union-attr]
    return b"".join((data, b"\n", *parts))


def unpack(
    frame: bytes, references: References | None = None, pause: Callable[[], None] | None = None
) -> tuple[Any, Tail | None]:
    """Header and attachments of a frame; ValueError if it is none.

    The attachments are None if no value in the header is tagged; there is nothing to lift then.
    `pause` is called again and again while values are lifted.
    """
    head, _, tail = frame.partition(b"\n")
    try:
        header = _from_json(head)
    except (msgspec.DecodeError, RecursionError):
        header = _unpack_slowly(head)
    if b'"$"' not in head:
        return header, None
    attached = Tail(tail.decode())
    attached.references = references
    attached.collisions, attached.shapes = 0, set()
    attached.left, attached.pause = 0 if pause is None else PAUSE, pause
    return header, attached


def _unpack_slowly(head: bytes) -> Any:
    """For lone surrogates, which msgspec refuses."""
    try:
        return json.loads(head)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def lower(value: object, blob: Blob, what: str = "value") -> Any:
    """`value` as JSON and attachments; NotTransferable says what cannot cross, and where."""
    references = blob.references
    mark = 0 if references is None else references.mark
    try:
        return _lower(value, blob, 0)
    except _Refused as refused:
        if references is not None:
            references.take_back(mark)
        probe = None if references is None else _Probe()
        path, reason = _locate(value, what, 0, Blob(probe, blob.arrays)) or (what, str(refused))
    raise NotTransferable(
        f"{path}: {reason}",
        hint="pass plain data: numbers, text, bytes, containers, dates, dataclasses",
        path=path,
    )


def _lower(v: Any, blob: Blob, depth: int) -> Any:
    kind = type(v)
    if kind is str:
        return v if len(v) <= LONG else blob.text(v)
    if kind is int:
        return v if -SAFE < v < SAFE else {"$": ["i", hex(v)]}
    if kind is float:
        return v if v - v == 0.0 else {"$": ["n", repr(v)]}
    if kind in _SINGLE:
        return v
    make = _LOWER.get(kind) or _other(v)
    blob.left -= 1
    if not blob.left:
        _pause(blob)
    if depth >= MAX_DEPTH:
        raise _Refused(f"nested deeper than {MAX_DEPTH}")
    return make(v, blob, depth + 1)


def _items(v: Iterable[Any], blob: Blob, depth: int) -> list[Any]:
    return [
        x
        if (t := type(x)) in _SINGLE
        or (t is int and -SAFE < x < SAFE)
        or (t is str and len(x) <= LONG)
        else _lower(x, blob, depth)
        for x in v
    ]


def _dict(v: dict[Any, Any], blob: Blob, depth: int) -> Any:
    if "$" not in v and all(type(k) is str for k in v):
        return _fields(v, blob, depth)
    pairs = [[_lower(k, blob, depth), _lower(x, blob, depth)] for k, x in v.items()]
    return {"$": ["d", pairs]}


def _fields(v: dict[str, Any], blob: Blob, depth: int) -> dict[str, Any]:
    return {k: x if type(x) in _SINGLE else _lower(x, blob, depth) for k, x in v.items()}


def _rows(v: Rows, blob: Blob, depth: int) -> Any:
    rows = [_items(row, blob, depth + 1) for row in v._values]
    return {"$": ["R", list(v.columns), rows, v.changes]}


def _row(v: Row, blob: Blob, depth: int) -> Any:
    return {"$": ["w", list(v._columns), _items(v, blob, depth)]}


def _object(v: Any, blob: Blob, depth: int) -> Any:
    return {"$": ["o", type(v).__name__, _fields(places.fields(v) or {}, blob, depth)]}


def _scientific(v: Any, blob: Blob, depth: int) -> Any:
    parts = arrays.take_apart(v) if blob.arrays else None
    if parts is None:
        raise _Refused(f"{type(v).__name__} cannot cross the boundary of this isolate")
    if parts[0] == "=":
        return _lower(parts[1], blob, depth)
    return {"$": [parts[0], *(_lower(part, blob, depth) for part in parts[1:])]}


_Lower = Callable[[Any, Blob, int], Any]


def _tagged(tag: str, text: Callable[[Any], Any]) -> _Lower:
    return lambda v, blob, depth: {"$": [tag, text(v)]}


def _listed(tag: str) -> _Lower:
    return lambda v, blob, depth: {"$": [tag, _items(v, blob, depth)]}


def _bytes(v: bytes, blob: Blob, depth: int) -> Any:
    if v.isascii():
        return blob.attach(v, "b")
    return blob.attach(b2a_base64(v, newline=False), "x")


def _bytearray(v: bytearray, blob: Blob, depth: int) -> Any:
    if v.isascii():
        return blob.attach(bytes(v), "B")
    return blob.attach(b2a_base64(v, newline=False), "X")


def _view(v: memoryview, blob: Blob, depth: int) -> Any:
    data = v if v.c_contiguous else v.tobytes()
    return blob.attach(b2a_base64(data, newline=False), "x")


def _as(base: Callable[[Any], Any]) -> _Lower:
    return lambda v, blob, depth: _lower(base(v), blob, depth)


_LOWER: dict[type, _Lower] = {
    list: _items,
    dict: _dict,
    tuple: _listed("t"),
    set: _listed("e"),
    frozenset: _listed("f"),
    bytes: _bytes,
    bytearray: _bytearray,
    memoryview: _view,
    dt.datetime: _tagged("dt", dt.datetime.isoformat),
    dt.date: _tagged("da", dt.date.isoformat),
    dt.time: _tagged("ti", dt.time.isoformat),
    dt.timedelta: _tagged("td", lambda v: [v.days, v.seconds, v.microseconds]),
    Decimal: _tagged("D", str),
    UUID: _tagged("u", str),
    complex: _tagged("c", lambda v: [repr(v.real), repr(v.imag)]),
    deque: _items,
    Rows: _rows,
    Record: lambda v, blob, depth: v.lower(blob, depth),
}
_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__), (int, int.__int__), (float, float.__float__), (dict, dict), (list, list),
    (set, set), (frozenset, frozenset), (bytes, bytes), (deque, list),
)  # fmt: skip


def _other(v: object) -> _Lower:
    """How to lower a value whose class is not exactly one of those in the table."""
    if is_capability(v):
        return _reference
    if isinstance(v, enum.Enum):
        return _as(lambda member: member.value)
    if isinstance(v, Row):
        return _row
    if isinstance(v, tuple):
        return _LOWER[tuple]
    for base, plain in _BASES:
        if isinstance(v, base):
            return _as(plain)
    if arrays.is_ours(v):
        return _scientific
    if places.fields(v) is not None:
        return _object
    name = f"the class {v.__name__}" if isinstance(v, type) else type(v).__name__
    raise _Refused(f"{name} cannot cross the boundary of an isolate")


def _reference(v: object, blob: Blob, depth: int) -> Any:
    tagged = None if blob.references is None else blob.references.grant(v)
    if tagged is None:
        raise _Refused("a capability is not data, and only data has a place here")
    return tagged


class _Probe:
    """References that lead nowhere, to find out what else cannot cross."""

    mark = 0

    def grant(self, value: object) -> dict[str, Any]:
        return {}

    def take_back(self, mark: int) -> None: ...

    def granted(self, tagged: list[Any]) -> object: ...

    def exported(self, tagged: list[Any]) -> object: ...


def _locate(v: object, path: str, depth: int, like: Blob) -> tuple[str, str] | None:
    """Where the first value stands that cannot cross, and why; only after `lower` failed."""
    try:
        _lower(v, Blob(like.references, like.arrays), depth)
    except _Refused as refused:
        reason = str(refused)
    else:
        return None
    for place, child in places.children(v, path):
        found = _locate(child, place, depth + 1, like) if depth < MAX_DEPTH else None
        if found:
            return found
    return path, reason


# -- the other direction: everything below reads what an untrusted guest wrote -----------------


def lift(v: Any, blob: Tail | None) -> Any:
    """The value that a header and its attachments stand for.

    Raises ValueError for an unknown tag, a malformed or too deep value; never anything else.
    """
    if blob is None or type(v) in _SIMPLE:
        return v
    try:
        return _lift(v, blob, 0)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (KeyError, IndexError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"a malformed value: {type(error).__name__}: {error}") from None


def _lift(v: Any, blob: Tail, depth: int) -> Any:
    kind = type(v)
    if kind in _SIMPLE:
        return v
    if depth > 3 * MAX_DEPTH:
        raise ValueError("nested too deeply")
    blob.left -= 1
    if not blob.left:
        _pause(blob)
    if kind is list:
        return [x if type(x) in _SIMPLE else _lift(x, blob, depth + 1) for x in v]
    tagged = v.get("$")
    if tagged is None:
        return {k: x if type(x) in _SIMPLE else _lift(x, blob, depth + 1) for k, x in v.items()}
    return _LIFT[tagged[0]](tagged, blob, depth + 1)


def _pause(blob: Blob | Tail) -> None:
    blob.left = PAUSE
    if blob.pause is not None:
        blob.pause()


def _span(x: list[Any], blob: Tail) -> str:
    at, size = x[1], x[2]
    if type(at) is not int or type(size) is not int or not 0 <= at <= at + size <= len(blob):
        raise ValueError("an attachment that is not there")
    return blob[at : at + size]


def _lift_list(x: Any, blob: Tail, depth: int) -> list[Any]:
    if type(x) is not list:
        raise ValueError("a list was expected")
    blob.left -= 1
    if not blob.left:
        _pause(blob)
    return [_lift(item, blob, depth) for item in x]


def _lift_keys(x: Any, blob: Tail, depth: int) -> list[Any]:
    """Values that are about to be hashed."""
    keys = _lift_list(x, blob, depth)
    _collide(keys, blob)
    return keys


def _collide(keys: list[Any], blob: Tail) -> None:
    if len(keys) > _FEW:
        found = Counter(map(hash, keys)).values()
        blob.collisions += sum([n * n for n in found if n > 1])
        if blob.collisions > COLLISIONS:
            raise ValueError("too many values with the same hash")


def _lift_pairs(x: Any, blob: Tail, depth: int) -> dict[Any, Any]:
    pairs = [(_lift(k, blob, depth), _lift(y, blob, depth)) for k, y in x]
    _collide([key for key, _ in pairs], blob)
    return dict(pairs)


def _names(x: Any) -> tuple[str, ...]:
    if type(x) is not list or not all(type(name) is str for name in x):
        raise ValueError("names were expected")
    return tuple(x)


def _lift_rows(x: list[Any], blob: Tail, depth: int) -> Rows:
    columns = _names(x[1])
    values = [tuple(_lift_list(row, blob, depth)) for row in x[2]]
    if type(x[3]) is not int or any(len(row) != len(columns) for row in values):
        raise ValueError("rows that do not fit their columns")
    return Rows(columns, values, x[3])


def _lift_row(x: list[Any], blob: Tail, depth: int) -> Row:
    columns, values = _names(x[1]), _lift_list(x[2], blob, depth)
    if len(columns) != len(values):
        raise ValueError("a row that does not fit its columns")
    if columns not in blob.shapes:
        blob.shapes.add(columns)
        if len(blob.shapes) > SHAPES:
            raise ValueError(f"rows of more than {SHAPES} shapes")
    return row_type(columns)(values)


def _lift_record(x: list[Any], blob: Tail, depth: int) -> Record:
    if type(x[1]) is not str or type(x[2]) is not dict:
        raise ValueError("a record was expected")
    return Record(x[1], {str(k): _lift(y, blob, depth) for k, y in x[2].items()})


def _references(blob: Tail) -> References:
    if blob.references is None:
        raise ValueError("a reference where only data has a place")
    return blob.references


def _lift_scientific(x: list[Any], blob: Tail, depth: int) -> Any:
    return arrays.put_together(x[0], [_lift(part, blob, depth) for part in x[1:]], Record)


_LIFT: dict[str, Callable[[list[Any], Tail, int], Any]] = {
    "t": lambda x, blob, depth: tuple(_lift_list(x[1], blob, depth)),
    "e": lambda x, blob, depth: set(_lift_keys(x[1], blob, depth)),
    "f": lambda x, blob, depth: frozenset(_lift_keys(x[1], blob, depth)),
    "d": lambda x, blob, depth: _lift_pairs(x[1], blob, depth),
    "i": lambda x, blob, depth: int(x[1], 16),
    "n": lambda x, blob, depth: float(x[1]),
    "b": lambda x, blob, depth: _span(x, blob).encode("latin-1"),
    "B": lambda x, blob, depth: bytearray(_span(x, blob), "latin-1"),
    "x": lambda x, blob, depth: a2b_base64(_span(x, blob), strict_mode=True),
    "X": lambda x, blob, depth: bytearray(a2b_base64(_span(x, blob), strict_mode=True)),
    "s": lambda x, blob, depth: _span(x, blob),
    "dt": lambda x, blob, depth: dt.datetime.fromisoformat(x[1]),
    "da": lambda x, blob, depth: dt.date.fromisoformat(x[1]),
    "ti": lambda x, blob, depth: dt.time.fromisoformat(x[1]),
    "td": lambda x, blob, depth: dt.timedelta(*x[1]),
    "D": lambda x, blob, depth: Decimal(x[1]),
    "u": lambda x, blob, depth: UUID(x[1]),
    "c": lambda x, blob, depth: complex(float(x[1][0]), float(x[1][1])),
    "o": _lift_record,
    "R": _lift_rows,
    "w": _lift_row,
    **dict.fromkeys(arrays.TAGS, _lift_scientific),
    "r": lambda x, blob, depth: _references(blob).granted(x),
    "g": lambda x, blob, depth: _references(blob).exported(x),
}
