"""Recovery: every durable commit, whatever was cut where; damage is told from a torn tail."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import Store
from storage.clone import clone
from storage.disk import Disk
from storage.errors import DatabaseCorrupt, JournalCorrupt
from storage.frames import Commit
from storage.journal import Journal
from storage.layout import Layout
from storage.limits import JournalLimits
from storage.record import BIND, CREATE, DELETE, HEADER, PAGES, SECTOR, Entry, decode
from storage.recovery import overlay, read_segments
from storage.segment import START
from storage.template import template

from .kit import SMALL, CutDisk, PowerCut, crashed, flip, image, put, read, segments, whole
from .kit import small_files as small_files

QUIET = JournalLimits(segment=64 << 10, size=64 << 20)
"""Many segments, and no checkpoint: everything is in the journal."""


@pytest.fixture
def store(tmp_path: Path, small_files: None) -> Iterator[Store]:
    store = Store.open(tmp_path / "state", journal=QUIET)
    yield store
    store.close()


def fill(store: Store, commits: int, *, actors: int = 3, each: int = 1) -> None:
    for n in range(commits):
        put(store.root("K", f"a{n % actors}"), [n, "x" * 9000])
        if n % each == 0:
            store.sync()
    store.sync()


def states(store: Store) -> dict[str, object]:
    found = {name: read(store.root("K", name)) for name in store.names("K")}
    assert all(whole(store.root("K", name)) for name in found)
    return found


def files(root: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(root)): one.read_bytes()
        for one in sorted(root.rglob("*"))
        if one.is_file() and one.name != "lock"
    }


# -- the end of a crash -----------------------------------------------------------------------


def test_what_is_durable_is_there_after_a_crash(store: Store) -> None:
    fill(store, 30)
    expected = states(store)
    put(store.root("K", "late"), 1)  # never synced

    with crashed(store) as again:
        assert states(again) == expected


def test_a_torn_last_record_takes_only_itself_away(store: Store, tmp_path: Path) -> None:
    fill(store, 3)
    put(store.root("K", "a0"), [99, "x" * 9000])
    store.sync()
    (segment,) = segments(store.directory)
    found = read_segments(Disk(), store.layout.journal)[0]
    at = found.records[-2].end
    sectors = range(at, found.records[-1].end, SECTOR)
    assert len(sectors) > 4

    for sector in sectors:
        root = image(store.directory)
        with (root / "journal" / segment.name).open("r+b") as file:
            file.seek(sector)
            file.write(bytes(SECTOR))
        again = Store.open(root)
        assert again.committed == found.records[-2].sequence
        assert states(again)["a0"] == [0, "x" * 9000]
        again.close()


def test_after_a_torn_tail_new_commits_survive_the_next_crash(store: Store) -> None:
    fill(store, 4)
    root = image(store.directory)
    last = read_segments(Disk(), store.layout.journal)[-1].records[-1]
    flip(segments(root)[-1], last.end - SECTOR)

    again = Store.open(root)
    put(again.root("K", "a9"), "new")
    again.sync()
    expected = states(again)
    with crashed(again) as third:
        assert states(third) == expected
    again.close()


# -- damage -----------------------------------------------------------------------------------


def damaged(store: Store) -> Path:
    """An image with several segments, each record acknowledged before the next was made."""
    fill(store, 24)
    root = image(store.directory)
    assert len(segments(root)) >= 4
    return root


def refused(root: Path) -> None:
    before = files(root)
    with pytest.raises(JournalCorrupt):
        Store.open(root)
    assert files(root) == before


@pytest.mark.parametrize("which", [0, 1, -2])
@pytest.mark.parametrize("at", [8, START, START + 9, START + HEADER + 3])
def test_a_flipped_byte_in_an_earlier_segment_is_refused(store: Store, which: int, at: int) -> None:
    root = damaged(store)
    flip(segments(root)[which], at)
    refused(root)


def test_a_flipped_byte_in_an_earlier_record_of_the_last_segment_is_refused(store: Store) -> None:
    fill(store, 3)
    root = image(store.directory)
    flip(segments(root)[-1], START + HEADER + 3)
    refused(root)


def test_a_flipped_byte_in_the_last_header_is_refused(store: Store) -> None:
    root = damaged(store)
    flip(segments(root)[-1], 9)
    refused(root)


def test_a_missing_segment_in_the_middle_is_refused(store: Store) -> None:
    root = damaged(store)
    segments(root)[1].unlink()
    refused(root)


def test_a_state_without_any_segment_is_refused(store: Store) -> None:
    root = damaged(store)
    for one in segments(root):
        one.unlink()
    refused(root)


def test_two_segments_swapped_by_name_are_only_names(store: Store) -> None:
    expected_root = damaged(store)
    expected = states(store)
    one, two = segments(expected_root)[:2]
    one.rename(one.with_suffix(".tmp"))
    two.rename(one)
    one.with_suffix(".tmp").rename(two)

    again = Store.open(expected_root)
    assert states(again) == expected
    again.close()


# -- cut and repeated -------------------------------------------------------------------------


class Counting(CutDisk):
    """Counts, and never ends."""

    def __init__(self) -> None:
        super().__init__(1 << 40)

    @property
    def count(self) -> int:
        return (1 << 40) - self.left


def busy(store: Store) -> dict[str, object]:
    """Several segments with creates, deletes, clones and new lives of one name."""
    fill(store, 12)
    store.root("K", "a1").delete()
    put(store.root("K", "a1"), "again")
    put(store.root("K", "a1").child("c"), "child")
    graft = clone(store, store.root("K", "a1"), store.root("K", "copy"))
    graft.work()
    graft.finish()
    store.sync()
    fill(store, 6, actors=2)
    return states(store)


def operations(root: Path) -> int:
    """How many changes of the disk the recovery of this image makes."""
    disk = Counting()
    Store.open(image(root, "count"), disk=disk).close()
    return disk.count


def test_recovery_may_be_cut_after_each_of_its_operations(store: Store) -> None:
    expected = busy(store)
    dead = image(store.directory, "dead")
    count = operations(dead)
    assert count > 50

    for after in range(count % 2, count, 2):
        root = image(dead)
        with pytest.raises(PowerCut):
            Store.open(root, disk=CutDisk(after, torn=after % 3 > 0))
        again = Store.open(root)
        assert states(again) == expected, after
        assert read(again.root("K", "copy").child("c")) == "child"
        again.close()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_recovery_may_be_cut_again_and_again(
    small_files: None, tmp_path: Path, data: st.DataObject
) -> None:
    dead = tmp_path / "dead"
    if not dead.exists():
        store = Store.open(tmp_path / "state", journal=QUIET)
        (tmp_path / "expected").write_text(repr(busy(store)))
        image(store.directory, "dead")
        store.close()
    root = image(dead)
    for _ in range(data.draw(st.integers(1, 4))):
        with suppress(PowerCut):
            Store.open(root, disk=CutDisk(data.draw(st.integers(0, 120)), torn=True)).close()

    again = Store.open(root)
    assert repr(states(again)) == (tmp_path / "expected").read_text()
    again.close()


@pytest.mark.parametrize("backlog", [1, 8 << 20])
def test_a_recovery_that_is_cut_under_smaller_limits_keeps_everything(
    store: Store, backlog: int
) -> None:
    fill(store, 12, each=100)
    expected = states(store)
    dead = image(store.directory, "dead")
    limits = JournalLimits(segment=8 << 10, size=64 << 10, backlog=backlog)

    for after in range(1, 40, 2):
        root = image(dead)
        with suppress(PowerCut):
            Store.open(root, journal=limits, disk=CutDisk(after)).close()
        with_old = Store.open(root)
        assert states(with_old) == expected, after
        with_old.close()


# -- files ------------------------------------------------------------------------------------


def test_a_created_file_is_made_anew_and_never_trusted(store: Store) -> None:
    put(store.root("K", "a"), 1)
    store.sync()
    root = image(store.directory)
    path = Layout(root).path(store.root("K", "a").uid or 0)
    for content in (b"", b"garbage" * 10_000):
        path.write_bytes(content)
        path.with_name(path.name + "-wal").write_bytes(b"stale")
        shutil.copytree(root, root.with_name("again"), dirs_exist_ok=True)
        again = Store.open(root.with_name("again"))
        assert states(again) == {"a": 1}
        again.close()


def test_a_name_that_was_lost_is_made_anew(store: Store) -> None:
    put(store.root("K", "a"), 1)
    store.sync()
    root = image(store.directory)
    shutil.rmtree(root / "db" / "01")

    again = Store.open(root)
    assert states(again) == {"a": 1}
    again.close()


def test_the_wal_of_a_dead_process_is_dropped_at_first_use(store: Store) -> None:
    """Also where the journal says nothing of its database: it may hold what was never durable."""
    a = store.root("K", "a")
    put(a, "old")
    store.tend(everything=True)
    store.close()
    again = Store.open(store.directory)
    a = again.root("K", "a")
    put(a, "never durable")

    with crashed(again) as third:
        assert states(third) == {"a": "old"}
    again.close()


def test_half_of_a_commit_in_the_file_is_repaired(store: Store) -> None:
    """Pages of a checkpoint that was cut, next to older ones."""
    a = store.root("K", "a")
    put(a, ["x" * 20_000])
    store.sync()
    assert a.path is not None
    before = a.path.read_bytes()
    put(a, ["y" * 50_000])
    store.tend(everything=True)
    after = a.path.read_bytes()
    put(a, ["z" * 30_000])
    store.sync()
    root = image(store.directory)
    mixed = bytearray(after)
    for at in range(0, len(before), 8192):
        mixed[at : at + 4096] = before[at : at + 4096]
    Layout(root).path(a.uid or 0).write_bytes(mixed)

    again = Store.open(root)
    assert states(again) == {"a": ["z" * 30_000]}
    again.close()


def test_a_database_that_shrank_has_its_size_again(store: Store) -> None:
    a = store.root("K", "a")
    a.sql("create table t(x)")
    a.sql("insert into t values (zeroblob(400000))")
    a.commit()
    store.tend(everything=True)
    a.sql("delete from t")
    a.commit()
    store.sync()
    with crashed(store) as again:
        b = again.root("K", "a")
        assert b.size() == a.size()
        assert whole(b)


def test_a_missing_file_is_the_error_of_who_opens_it(store: Store) -> None:
    put(store.root("K", "a"), 1)
    put(store.root("K", "b"), 2)
    store.tend(everything=True)
    put(store.root("K", "a"), 3)
    store.sync()
    root = image(store.directory)
    store_rotated = Store.open(root)
    store_rotated.close()
    path = Layout(root).path(store.root("K", "a").uid or 0)
    path.unlink()

    again = Store.open(root)
    assert read(again.root("K", "b")) == 2
    with pytest.raises(DatabaseCorrupt, match="missing"):
        read(again.root("K", "a"))
    again.close()


def test_what_lay_in_staging_is_gone(store: Store) -> None:
    root = image(store.directory)
    (root / "staging").mkdir()
    (root / "staging" / "half.db").write_bytes(b"x")

    Store.open(root).close()

    assert not (root / "staging").exists()


# -- folding ----------------------------------------------------------------------------------


class Lab:
    """A journal written by hand, laid over the files of a directory."""

    def __init__(self, tmp_path: Path) -> None:
        self.layout = Layout(tmp_path)
        self.layout.databases.mkdir()
        self.layout.journal.mkdir()
        self.journal = Journal(Disk(), self.layout.journal, 1, 0, 0)

    def file(self, generation: int = 1, content: bytes = b"old") -> Path:
        path = self.layout.path(5, generation)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def overlay(self, *entries: Entry) -> None:
        for entry in entries:
            self.journal.append([entry])
        self.journal.sync()
        (found,) = read_segments(Disk(), self.layout.journal)
        overlay(Disk(), self.layout, found.records)
        overlay(Disk(), self.layout, found.records)  # as often as one likes

    def page(self, letter: str, *numbers: int, size: int = 3, generation: int = 1) -> Entry:
        content = b"\0" + letter.encode() * 4095
        return Entry(PAGES, 5, generation, Commit(size, dict.fromkeys(numbers, content)))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.journal.close()


def test_create_begins_with_the_template(lab: Lab) -> None:
    path = lab.file()
    lab.overlay(Entry(CREATE, 5))

    assert path.read_bytes() == template()


def test_delete_removes_what_was_written_before(lab: Lab) -> None:
    path = lab.file()
    wal = path.with_name(path.name + "-wal")
    wal.write_bytes(b"x")
    lab.overlay(lab.page("a", 1, 2, 3), Entry(DELETE, 5))

    assert not path.exists()
    assert not wal.exists()


def test_create_write_and_delete_leave_nothing(lab: Lab) -> None:
    lab.overlay(Entry(CREATE, 5), lab.page("a", 1, 2, 3), Entry(DELETE, 5))

    assert not lab.layout.path(5).exists()


def test_bind_takes_the_place_of_what_was_written_before(lab: Lab) -> None:
    old, new = lab.file(), lab.file(2, b"\1" * 8192)
    lab.overlay(
        Entry(CREATE, 5),
        lab.page("a", 1),
        Entry(BIND, 5, 2, replaces=1),
        lab.page("b", 3, generation=2),
    )

    assert not old.exists()
    assert new.read_bytes() == b"\1" * 8192 + b"\0" + b"b" * 4095


def test_a_bound_file_that_is_not_written_to_stays_as_it_is(lab: Lab) -> None:
    new = lab.file(2, b"complete")
    lab.overlay(Entry(BIND, 5, 2, replaces=1))

    assert new.read_bytes() == b"complete"


def test_a_generation_that_was_deleted_takes_the_ones_before_with_it(lab: Lab) -> None:
    paths = [lab.file(), lab.file(2), lab.file(3)]
    lab.overlay(
        lab.page("a", 1),
        Entry(BIND, 5, 2, replaces=1),
        Entry(BIND, 5, 3, replaces=2),
        Entry(DELETE, 5, 3),
    )

    assert not any(path.exists() for path in paths)


def test_pages_behind_the_end_are_dropped(lab: Lab) -> None:
    path = lab.file(content=b"\1" * 4096 * 9)
    lab.overlay(lab.page("a", 4, 5, 6, size=6), lab.page("b", 1, size=4))

    content = path.read_bytes()
    assert len(content) == 4 * 4096
    assert (content[1:2], content[4097:4098], content[-1:]) == (b"b", b"\1", b"a")


def test_limits_of_the_next_process_do_not_matter(store: Store) -> None:
    fill(store, 12)
    expected = states(store)

    with crashed(store, journal=SMALL) as again:
        assert states(again) == expected


def test_records_keep_the_epoch_they_were_made_in(store: Store, tmp_path: Path) -> None:
    fill(store, 2)
    root = image(store.directory)
    (old,) = read_segments(Disk(), root / "journal")
    for after in range(200):  # until the copy is there and the old segment still is
        try:
            Store.open(root, disk=CutDisk(after)).close()
        except PowerCut:
            found = read_segments(Disk(), root / "journal")
            if found[-1].header.epoch > old.header.epoch and found[-1].records:
                break
    assert [one.made for one in found[-1].records] == [old.header.epoch] * len(old.records)
    assert decode(b"", 0, 1, 1) is None


def test_the_wal_of_a_file_that_is_laid_over_is_dropped_at_once(lab: Lab) -> None:
    path = lab.file(content=b"\1" * 4096)
    wal = path.with_name(path.name + "-wal")
    wal.write_bytes(b"x")
    lab.overlay(lab.page("a", 1))

    assert not wal.exists()
