"""Disks that fail do exactly what they were told, to storage's files and to SQLite's."""

from __future__ import annotations

import errno
import gc
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.disk import Disk
from storage.testing import Effect, Fault, FaultyDisk, Killed, Outcome
from storage.testing.fault import OPERATIONS, Operation, torn

NEW = os.O_RDWR | os.O_CREAT


def perform(disk: Disk, directory: Path, operation: Operation) -> None:
    """Do this operation once; what it needs is there already."""
    fd = os.open(directory / "file", os.O_RDWR)
    acts: dict[Operation, Callable[[], object]] = {
        "open": lambda: disk.close(disk.open(directory / "file", os.O_RDWR)),
        "read": lambda: disk.read_file(directory / "file"),
        "sync_directory": lambda: disk.sync_directory(directory),
        "rename": lambda: disk.rename(directory / "file", directory / "other"),
        "link": lambda: disk.link(directory / "file", directory / "other"),
        "unlink": lambda: disk.unlink(directory / "file"),
    }
    try:
        if operation in acts:
            acts[operation]()
        else:
            perform_on_descriptor(disk, directory / "file", operation)
    finally:
        os.close(fd)


def perform_on_descriptor(disk: Disk, path: Path, operation: Operation) -> None:
    fd = disk.open(path, os.O_RDWR)
    try:
        if operation == "write":
            disk.write(fd, b"new", 0)
        elif operation == "sync":
            disk.sync(fd)
        else:
            disk.truncate(fd, 1)
    finally:
        disk.close(fd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"old")
    return tmp_path


