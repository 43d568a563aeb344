"""Values across the boundary, guest side. `facets/isolates/codec.py` specifies the format."""

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from binascii import a2b_base64, b2a_base64

from facets.errors import NotTransferable
from facets.rows import Row, Rows, row_type

MAX_DEPTH = 128
LONG = 4096
ARGUMENTS = "argument"

# The C parts of `json` directly: `dumps` builds a new encoder for each call and costs 3x.
_scan = json.scanner.c_make_scanner(json.JSONDecoder())
_encoder = json.encoder.c_make_encoder(
    None, None, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True
)
quote = json.encoder.encode_basestring_ascii
PLAIN = frozenset({int, float, str, bool, type(None)})
SINGLE = frozenset({bool, type(None)})


def encode(value):
    """Lowered `value` as JSON."""
    return "".join(_encoder(value, 0))


class Blob:
    """The attachments of one message, end to end; offsets count code points."""

    __slots__ = ("parts", "references", "size")

    def __init__(self, references=None):
        self.parts = []
        self.size = 0
        self.references = references  # None where only data may cross

    def attach(self, text, tag):
        """Append `text` and return the reference to it."""
        at = self.size
        self.size += len(text)
        self.parts.append(text)
        return {"$": [tag, at, len(text)]}

    def frame(self, text):
        """The message: a JSON header and what is attached to it."""
        return text + "\n" + "".join(self.parts) if self.parts else text


def reserve(text, parts=()):
    """Raise MemoryError if this message is so long that sending it would abort the interpreter.

    On its way out it is copied twice, five times if its attachments must become UTF-8, and
    partly outside Python, where running out of memory cannot be caught.
    """
    size = 2 * len(text) + sum([len(part) * (2 if part.isascii() else 5) for part in parts])
    if size > 1 << 20:
        bytearray(size)


class Refused(Exception):
    """This value does not cross; `lower` says where in the whole it stands."""


class Record:
    """Fields of an object of a class that exists only on the other side."""

    def __init__(self, kind, fields):
        self.__dict__.update(fields)
        self.__dict__["_kind"] = kind

    def __setattr__(self, name, value):
        raise AttributeError(f"a record is read-only: {name}")

    __delattr__ = None

    def __eq__(self, other):
        return isinstance(other, Record) and vars(self) == vars(other)

    __hash__ = None

    def __repr__(self):
        shown = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k != "_kind")
        return f"{self._kind}({shown})"


def lower(value, blob, what="value"):
    """`value` as JSON and attachments; NotTransferable names what cannot cross and where."""
    try:
        return _lower(value, blob, 0)
    except Refused as refused:
        path, reason = _locate(value, what, 0, blob.references and _Probe) or (what, str(refused))
    raise NotTransferable(f"{path}: {reason}", path=path)


def dump(value, blob, what="value"):
    """`value` lowered and as JSON; the commonest without a detour."""
    t = type(value)
    if t is int and -(2**63) <= value < 2**63:
        return repr(value)
    if t is str and len(value) <= LONG:
        return quote(value)
    if value is None:
        return "null"
    return encode(lower(value, blob, what))


def _lower(v, blob, depth):
    t = type(v)
    if t is str:
        return v if len(v) <= LONG else _long(v, blob)
    if t is int:
        return v if -(2**63) <= v < 2**63 else {"$": ["i", hex(v)]}
    if t is float:
        return v if v - v == 0.0 else {"$": ["n", repr(v)]}
    if t in SINGLE:
        return v
    make = _LOWER.get(t)
    if make is None:
        make = _other(v)
    if depth >= MAX_DEPTH:
        raise Refused(f"nested deeper than {MAX_DEPTH}")
    return make(v, blob, depth + 1)


def _long(v, blob):
    try:
        v.encode()
    except UnicodeEncodeError:  # lone surrogates cross only as escapes, in the header
        return v
    return blob.attach(v, "s")


def _items(v, blob, depth):
    return [
        x if ((t := type(x)) is str and len(x) <= LONG) or t in SINGLE else _lower(x, blob, depth)
        for x in v
    ]


