"""What a guest that lies might say: near the truth, far from it, and no JSON at all."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from facets.isolates.reading import OPERATIONS

PRIME = (1 << 61) - 1
TAGS = ["t", "e", "f", "d", "R", "w", "i", "n", "c", "D", "u", "o", "dt", "da", "ti", "td", "N",
        "F", "S", "b", "B", "s", "r", "g", "pickle", "", "__class__"]  # fmt: skip
WORDS = ["$", "", "run", "watch", "plain", "self", "__class__", "add_note", "get", "\ud800", "\0",
         "1e999", "nan", "0xff", "-0x1", "9" * 5000, "2024-01-01", "<f8", "x" * 300]  # fmt: skip
KINDS = ["OSError", "UnicodeDecodeError", "ExceptionGroup", "StopIteration", "KeyboardInterrupt",
         "SyntaxError", "FileMissing", "JournalFailed", "NotTransferable", "KeyError"]  # fmt: skip
integers = st.one_of(
    st.integers(-3, 5),
    st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**400, -(10**400), PRIME, 2 * PRIME]),
)
numbers = st.one_of(integers, st.floats(), st.sampled_from([float("nan"), float("inf"), -0.0]))
words = st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
scalars = st.one_of(st.none(), st.booleans(), numbers, words)
DESCRIPTION = {"kind": "object", "name": "x", "methods": {"a": "call"}}
STREAM = {"kind": "stream", "name": "x", "methods": {"": "stream"}}


def nested(depth: int, tag: str | None) -> Any:
    """A value so deep, of lists or of tagged ones."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if tag is None else {"$": [tag, [value]]}
    return value


deep = st.builds(nested, st.sampled_from([100, 130, 200, 300]), st.sampled_from([None, "t", "f"]))


def _containers(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    tagged = st.builds(
        lambda tag, rest: {"$": [tag, *rest]}, st.sampled_from(TAGS), st.lists(inside, max_size=4)
    )
    return st.one_of(
        st.lists(inside, max_size=4), st.dictionaries(words, inside, max_size=3), tagged
    )


data = st.recursive(scalars, _containers, max_leaves=8)
true = st.sampled_from([
    5, "x", [1], {"$": ["r", 1]}, {"$": ["r", 2]}, {"$": ["g", 1, DESCRIPTION]}, {"$": ["b", 0, 2]},
    {"$": ["g", 2, STREAM]}, {"$": ["x", 0, 4]}, {"$": ["X", 0, 0]},
    {"$": ["e", [1, 2]]}, {"$": ["d", [[1, 2]]]}, {"$": ["o", "A", {"x": 1}]},
    {"$": ["R", ["a"], [[1]], 0]}, {"$": ["N", "<f8", [1], {"$": ["b", 0, 8]}]},
])  # fmt: skip
values = st.one_of(true, data, deep)
calls = st.sampled_from([1, 2, 3])
handles = st.sampled_from([0, 1, 2, 3])
credit = st.sampled_from([1, 16, 1 << 20, 1 << 21, 0, -1])
errors = st.fixed_dictionaries({}, optional={
    "kinds": st.one_of(st.lists(st.one_of(st.sampled_from(KINDS), data), max_size=3), data),
    "type": st.one_of(st.sampled_from(KINDS), data),
    "message": data,
    "hint": data,
    "traceback": data,
    "notes": st.one_of(st.lists(words, max_size=3), data),
    "fields": st.one_of(
        st.dictionaries(
            st.sampled_from([*dir(OSError("x")), *dir(SyntaxError("x")), "self", "path", "code"]),
            scalars,
            max_size=3,
        ),
        data,
    ),
})  # fmt: skip


def _message(tag: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(st.just(tag), *parts).map(list)


plausible = st.one_of(
    _message("ok", calls, values),
    _message("err", calls, errors),
    _message("item", calls, values),
    _message("end", calls),
    _message("sleep", numbers),
    _message("again"),
    _message(
        "call", st.integers(1, 6), handles, st.sampled_from(["", "plain", "x"]),
        st.lists(values, max_size=2), st.dictionaries(words, values, max_size=1),
    ),
    _message("call", st.integers(1, 6), handles, words, values, values, data),
    _message("more", st.integers(1, 6), credit),
    _message("cancel", st.integers(1, 6)),
    _message("drop", st.lists(st.tuples(handles, st.integers(0, 3)).map(list), max_size=2)),
    _message("long", numbers),
    _message("panic", st.sampled_from(["MemoryError", "KeyError"]), data),
)  # fmt: skip


@st.composite
def bent(draw: st.DrawFn, message: st.SearchStrategy[list[Any]]) -> Any:
    """A message with a part that is missing, added, or something else."""
    parts = list(draw(message))
    at = draw(st.integers(0, len(parts) - 1))
    how = draw(st.sampled_from(["replace", "remove", "add", "whole"]))
    if how == "whole":
        return draw(data)
    if how == "remove":
        del parts[at]
    elif how == "add":
        parts.insert(at, draw(values))
    else:
        parts[at] = draw(st.one_of(values, st.sampled_from(["ans", "revoke", "call", "ok"])))
    return parts


messages = st.one_of(plausible, plausible, bent(plausible))
operation = st.tuples(
    st.integers(1, 3), calls, st.sampled_from([*sorted(OPERATIONS), "undo", "file"]),
    st.one_of(
        st.sampled_from([
            ["create table if not exists t(n)", [], {}], ["insert into t values (1)", [], {}],
            ["get", "k"], ["set", "k", 1], ["plain", [1], {}], ["facets.get", [], {}],
            ["find", "json"], ["read", "main.py", -1], ["load", "../x"], ["list", "/"],
        ]),
        st.lists(values, max_size=3),
    ),
).map(list)  # fmt: skip
operations = st.one_of(operation, operation, bent(operation))


def frame(header: Any, blob: bytes | None) -> bytes:
    text = json.dumps(header).encode()
    return text if blob is None else text + b"\n" + blob


blobs = st.sampled_from([None, b"", b"ab", b"01234567", "é\u20ac".encode(), b"\xff\xfe", b"\n\n"])
frames = st.builds(frame, st.lists(messages, max_size=4), blobs)
spoken = st.builds(frame, operations, blobs)


@st.composite
def torn(draw: st.DrawFn, whole_frame: st.SearchStrategy[bytes]) -> bytes:
    """A frame that something happened to on its way."""
    whole = bytearray(draw(whole_frame))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(whole)))
        whole[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(whole)