def look(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- own files ------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_disk_without_faults_does_what_the_disk_below_does(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, operation: Operation
) -> None:
    plain = tmp_path_factory.mktemp("plain")
    (plain / "file").write_bytes(b"old")
    perform(FaultyDisk(), folder, operation)
    perform(Disk(), plain, operation)
    assert look(folder) == look(plain)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_failed_operation_raises_its_error_and_changes_nothing(
    folder: Path, operation: Operation, error: int
) -> None:
    disk = FaultyDisk(Fault(operation, error=error))
    with pytest.raises(OSError, match="file|other|" + folder.name) as caught:
        perform(disk, folder, operation)
    assert caught.value.errno == error
    assert look(folder) == {"file": b"old"}
    assert disk.leaked() == []


def test_only_the_nth_matching_operation_fails(folder: Path) -> None:
    disk = FaultyDisk(Fault("read", 3, path="file"))
    (folder / "else").write_bytes(b"")
    for _ in range(2):
        disk.read_file(folder / "file")
        disk.read_file(folder / "else")
    with pytest.raises(OSError, match="file"):
        disk.read_file(folder / "file")
    assert disk.read_file(folder / "file") == b"old"


def test_a_full_disk_stays_full_until_it_is_healed(folder: Path) -> None:
    disk = FaultyDisk(Fault("write", 2, times=None, error=errno.ENOSPC))
    perform(disk, folder, "write")
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            perform(disk, folder, "write")
    disk.heal()
    perform(disk, folder, "write")


def test_a_fault_added_later_counts_from_then(folder: Path) -> None:
    disk = FaultyDisk()
    perform(disk, folder, "sync")
    disk.add(Fault("sync", 2))
    perform(disk, folder, "sync")
    with pytest.raises(OSError, match="file"):
        perform(disk, folder, "sync")


@pytest.mark.parametrize("operation", ["write", "truncate", "rename", "link", "unlink"])
def test_a_forgotten_operation_says_it_was_done(folder: Path, operation: Operation) -> None:
    lie = Fault(operation, effect=Effect.NONE, outcome=Outcome.RETURN)
    perform(FaultyDisk(lie), folder, operation)
    assert look(folder) == {"file": b"old"}


def test_a_forgotten_sync_never_reaches_the_disk_below(folder: Path) -> None:
    below = FaultyDisk()
    lie = Fault("sync", effect=Effect.NONE, outcome=Outcome.RETURN)
    disk = FaultyDisk(lie, below=below)
    perform(disk, folder, "sync")
    assert (disk.count("sync"), below.count("sync")) == (1, 0)
    perform(disk, folder, "sync")
    assert (disk.count("sync"), below.count("sync")) == (2, 1)


@given(st.binary(max_size=3000), st.sampled_from([Effect.PREFIX, Effect.SECTORS]), st.integers())
def test_a_torn_write_leaves_less_than_all_of_it_each_piece_in_its_place(
    data: bytes, effect: Effect, seed: int
) -> None:
    pieces = torn(data, effect, random.Random(seed))
    assert sum(len(piece) for _, piece in pieces) < max(len(data), 1)
    assert all(data[at : at + len(piece)] == piece for at, piece in pieces)
    if effect is Effect.PREFIX:
        assert all(at == 0 for at, _ in pieces)


def test_every_number_of_sectors_of_a_torn_write_comes_up() -> None:
    rng = random.Random(1)
    data = bytes(4 * 512)
    found = {len(torn(data, Effect.SECTORS, rng)) for _ in range(100)}
    assert found == {0, 1, 2, 3}


def test_a_torn_write_raises_and_leaves_its_part(folder: Path) -> None:
    before = b"o" * 4096
    for seed in range(20):
        (folder / "file").write_bytes(before)
        disk = FaultyDisk(Fault("write", effect=Effect.SECTORS), seed=seed)
        fd = disk.open(folder / "file", os.O_RDWR)
        with pytest.raises(OSError, match="file"):
            disk.write(fd, b"n" * 4096, 0)
        disk.close(fd)
        found = (folder / "file").read_bytes()
        sectors = {found[at : at + 512] for at in range(0, 4096, 512)}
        assert sectors <= {b"o" * 512, b"n" * 512}
        assert found != b"n" * 4096


def test_the_same_seed_tears_the_same_way(tmp_path: Path) -> None:
    found = set()
    for name in ("one", "two"):
        disk = FaultyDisk(Fault("write", effect=Effect.SECTORS), seed=7)
        fd = disk.open(tmp_path / name, NEW)
        with pytest.raises(OSError, match=name):
            disk.write(fd, b"n" * 8192, 0)
        disk.close(fd)
        found.add((tmp_path / name).read_bytes())
    assert len(found) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"operation": "write", "nth": 0}, "counted from 1"),
        ({"operation": "write", "times": 0}, "counted from 1"),
        ({"operation": "read", "outcome": Outcome.RETURN}, "cannot pretend"),
        ({"operation": "open", "outcome": Outcome.RETURN}, "cannot pretend"),
        ({"operation": "rename", "effect": Effect.PREFIX}, "only a write is cut"),
    ],
)
def test_a_fault_that_no_disk_can_have_is_refused(fault: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Fault(**fault)  # type: ignore[arg-type]


# -- death ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "left"), [(Effect.NONE, b"old"), (Effect.PREFIX, None), (Effect.ALL, b"new")]
)
def test_death_comes_before_amid_or_after_an_operation(
    folder: Path, effect: Effect, left: bytes | None
) -> None:
    disk = FaultyDisk(Fault("write", effect=effect, outcome=Outcome.KILL))
    with pytest.raises(Killed):
        perform(disk, folder, "write")
    found = (folder / "file").read_bytes()
    assert found == left if left is not None else found in {b"old", b"nld", b"ned"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_dead_do_nothing_more_but_their_files_are_closed(
    folder: Path, operation: Operation
) -> None:
    disk = FaultyDisk(Fault("truncate", outcome=Outcome.KILL))
    fd = disk.open(folder / "file", os.O_RDWR)
    with pytest.raises(Killed):
        disk.truncate(fd, 0)
    assert disk.dead
    disk.heal()
    with pytest.raises(Killed):
        perform(disk, folder, operation)
    assert disk.leaked() == [folder / "file"]
    disk.close_all()
    assert disk.leaked() == []
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(fd)
    assert look(folder) == {"file": b"old"}


def test_no_handler_of_exceptions_survives_a_death(folder: Path) -> None:
    disk = FaultyDisk(Fault("read", outcome=Outcome.KILL))
    with pytest.raises(Killed):  # noqa: PT012 - the handler is what is tested
        try:
            disk.read_file(folder / "file")
        except Exception:
            pytest.fail("a death was handled")


def test_drawn_deaths_cover_every_place_and_every_effect() -> None:
    rng = random.Random(3)
    drawn = [Fault.death(rng, 5) for _ in range(300)]
    assert {(one.nth, one.effect) for one in drawn} == {
        (nth, effect) for nth in range(1, 6) for effect in Effect
    }


def test_a_death_by_signal_is_a_sigkill_of_this_process(folder: Path) -> None:
    code = (
        "import sys, pathlib; from storage.testing import *\n"
        "disk = FaultyDisk(Fault('write', 2, effect=Effect.ALL, outcome=Outcome.KILL),"
        " death='signal')\n"
        "fd = disk.open(pathlib.Path(sys.argv[1]), 1)\n"
        "for n in range(5): disk.write(fd, b'%d' % n, 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder / "file")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (folder / "file").read_bytes() == b"1ld"


# -- SQLite's files --------------------------------------------------------------------------


def connect(disk: FaultyDisk, path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path), vfs=disk.vfs)
    setup = "pragma locking_mode=exclusive; pragma journal_mode=wal; pragma synchronous=off"
    for _ in db.execute(setup):
        pass
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return db


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "one.db"
    db = connect(FaultyDisk(), path)
    db.execute("create table t(a); insert into t values (1)")
    db.wal_checkpoint()
    db.close()
    yield path
    plain = apsw.Connection(str(path))
    assert plain.pragma("integrity_check") == "ok"
    plain.close()


@pytest.mark.parametrize(
    ("error", "raised"), [(errno.ENOSPC, apsw.FullError), (errno.EIO, apsw.IOError)]
)
def test_a_write_of_sqlite_into_its_wal_fails_as_sqlite_says_it(
    database: Path, error: int, raised: type[apsw.Error]
) -> None:
    disk = FaultyDisk()
    db = connect(disk, database)
    disk.add(Fault("write", 2, path="*-wal", error=error))
    with pytest.raises(raised):
        db.execute("insert into t values (2)")
    assert db.execute("select a from t").get == 1
    db.execute("insert into t values (3)")
    assert db.execute("select sum(a) from t").get == 4
    db.close()


def test_a_checkpoint_of_sqlite_into_its_database_fails_and_can_be_repeated(database: Path) -> None:
    disk = FaultyDisk()
    db = connect(disk, database)
    db.execute("insert into t values (2)")
    disk.add(Fault("write", path="*.db", error=errno.ENOSPC, times=2))
    for _ in range(2):
        with pytest.raises(apsw.FullError):
            db.wal_checkpoint()
    db.wal_checkpoint()
    assert db.execute("select sum(a) from t").get == 3
    db.close()


def test_reads_and_opens_of_sqlite_fail_too(database: Path) -> None:
    disk = FaultyDisk(Fault("open", path="*.db"))
    with pytest.raises(apsw.CantOpenError):
        connect(disk, database)
    disk.add(Fault("read", path="*.db"))
    with pytest.raises(apsw.IOError) as caught:
        connect(disk, database)
    assert caught.value.extendedresult == apsw.SQLITE_IOERR_READ
    connect(disk, database).close()


def test_every_operation_of_sqlite_is_counted_beside_storages_own(database: Path) -> None:
    disk = FaultyDisk()
    db = connect(disk, database)
    before = disk.count("write", "*.db-wal")
    db.execute("insert into t values (2)")
    assert disk.count("write", "*.db-wal") > before
    assert disk.count("write", "one.db") == 0
    db.wal_checkpoint()
    assert disk.count("write", "one.db") > 0
    assert disk.log[0].operation == "open"
    db.close()


def test_a_process_that_dies_anywhere_in_a_commit_of_sqlite_leaves_all_or_nothing(
    database: Path, tmp_path: Path
) -> None:
    saved = database.read_bytes()
    nth = 0
    alive = False
    while not alive:
        nth += 1
        database.write_bytes(saved)
        database.with_name("one.db-wal").unlink(missing_ok=True)
        disk = FaultyDisk()
        db = connect(disk, database)
        disk.add(Fault("any", nth, effect=Effect.PREFIX, outcome=Outcome.KILL))
        try:
            db.execute("insert into t values (2); insert into t values (3)")
            alive = True
        except Killed:
            pass
        db.close(True)
        plain = apsw.Connection(str(database))
        assert plain.execute("select count(*) from t").get in {1, 2, 3}
        plain.close()
    assert nth > 5


def test_a_connection_of_the_dead_changes_nothing_and_is_closed_in_silence(
    database: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    disk = FaultyDisk()
    db = connect(disk, database)
    db.execute("begin; insert into t values (2)")
    with pytest.raises(Killed):
        disk.die()
    before = look(database.parent)
    db.execute("commit")
    del db
    gc.collect()
    assert look(database.parent) == before
    assert capfd.readouterr() == ("", "")
    with pytest.raises(Killed):
        connect(disk, database)


def test_a_block_ends_at_a_death_and_at_nothing_else(folder: Path) -> None:
    disk = FaultyDisk(Fault("read"))
    with pytest.raises(OSError, match="file"), disk.until_death():
        disk.read_file(folder / "file")
    with disk.until_death():
        disk.die()
    with disk.until_death():
        raise RuntimeError("remains of the dead")


def test_disks_do_not_share_a_vfs(database: Path) -> None:
    broken, sound = FaultyDisk(Fault("open", times=None)), FaultyDisk()
    assert broken.vfs != sound.vfs
    connect(sound, database).close()
    assert {broken.vfs, sound.vfs} <= set(apsw.vfs_names())


def test_a_disk_that_is_gone_leaves_no_vfs_behind() -> None:
    name = FaultyDisk().vfs
    assert name not in apsw.vfs_names()