def _dict(v, blob, depth):
    if all(type(k) is str for k in v) and "$" not in v:
        return {k: x if type(x) in SINGLE else _lower(x, blob, depth) for k, x in v.items()}
    pairs = [[_lower(k, blob, depth), _lower(x, blob, depth)] for k, x in v.items()]
    return {"$": ["d", pairs]}


def _delta(v, blob, depth):
    return {"$": ["td", [v.days, v.seconds, v.microseconds]]}


def _complex(v, blob, depth):
    return {"$": ["c", [repr(v.real), repr(v.imag)]]}


def _rows(v, blob, depth):
    rows = [_items(row, blob, depth + 1) for row in v._values]
    return {"$": ["R", list(v.columns), rows, v.changes]}


def _row(v, blob, depth):
    return {"$": ["w", list(v._columns), _items(v, blob, depth)]}


def _record(v, blob, depth):
    fields = {field.name: getattr(v, field.name) for field in dataclasses.fields(v)}
    return {"$": ["o", type(v).__name__, _dict_fields(fields, blob, depth)]}


def _kept(v, blob, depth):
    fields = {k: x for k, x in vars(v).items() if k != "_kind"}
    return {"$": ["o", v._kind, _dict_fields(fields, blob, depth)]}


def _dict_fields(fields, blob, depth):
    return {k: _lower(x, blob, depth) for k, x in fields.items()}


def _tagged(tag, text):
    return lambda v, blob, depth: {"$": [tag, text(v)]}


def _list(tag):
    return lambda v, blob, depth: {"$": [tag, _items(v, blob, depth)]}


def _bytes(ascii, coded):
    def attach(v, blob, depth):
        if type(v) is memoryview:
            v = bytes(v)
        if v.isascii():
            return blob.attach(v.decode("ascii"), ascii)
        return blob.attach(b2a_base64(v, newline=False).decode("ascii"), coded)

    return attach


_LOWER = {
    list: _items,
    dict: _dict,
    tuple: _list("t"),
    set: _list("e"),
    frozenset: _list("f"),
    bytes: _bytes("b", "x"),
    bytearray: _bytes("B", "X"),
    memoryview: _bytes("b", "x"),
    datetime.datetime: _tagged("dt", datetime.datetime.isoformat),
    datetime.date: _tagged("da", datetime.date.isoformat),
    datetime.time: _tagged("ti", datetime.time.isoformat),
    datetime.timedelta: _delta,
    decimal.Decimal: _tagged("D", str),
    uuid.UUID: _tagged("u", str),
    complex: _complex,
    Rows: _rows,
    Record: _kept,
}
_BASES = (str, int, float, dict, list, set, frozenset, bytes)


def _other(v):
    """How to lower a value whose class is not one of the exact ones."""
    if is_marked(v):
        return lower_marked
    if isinstance(v, enum.Enum):
        return lambda v, blob, depth: _lower(v.value, blob, depth)
    if isinstance(v, Row):
        return _row
    if isinstance(v, tuple):
        return _LOWER[tuple]
    for base in _BASES:
        if isinstance(v, base):
            return lambda v, blob, depth: _lower(_plain(base, v), blob, depth)
    if isinstance(v, collections.deque):
        return _items
    if dataclasses.is_dataclass(v) and not isinstance(v, type):
        return _record
    kind = f"the class {v.__name__}" if isinstance(v, type) else type(v).__name__
    raise Refused(f"{kind} cannot cross the isolate's boundary")


def _plain(base, v):
    return (
        getattr(base, "__str__" if base is str else "__int__")(v) if base in (str, int) else base(v)
    )


is_marked = lower_marked = None
"""Set by `capabilities`: what leaves as a reference, and how."""


class _Probe:
    """References that lead nowhere, to find out what else cannot cross."""

    @staticmethod
    def reference(value):
        return {}


