"""Whatever a frame holds, reading it gives values or a ValueError, in time that the size bounds."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facets.isolates import codec
from facets.isolates.codec import COLLISIONS, SHAPES, lift, unpack
from facets.isolates.held import weigh
from storage.rows import Row, Rows
from tests.isolates.fuzz import EXAMPLES, grammar

fuzz = settings(
    max_examples=4 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def read(frame: bytes) -> object:
    header, tail = unpack(frame)
    return lift(header, tail)


@fuzz
@given(
    st.one_of(
        st.binary(max_size=60),
        st.builds(grammar.frame, grammar.values, grammar.blobs),
        grammar.torn(st.builds(grammar.frame, grammar.values, grammar.blobs)),
    )
)
def test_a_frame_is_values_or_a_value_error(frame: bytes) -> None:
    weigh(frame, 1 << 20)
    with suppress(ValueError):
        read(frame)


def shown(value: object) -> object:
    """Equal for equal values of equal types, nan too, and whatever the order of a set's members:
    that of None and of classes follows from where they are in memory."""
    kind = type(value).__name__
    if isinstance(value, set | frozenset):
        # Hashed, as each repr around a text doubles its backslashes, and sets may be nested deep.
        return kind, sorted(sha256(repr(shown(one)).encode()).hexdigest() for one in value)
    if isinstance(value, codec.Record):
        return kind, value._kind, shown(value.asdict())
    if isinstance(value, Rows):
        return kind, value.columns, value.changes, [shown(row) for row in value]
    if isinstance(value, Row):
        return kind, value._columns, [shown(one) for one in value]
    if isinstance(value, dict):
        return kind, [(shown(k), shown(v)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return kind, [shown(one) for one in value]
    return kind, repr(value)


@fuzz
@given(grammar.values)
def test_what_was_read_can_be_sent_again_and_is_the_same(value: object) -> None:
    try:
        lifted = read(grammar.frame(value, b"01234567"))
    except ValueError:
        return
    blob = codec.Blob()
    try:
        lowered = codec.lower(lifted, blob)
    except codec.NotTransferable:
        return  # a reader takes a little more depth than a writer
    header, tail = unpack(codec.pack(lowered, blob))
    assert shown(lift(header, tail)) == shown(lifted)


P = grammar.PRIME
COLLIDING = {
    "a set of large integers": ("e", lambda i: {"$": ["i", hex(i * P)]}),
    "a frozenset of decimals": ("f", lambda i: {"$": ["D", str(i * P)]}),
    "a set of tuples": ("e", lambda i: {"$": ["t", [{"$": ["i", hex(i * P)]}, 1]]}),
    "a set of complex numbers": ("e", lambda i: {"$": ["c", [str(-1000003.0 * i), str(i)]]}),
    "a set of identifiers": ("e", lambda i: {"$": ["u", f"{i * P:032x}"]}),
}  # fmt: skip


@pytest.mark.parametrize("what", COLLIDING)
def test_values_that_were_chosen_for_their_hashes_are_refused(what: str) -> None:
    tag, make = COLLIDING[what]
    made = [make(i) for i in range(1000)]

    with pytest.raises(ValueError, match="same hash"):
        read(json.dumps({"$": [tag, made]}).encode())


def test_keys_that_were_chosen_for_their_hashes_are_refused() -> None:
    pairs = [[{"$": ["i", hex(i * P)]}, 1] for i in range(1000)]

    with pytest.raises(ValueError, match="same hash"):
        read(json.dumps({"$": ["d", pairs]}).encode())


def test_collisions_are_counted_over_all_sets_of_a_frame() -> None:
    few = {"$": ["e", [{"$": ["i", hex(i * P)]} for i in range(50)]]}

    read(json.dumps([few] * (COLLISIONS // 2500)).encode())
    with pytest.raises(ValueError, match="same hash"):
        read(json.dumps([few] * (COLLISIONS // 2500 + 1)).encode())


def test_a_set_that_an_honest_guest_makes_is_none_of_those() -> None:
    # The hashes of -1 and -2 are the same, and so are those of tuples of them.
    grid = {(x, y, z) for x in range(-20, 20) for y in range(-20, 20) for z in range(-20, 20)}
    blob = codec.Blob()

    assert read(codec.pack(codec.lower(grid, blob), blob)) == grid


def test_rows_of_too_many_shapes_are_refused() -> None:
    rows = [{"$": ["w", [f"c{i}"], [1]]} for i in range(SHAPES + 1)]

    read(json.dumps(rows[:-1]).encode())
    with pytest.raises(ValueError, match="shapes"):
        read(json.dumps(rows).encode())


@pytest.mark.parametrize("tag", ["t", "e", "f", "d", "o", "R", "w", None])
@pytest.mark.parametrize("depth", [130, 250, 300, 380, 900, 100_000])
def test_a_deep_value_is_refused_or_read(tag: str | None, depth: int) -> None:
    opening, closing = {
        None: ("[", "]"), "d": ('{"$":["d",[[1,', "]]]}"), "o": ('{"$":["o","A",{"x":', "}]}"),
        "R": ('{"$":["R",["a"],[[', "]],0]}"), "w": ('{"$":["w",["a"],[', "]]}"),
    }.get(tag, (f'{{"$":["{tag}",[', "]]}"))  # fmt: skip
    text = opening * depth + "1" + closing * depth

    with suppress(ValueError):
        read(text.encode())
