"""A store on a disk that fails keeps what it acknowledged, and says what went wrong."""

from __future__ import annotations

import errno
import gc
from contextlib import suppress
from pathlib import Path

import pytest

from storage import Store
from storage.disk import Disk
from storage.errors import JournalFailed, StorageError
from storage.testing import Effect, Fault, FaultyDisk

STEPS = range(1, 7)


def work(root: Path, disk: Disk) -> tuple[list[int], list[int]]:
    """Steps of one number each: which were kept, and which of them called durable.

    Only errors of storage may come out.
    """
    kept: list[int] = []
    durable: list[int] = []
    store = Store.open(root, disk=disk, open_databases=2)
    try:
        for n in STEPS:
            with suppress(StorageError):
                step(store, n)
                kept.append(n)
                store.sync()
                durable.extend(one for one in kept if one not in durable)
                store.tend(everything=True)
    finally:
        with suppress(JournalFailed):
            store.close()
    return kept, durable


def step(store: Store, n: int) -> None:
    database = store.root("Kind", "ab"[n % 2])
    try:
        database.run_own("create table if not exists t(n integer primary key)")
        database.run_own("insert into t values (?)", (n,))
        database.commit()
    except BaseException:
        database.rollback()
        raise


def numbers(root: Path) -> set[int]:
    """What a sound disk finds."""
    store = Store.open(root)
    found: set[int] = set()
    for name in "ab":
        database = store.root("Kind", name)
        if database.size():
            assert database.run_own("pragma integrity_check") == [("ok",)]
            found |= {row[0] for row in database.run_own("select n from t")}
            database.rollback()
    store.close()
    return found


@pytest.mark.parametrize(
    ("error", "effect"), [(errno.ENOSPC, Effect.PREFIX), (errno.EIO, Effect.NONE)]
)
@pytest.mark.parametrize("times", [1, None], ids=["once", "for_ever"])
def test_wherever_the_disk_fails_a_step_is_undone_and_what_is_durable_stays(
    memory: Path, error: int, effect: Effect, times: int | None
) -> None:
    nth, reached = 1, True
    while reached:
        root = memory / str(nth)
        disk = FaultyDisk(Fault("any", nth, times=times, error=error, effect=effect))
        kept: list[int] = []
        durable: list[int] = []
        with suppress(StorageError):
            kept, durable = work(root, disk)
        disk.close_all()
        gc.collect()
        found = numbers(root)
        where = f"operation {nth}, {disk.log[nth - 1] if len(disk.log) >= nth else None}"
        assert set(durable) <= found <= set(STEPS), where
        reached = len(disk.log) >= nth
        nth += 1 if nth < 40 else 6
    assert nth > 100
    assert kept == durable == list(STEPS)


def test_a_store_that_could_not_be_opened_leaves_nothing_open(memory: Path) -> None:
    for nth in range(1, 40):
        disk = FaultyDisk(Fault("any", nth))
        with suppress(StorageError):
            Store.open(memory / str(nth), disk=disk).close()
        assert disk.leaked() == []