def _locate(v, path, depth, probe):
    """Where the first value stands that cannot cross, and why."""
    try:
        _lower(v, Blob(probe), depth)
    except Refused as refused:
        reason = str(refused)
    else:
        return None
    for place, child in _children(v, path):
        found = _locate(child, place, depth + 1, probe) if depth < MAX_DEPTH else None
        if found:
            return found
    return path, reason


def _children(v, path):
    """What stands directly in it; the host's `places.py` has the same paths."""
    if path == ARGUMENTS:
        pairs = v.items() if isinstance(v, dict) else enumerate(v)
        yield from ((f"{path} {name}", x) for name, x in pairs)
    elif isinstance(v, dict):
        yield from ((f"{path}[{_shown(k)}]", x) for k, x in v.items())
        yield from ((f"{path}[key {_shown(k)}]", k) for k in v)
    elif isinstance(v, tuple) and hasattr(v, "_fields"):
        yield from ((f"{path}.{n}", x) for n, x in zip(v._fields, v, strict=False))
    elif isinstance(v, (list, tuple, collections.deque)):
        yield from ((f"{path}[{i}]", x) for i, x in enumerate(v))
    elif isinstance(v, (set, frozenset)):
        yield from ((f"{path}[key {_shown(x)}]", x) for x in v)
    elif dataclasses.is_dataclass(v) and not isinstance(v, type):
        yield from ((f"{path}.{f.name}", getattr(v, f.name)) for f in dataclasses.fields(v))


def _shown(key):
    text = '"' + key.replace('"', '\\"') + '"' if type(key) is str else repr(key)
    return text if len(text) <= 80 else text[:77] + "..."


def receive(frame):
    """Header and attachments of a frame; None for them if no value in it is tagged."""
    if '"$"' not in frame:
        return _scan(frame, 0)[0], None
    head, _, tail = frame.partition("\n")
    return _scan(head, 0)[0], tail


def lift(v, blob):
    """The value that `v` and the attachments stand for. The host is trusted."""
    if blob is None:
        return v
    t = type(v)
    if t is list:
        return [x if type(x) in PLAIN else lift(x, blob) for x in v]
    if t is not dict:
        return v
    tagged = v.get("$")
    if tagged is None:
        return {k: x if type(x) in PLAIN else lift(x, blob) for k, x in v.items()}
    return _LIFT[tagged[0]](tagged, blob)


def _span(x, blob):
    return blob[x[1] : x[1] + x[2]]


_LIFT = {
    "t": lambda x, blob: tuple(lift(x[1], blob)),
    "e": lambda x, blob: set(lift(x[1], blob)),
    "f": lambda x, blob: frozenset(lift(x[1], blob)),
    "d": lambda x, blob: {lift(k, blob): lift(y, blob) for k, y in x[1]},
    "i": lambda x, blob: int(x[1], 16),
    "n": lambda x, blob: float(x[1]),
    "b": lambda x, blob: _span(x, blob).encode("latin-1"),
    "B": lambda x, blob: bytearray(_span(x, blob), "latin-1"),
    "x": lambda x, blob: a2b_base64(_span(x, blob)),
    "X": lambda x, blob: bytearray(a2b_base64(_span(x, blob))),
    "s": _span,
    "dt": lambda x, blob: datetime.datetime.fromisoformat(x[1]),
    "da": lambda x, blob: datetime.date.fromisoformat(x[1]),
    "ti": lambda x, blob: datetime.time.fromisoformat(x[1]),
    "td": lambda x, blob: datetime.timedelta(*x[1]),
    "D": lambda x, blob: decimal.Decimal(x[1]),
    "u": lambda x, blob: uuid.UUID(x[1]),
    "c": lambda x, blob: complex(float(x[1][0]), float(x[1][1])),
    "o": lambda x, blob: Record(x[1], {k: lift(y, blob) for k, y in x[2].items()}),
    "R": lambda x, blob: Rows(tuple(x[1]), [tuple(lift(row, blob)) for row in x[2]], x[3]),
    "w": lambda x, blob: row_type(tuple(x[1]))(lift(x[2], blob)),
}
