"""What every `ObjectStore` must do, as tests that run on any of them.

In a test module of yours:

    class TestMyStore(ObjectStoreConformance):
        @pytest.fixture
        def store(self):
            return MyStore(...)      # empty, and of its own for each test

Where two handles of one store differ from two threads on one handle (a client with a cache, a
folder seen from two processes), override `other` to give a second handle of the same store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from storage.errors import ObjectKeyInvalid, ObjectMissing
from storage.objects.store import ObjectStore

Error = TypeVar("Error", bound=BaseException)
_OUTSIDE = (
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a b",
    "ä",
    "~",
    "a\n",
)
_TOO_LONG = ("a" * 256, "/".join(["a"] * 600))


class ObjectStoreConformance:
    """Inherit, give it a fixture `store`, and run pytest."""

    page: int = 1000
    """Most keys that the service lists in one answer; lower it where the test's service does."""

    def other(self, store: ObjectStore) -> ObjectStore:
        """A second handle of the same store."""
        return store

    def test_an_object_that_was_put_is_read_back_whole(self, store: ObjectStore) -> None:
        """Every byte value, and nothing at all."""
        for key, data in (("a/b/c", bytes(range(256)) * 300), ("empty", b""), ("x", b"1")):
            store.put(key, data)
            _same(self.other(store).get(key), data)

    def test_put_replaces_and_may_be_repeated(self, store: ObjectStore) -> None:
        """The last one counts."""
        for data in (b"first, and longer", b"second", b"second"):
            store.put("key", data)
        _same(store.get("key"), b"second")

    def test_a_missing_object_is_a_lookup_error_that_names_it(self, store: ObjectStore) -> None:
        """Also where a folder has the name, or an object the name of the folder."""
        store.put("folder/key", b"")
        for key in ("absent", "folder", "folder/absent", "folder/key/below"):
            error = _raises(ObjectMissing, partial(store.get, key))
            _same(error.key, key)

    def test_create_makes_what_is_not_there(self, store: ObjectStore) -> None:
        """And says so."""
        _same(store.create("a/key", b"mine"), True)
        _same(self.other(store).get("a/key"), b"mine")

    def test_create_never_changes_what_is_there(self, store: ObjectStore) -> None:
        """Whether create or put made it."""
        store.create("created", b"first")
        store.put("put", b"first")
        for key in ("created", "put"):
            _same(store.create(key, b"second"), False)
            _same(store.get(key), b"first")

    def test_create_repeated_with_the_same_bytes_is_won_again(self, store: ObjectStore) -> None:
        """Its first answer may have been lost."""
        _same(store.create("key", b"mine"), True)
        _same(self.other(store).create("key", b"mine"), True)

    def test_a_deleted_key_can_be_created_anew(self, store: ObjectStore) -> None:
        """With other bytes."""
        store.create("a/key", b"first")
        store.delete("a/key")
        _same(store.create("a/key", b"second"), True)
        _same(store.get("a/key"), b"second")

    def test_of_racing_creators_exactly_one_wins(self, store: ObjectStore) -> None:
        """Its bytes are there, and each of the others knows that it lost."""
        for race in range(5):
            key = f"race/{race}"
            won = _race(partial(_create_as, self.other(store), key))
            _same(won.count(True), 1)
            _same(store.get(key), b"%d" % won.index(True))

    def test_a_reader_never_sees_half_of_a_put(self, store: ObjectStore) -> None:
        """Old or new, while another thread replaces it."""
        old, new = b"a" * 200_000, b"b" * 100_000
        store.put("key", old)
        writer = threading.Thread(target=_put_all, args=(store, "key", (new, old, new)))
        writer.start()
        seen = {store.get("key") for _ in range(20)}
        writer.join()
        _same(seen <= {old, new}, True)
        _same(store.get("key"), new)

    def test_delete_removes_and_may_be_repeated(self, store: ObjectStore) -> None:
        """Nothing else goes with it."""
        store.put("a/one", b"1")
        store.put("a/two", b"2")
        for _ in range(2):
            store.delete("a/one")
        for key in ("never", "never/was", "a"):
            store.delete(key)
        _raises(ObjectMissing, lambda: store.get("a/one"))
        _same(store.list(""), ["a/two"])

    def test_list_gives_the_keys_behind_a_prefix_in_order_of_text(self, store: ObjectStore) -> None:
        """A prefix may end inside a part: it is text, not a folder."""
        keys = ["a-b/1", "a/00", "a/01", "a/010", "a/10", "a/b/0", "a=b", "ab", "b"]
        for key in reversed(keys):
            store.put(key, b"")
        for prefix in ("", "a", "a/", "a/0", "a/b/", "a/b/0", "c", "c/d", "a/01"):
            _same(store.list(prefix), [key for key in keys if key.startswith(prefix)])

    def test_list_begins_behind_a_key_that_need_not_exist(self, store: ObjectStore) -> None:
        """Nor need it have the prefix."""
        keys = [f"a/{number:02}" for number in range(20)] + ["b/1"]
        for key in keys:
            store.put(key, b"")
        for after in ("", "a", "a/05", "a/055", "a/19", "a/99", "b", "b/1"):
            for prefix in ("", "a/", "a/1"):
                expected = [key for key in keys if key.startswith(prefix) and key > after]
                _same(store.list(prefix, after), expected)

    def test_list_gives_more_keys_than_one_page_of_any_service(self, store: ObjectStore) -> None:
        """Services answer some at a time and say that there are more."""
        keys = [f"many/{number:04}" for number in range(self.page + 5)]
        for key in keys:
            store.put(key, b"")
        _same(store.list("many/"), keys)
        _same(store.list("many/", keys[2]), keys[3:])

    def test_a_key_that_leads_outside_or_is_not_portable_is_refused(
        self, store: ObjectStore
    ) -> None:
        """By every method, before anything happens."""
        for key in (*_OUTSIDE, *_TOO_LONG):
            for act in (store.get, store.delete):
                _raises(ObjectKeyInvalid, partial(act, key))
            _raises(ObjectKeyInvalid, partial(store.put, key, b"x"))
            _raises(ObjectKeyInvalid, partial(store.create, key, b"x"))
        for prefix in ("../", "a//", "/", "a/../", "~/", "ä"):
            _raises(ObjectKeyInvalid, partial(store.list, prefix))
        _same(store.list(""), [])


def _same(found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"found {found!r:.300}, expected {expected!r:.300}")


def _raises(kind: type[Error], act: Callable[[], object]) -> Error:
    try:
        found = act()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, found {found!r:.300}")


def _put_all(store: ObjectStore, key: str, contents: Iterable[bytes]) -> None:
    for data in contents:
        store.put(key, data)


def _create_as(store: ObjectStore, key: str, me: int) -> bool:
    return store.create(key, b"%d" % me)


def _race(act: Callable[[int], bool], racers: int = 8) -> list[bool]:
    """What each of these threads got, all of them let go at once."""
    results = [False] * racers
    start = threading.Barrier(racers)

    def run(me: int) -> None:
        start.wait()
        results[me] = act(me)

    threads = [threading.Thread(target=run, args=(me,)) for me in range(racers)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return results
