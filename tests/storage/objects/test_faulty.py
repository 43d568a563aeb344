"""The store that fails on purpose fails exactly where a test says."""

from __future__ import annotations

import pytest

from storage.errors import ObjectStoreFailed
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall, failing


@pytest.mark.parametrize("method", ["put", "create"])
def test_a_call_failed_before_has_done_nothing_and_one_failed_after_has_done_all(
    method: str,
) -> None:
    for moment, there in (("before", []), ("after", ["key"])):
        memory = MemoryStore()
        faulty = FaultyStore(memory, failing(1, moment))  # type: ignore[arg-type]
        with pytest.raises(ObjectStoreFailed) as caught:
            getattr(faulty, method)("key", b"1")
        assert caught.value.key == "key"
        assert memory.list("") == there
        getattr(faulty, method)("key", b"1")
        assert memory.get("key") == b"1"


def test_only_the_call_that_was_named_fails() -> None:
    faulty = FaultyStore(MemoryStore(), failing(2))
    faulty.put("a", b"")
    faulty.get("a")
    with pytest.raises(ObjectStoreFailed):
        faulty.create("b", b"")
    faulty.put("b", b"")
    faulty.delete("a")
    assert faulty.list("") == ["b"]


def test_the_hook_hears_of_every_call_at_both_ends() -> None:
    heard: list[StoreCall] = []
    faulty = FaultyStore(MemoryStore(), heard.append)
    faulty.put("a", b"")
    faulty.list("a")
    assert [(one.number, one.method, one.key, one.moment) for one in heard] == [
        (1, "put", "a", "before"),
        (1, "put", "a", "after"),
        (2, "list", "a", "before"),
        (2, "list", "a", "after"),
    ]
