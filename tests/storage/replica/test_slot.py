"""Slots: what was written is read back, and nothing else passes for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import ReplicaCorrupt
from storage.replica.names import Position
from storage.replica.slot import decode, encode_records, encode_seal

HOST = "node-1"
NONCE = bytes(range(16))
PLACE = Position(3, 7)
SLOT = encode_records(HOST, PLACE, NONCE, 6, [(41, b"first"), (42, b""), (43, b"third")])
SEAL = encode_seal(HOST, PLACE, NONCE, 4)


@given(st.integers(1, 1 << 60), st.lists(st.binary(max_size=50), min_size=1, max_size=10))
def test_records_are_read_back_in_order_with_their_sequences(
    first: int, texts: list[bytes]
) -> None:
    records = list(enumerate(texts, first))
    slot = decode(HOST, PLACE, encode_records(HOST, PLACE, NONCE, 6, records))
    assert list(slot.records()) == records
    assert (slot.first, slot.last, slot.count) == (first, first + len(texts) - 1, len(texts))
    assert (slot.position, slot.nonce, slot.won, slot.is_seal) == (PLACE, NONCE, 6, False)


def test_a_seal_says_who_set_it_and_holds_no_record() -> None:
    seal = decode(HOST, PLACE, SEAL)
    assert seal.is_seal
    assert seal.sealed_by == 4
    assert list(seal.records()) == []


def test_slots_of_different_incarnations_differ() -> None:
    records = [(1, b"same")]
    assert encode_records(HOST, PLACE, NONCE, 0, records) != encode_records(
        HOST, PLACE, bytes(16), 0, records
    )


@pytest.mark.parametrize("data", [SLOT, SEAL], ids=["slot", "seal"])
def test_any_changed_bit_and_any_cut_is_damage(data: bytes) -> None:
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        for bad in (changed, data[:at]):
            with pytest.raises(ReplicaCorrupt) as caught:
                decode(HOST, PLACE, bad)
            assert caught.value.key == "log/node-1/0000000003/000000000007"
    with pytest.raises(ReplicaCorrupt):
        decode(HOST, PLACE, data + b"\0")


@pytest.mark.parametrize(
    ("host", "place"),
    [("node-2", PLACE), (HOST, Position(2, 7)), (HOST, Position(3, 8))],
    ids=["host", "token", "slot"],
)
def test_a_slot_under_the_name_of_another_is_damage(host: str, place: Position) -> None:
    with pytest.raises(ReplicaCorrupt, match="it is slot 7 of node-1, token 3"):
        decode(host, place, SLOT)
