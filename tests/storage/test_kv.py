"""`kv`: an ordered mapping in the actor's database."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage import Database, StorageLimits, Store
from storage.errors import NotStorable, ResultTooLarge, TooManyRows, ValueTooLarge
from tests.storage.scratch import scratch

# Few letters, so that prefixes meet; among them the ends of each length of UTF-8.
LETTERS = "ab\0\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010fffe\U0010ffff"
keys = st.text(st.sampled_from(LETTERS), max_size=4)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
        st.binary(max_size=10),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=5,
)
on_one_database = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_what_was_set_is_read_again(database: Database) -> None:
    kv = database.kv
    kv["a"] = {"x": [1, 2.5, None, True, "text", b"\0\xff"]}
    assert kv["a"] == {"x": [1, 2.5, None, True, "text", b"\0\xff"]}
    assert "a" in kv
    assert len(kv) == 1
    kv["a"] = 2
    assert kv["a"] == 2
    assert len(kv) == 1
    del kv["a"]
    assert "a" not in kv
    with pytest.raises(KeyError):
        kv["a"]
    with pytest.raises(KeyError):
        del kv["a"]


@given(keys, values)
@on_one_database
def test_plain_data_comes_back_as_it_was(database: Database, key: str, value: Any) -> None:
    database.kv[key] = value
    assert database.kv[key] == value
    assert type(database.kv[key]) is type(value)


def test_values_are_copies(database: Database) -> None:
    mine = [1]
    database.kv["a"] = mine
    mine.append(2)
    read = database.kv["a"]
    read.append(3)
    assert database.kv["a"] == [1]


def test_other_data_comes_back_as_plain_data(database: Database) -> None:
    at = datetime.datetime(2024, 2, 29, 12, 0, 0, 5, tzinfo=datetime.UTC)
    some = uuid.UUID(int=7)
    database.kv.update(a=(1, (2,)), b={3}, c=at, d=some, e=Decimal("1.50"), f=bytearray(b"x"))
    found = dict(database.kv.list())
    assert found == {"a": [1, [2]], "b": [3], "c": at, "d": str(some), "e": "1.50", "f": b"x"}


def test_a_mapping_works_as_one(database: Database) -> None:
    kv = database.kv
    kv.update({"b": 1}, c=2)
    kv.update([("a", 0)])
    assert kv.get("nothing", 7) == 7
    assert kv.setdefault("d", 3) == 3
    assert kv.pop("d") == 3
    assert kv.pop("d", None) is None
    assert list(kv) == list(kv.keys()) == ["a", "b", "c"]
    assert list(kv.values()) == [0, 1, 2]
    assert kv == {"a": 0, "b": 1, "c": 2}
    assert kv.popitem() == ("a", 0)
    kv.clear()
    assert len(kv) == 0
    assert not kv


def test_going_through_the_keys_survives_changing_them(database: Database) -> None:
    database.kv.update({str(i): i for i in range(5)})
    for key in database.kv:
        del database.kv[key]
    assert len(database.kv) == 0


def test_a_key_that_is_not_text_is_not_storable(database: Database) -> None:
    for key in (1, None, b"a", ("a",)):
        with pytest.raises(NotStorable):
            database.kv[key] = 1  # type: ignore[index]
        with pytest.raises(NotStorable):
            database.kv[key]  # type: ignore[index]
        assert key not in database.kv


@pytest.mark.parametrize("key", ["\ud800", "a\udfff", "\udc80b"])
def test_a_key_that_is_not_unicode_is_not_storable(database: Database, key: str) -> None:
    for there in (False, True):
        if there:
            database.kv["a"] = 1
        with pytest.raises(NotStorable):
            database.kv[key] = 1
        with pytest.raises(NotStorable):
            database.kv.list(key)
        with pytest.raises(NotStorable):
            database.kv.list("a", end=key)
        assert key not in database.kv


@pytest.mark.parametrize("value", [object(), 2**64, "\ud800", {"a": "\udfff"}, 1j, Ellipsis])
def test_a_value_that_is_not_data_is_not_storable(database: Database, value: object) -> None:
    database.kv["a"] = 1
    with pytest.raises(NotStorable) as caught:
        database.kv["b"] = value
    assert caught.value.key == "b"
    assert dict(database.kv.list()) == {"a": 1}


def test_a_value_that_contains_itself_is_not_storable(database: Database) -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(NotStorable):
        database.kv["a"] = loop


def test_update_changes_all_or_nothing(database: Database) -> None:
    database.kv["a"] = 1
    with pytest.raises(NotStorable):
        database.kv.update({"a": 2, "b": 2, "c": object()})
    assert dict(database.kv.list()) == {"a": 1}


@pytest.mark.parametrize("before", [True, False])
def test_update_changes_nothing_when_one_value_is_too_large(memory: Path, before: bool) -> None:
    store = Store.open(memory / "state", limits=StorageLimits(value=10_000))
    kv = store.root("Kind", "name").kv
    if before:
        kv["a"] = 1
    with pytest.raises(ValueTooLarge):
        kv.update({"a": 2, "b": b"x" * 10_001, "c": 3})
    assert dict(kv.list()) == ({"a": 1} if before else {})
    kv["b"] = b"x" * 9_000
    assert len(kv["b"]) == 9_000
    store.close()


def test_delete_many_deletes_those_that_are_there(database: Database) -> None:
    database.kv.update(a=1, b=2, c=3)
    assert database.kv.delete_many(["a", "nothing", "c", "a"]) == 2
    assert list(database.kv) == ["b"]
    assert database.kv.delete_many([]) == 0


def test_delete_many_deletes_nothing_when_a_key_is_no_key(database: Database) -> None:
    database.kv.update(a=1, b=2)
    with pytest.raises(NotStorable):
        database.kv.delete_many(["a", "\ud800"])
    assert list(database.kv) == ["a", "b"]


def test_get_many_returns_those_that_are_there(database: Database) -> None:
    database.kv.update(a=None, b=2)
    assert database.kv.get_many(["b", "nothing", "a"]) == {"b": 2, "a": None}
    assert database.kv.get_many(iter(["a", "a"])) == {"a": None}


# -- order and ranges -----------------------------------------------------------------------


def test_keys_are_in_the_order_of_their_bytes(database: Database) -> None:
    database.kv.update(dict.fromkeys(LETTERS, 0))
    assert list(database.kv) == sorted(LETTERS, key=str.encode)


@pytest.mark.parametrize(
    "prefix",
    ["", "a", "a\0", "\0", "a\U0010ffff", "\U0010ffff", "\U0010ffff\U0010ffff", "a\ud7ff", "\ud7ff",
     "\x7f", "\u07ff", "\uffff", "\U0010fffe"],
)  # fmt: skip
def test_a_prefix_finds_every_key_that_begins_with_it_and_no_other(
    database: Database, prefix: str
) -> None:
    tails = ["", *LETTERS, "\U0010ffffb", "\U0010ffff\U0010ffff"]
    inside = {prefix + tail for tail in tails}
    outside = {head + tail for head in LETTERS for tail in tails} - inside
    everything = dict.fromkeys(inside | outside, 1)
    database.kv.update(everything)
    found = [key for key, _ in database.kv.list(prefix)]
    assert found == sorted((k for k in everything if k.startswith(prefix)), key=str.encode)
    assert found[::-1] == [key for key, _ in database.kv.list(prefix, reverse=True)]


def expected(
    model: dict[str, Any],
    prefix: str,
    start: str | None,
    end: str | None,
    limit: int | None,
    reverse: bool,
) -> list[tuple[str, Any]]:
    chosen = [
        (key, model[key])
        for key in sorted(model, key=str.encode, reverse=reverse)
        if key.startswith(prefix)
        and (start is None or key.encode() >= start.encode())
        and (end is None or key.encode() < end.encode())
    ]
    return chosen[:limit]


@given(
    st.dictionaries(keys, st.integers(0, 9), max_size=12),
    keys,
    st.none() | keys,
    st.none() | keys,
    st.none() | st.integers(0, 4),
    st.booleans(),
)
@on_one_database
def test_list_is_what_a_sorted_dict_says(
    database: Database,
    model: dict[str, int],
    prefix: str,
    start: str | None,
    end: str | None,
    limit: int | None,
    reverse: bool,
) -> None:
    database.kv.clear()
    database.kv.update(model)
    found = database.kv.list(prefix, start=start, end=end, limit=limit, reverse=reverse)
    assert found == expected(model, prefix, start, end, limit, reverse)


def test_a_negative_limit_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="-1"):
        database.kv.list(limit=-1)


def test_what_one_call_reads_is_limited(memory: Path) -> None:
    store = Store.open(memory / "state", limits=StorageLimits(rows=10))
    kv = store.root("Kind", "name").kv
    kv.update({f"{i:02}": i for i in range(11)})
    with pytest.raises(TooManyRows):
        list(kv)
    with pytest.raises(TooManyRows):
        kv.list()
    assert len(kv) == 11
    assert len(kv.list(limit=10)) == 10
    assert kv.delete_many([f"{i:02}" for i in range(11)]) == 11
    store.close()


# -- steps ----------------------------------------------------------------------------------


def test_reading_makes_no_database(store: Store) -> None:
    kv = store.root("Kind", "name").kv
    assert kv.get("a") is None
    assert "a" not in kv
    assert len(kv) == 0
    assert list(kv) == kv.list() == []
    assert kv.get_many(["a"]) == {}
    assert kv.delete_many(["a"]) == 0
    kv.clear()
    assert not store.root("Kind", "name").exists()
    assert store.committed == 0
    assert not list((store.directory / "db").rglob("*.db"))


def test_the_first_write_can_be_undone_and_done_again(database: Database) -> None:
    for _ in range(2):
        database.kv["a"] = 1
        database.rollback()
        assert "a" not in database.kv
    database.kv["a"] = 2
    database.commit()
    assert database.kv["a"] == 2


def test_the_first_write_can_be_undone_with_a_part_of_a_step(database: Database) -> None:
    database.sql("create table t(x)")
    database.begin_savepoint()
    database.kv["a"] = 1
    database.rollback_savepoint()
    assert "a" not in database.kv
    database.kv["b"] = 1
    assert list(database.kv) == ["b"]


def test_a_deleted_database_begins_empty(database: Database) -> None:
    database.kv["a"] = 1
    database.commit()
    database.delete()
    assert list(database.kv) == []
    database.kv["b"] = 1
    database.commit()
    assert list(database.kv) == ["b"]


class Mapping(RuleBasedStateMachine):
    """kv in steps, savepoints, sleeps, deletes and reopenings, against a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch()
        self.kept: dict[str, Any] = {}
        self.now: dict[str, Any] = {}
        self.savepoints: list[dict[str, Any]] = []
        self.open()

    def open(self) -> None:
        self.store = Store.open(Path(self.directory.name) / "state")
        self.database = self.store.root("Kind", "name")
        self.kv = self.database.kv

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    def forget_step(self) -> None:
        self.savepoints.clear()
        self.now = dict(self.kept)

    @rule(key=keys, value=values)
    def put(self, key: str, value: Any) -> None:
        self.kv[key] = value
        self.now[key] = value

    @rule(pairs=st.dictionaries(keys, values, max_size=4))
    def update(self, pairs: dict[str, Any]) -> None:
        self.kv.update(pairs)
        self.now.update(pairs)

    @rule(pairs=st.dictionaries(keys, values, max_size=4))
    def fail_to_update(self, pairs: dict[str, Any]) -> None:
        with pytest.raises(NotStorable):
            self.kv.update({**pairs, "bad": object()})

    @rule(key=keys)
    def delete(self, key: str) -> None:
        try:
            del self.kv[key]
            del self.now[key]
        except KeyError:
            assert key not in self.now

    @rule(some=st.lists(keys, max_size=4))
    def delete_many(self, some: list[str]) -> None:
        assert self.kv.delete_many(some) == len(set(some) & set(self.now))
        for key in some:
            self.now.pop(key, None)

    @rule()
    def clear(self) -> None:
        self.kv.clear()
        self.now.clear()

    @precondition(lambda self: len(self.savepoints) < 4)
    @rule()
    def savepoint(self) -> None:
        self.database.begin_savepoint()
        self.savepoints.append(dict(self.now))

    @precondition(lambda self: self.savepoints)
    @rule(keep=st.booleans())
    def end_savepoint(self, keep: bool) -> None:
        was = self.savepoints.pop()
        if keep:
            self.database.release_savepoint()
        else:
            self.database.rollback_savepoint()
            self.now = was

    @precondition(lambda self: not self.savepoints)
    @rule()
    def commit(self) -> None:
        self.database.commit()
        self.kept = dict(self.now)

    @rule()
    def rollback(self) -> None:
        self.database.rollback()
        self.forget_step()

    @rule()
    def sleep(self) -> None:
        self.database.sleep()

    @rule()
    def wipe(self) -> None:
        self.database.rollback()
        self.database.delete()
        self.kept.clear()
        self.forget_step()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()
        self.forget_step()

    @invariant()
    def it_holds_what_the_dict_does(self) -> None:
        assert self.kv.list() == sorted(self.now.items(), key=lambda pair: pair[0].encode())
        assert len(self.kv) == len(self.now)

    @rule(key=keys)
    def look(self, key: str) -> None:
        assert (key in self.kv) == (key in self.now)
        assert self.kv.get(key, "none") == self.now.get(key, "none")


TestMapping = Mapping.TestCase
TestMapping.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("read", ["list", "get_many"])
@pytest.mark.parametrize("value", [[[]] * 5000, [{}] * 5000, [{"a": [[]]}] * 2000, b"x" * 150_000])
def test_many_values_are_read_only_if_there_is_memory_for_them(
    database: Database, read: str, value: Any
) -> None:
    database.limit(StorageLimits(result=1 << 20))
    keys = [f"k{i}" for i in range(8)]
    database.kv.update(dict.fromkeys(keys, value))
    database.commit()
    reading = database.kv.list if read == "list" else lambda: database.kv.get_many(keys)

    with pytest.raises(ResultTooLarge):
        reading()
    assert database.kv["k7"] == value
    assert len(database.kv.list(limit=1)) == 1


def test_text_takes_no_more_memory_than_it_has_bytes(database: Database) -> None:
    database.limit(StorageLimits(result=1 << 20))
    texts = {f"k{i}": chr(0x410 + i) * 50_000 for i in range(8)}
    database.kv.update(texts)

    assert dict(database.kv.list()) == database.kv.get_many(texts) == texts
