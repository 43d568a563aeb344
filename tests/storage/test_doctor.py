"""The doctor: says what is wrong and changes nothing; repairs, and throws nothing away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import Store
from storage.clone import clone
from storage.disk import Disk
from storage.doctor import Report, Severity, examine, repair
from storage.errors import JournalCorrupt, StateFormat, StateInUse
from storage.layout import Layout
from storage.limits import JournalLimits
from storage.recovery import read_segments
from storage.segment import START

from .kit import CutDisk, PowerCut, flip, image, put, read, segments
from .kit import small_files as small_files

QUIET = JournalLimits(segment=64 << 10, size=64 << 20)


@pytest.fixture
def store(tmp_path: Path, small_files: None) -> Iterator[Store]:
    """Actors in the files, and newer states in several segments."""
    store = Store.open(tmp_path / "state", journal=QUIET)
    for name in "abc":
        put(store.root("K", name), "old")
    put(store.root("K", "a").child("x"), "child")
    store.tend(everything=True)
    for n in range(26):  # the last segment has several records
        put(store.root("K", "abc"[n % 3]), [n, "x" * 9000])
        store.sync()
    yield store
    store.close()


def files(root: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(root)): one.read_bytes()
        for one in sorted(root.rglob("*"))
        if one.is_file() and one.name != "lock"
    }


def settled(store: Store) -> Path:
    """A closed directory whose journal is empty: everything is in the files."""
    store.close()
    Store.open(store.directory).close()
    return store.directory


def file_of(store: Store, root: Path, name: str) -> Path:
    uid = store.root("K", name).uid
    assert uid is not None
    return Layout(root).path(uid)


def looked(root: Path) -> Report:
    """What it says, having changed nothing."""
    before = files(root)
    report = examine(root)
    assert files(root) == before
    return report


def errors(report: Report) -> list[str]:
    return [one.path for one in report.findings if one.severity == Severity.ERROR]


def states(root: Path) -> dict[str, object]:
    store = Store.open(root)
    found = {name: read(store.root("K", name)) for name in store.names("K")}
    store.close()
    return found


# -- examine ----------------------------------------------------------------------------------


def test_after_an_orderly_end_there_is_nothing_to_say(store: Store) -> None:
    report = looked(settled(store))

    assert report.sound
    assert report.findings == ()
    assert (report.actors, report.databases) == (4, 5)
    assert report.journal.damaged is False
    assert report.sizes.databases > 5 * 4096


def test_a_crash_is_examined_as_recovery_would_leave_it(store: Store) -> None:
    """Half of a checkpoint in the file is no damage: the journal repairs it."""
    root = image(store.directory)
    path = file_of(store, root, "a")
    content = bytearray(path.read_bytes())
    content[4096:8192] = os.urandom(4096)
    path.write_bytes(content)

    report = looked(root)

    assert report.sound
    assert report.journal.last == store.committed
    assert report.journal.segments == len(segments(root))
    assert report.sizes.wal > 0


def test_a_file_that_is_made_anew_by_the_journal_is_not_missing(store: Store) -> None:
    put(store.root("K", "new"), 1)
    store.sync()
    root = image(store.directory)
    file_of(store, root, "new").unlink()

    assert looked(root).sound


def test_a_torn_tail_is_told_with_its_bytes_and_is_no_error(store: Store) -> None:
    put(store.root("K", "a"), "one")
    put(store.root("K", "b"), "two")
    store.sync()
    root = image(store.directory)
    last = read_segments(Disk(), root / "journal")[-1]
    assert len(last.records) >= 2
    flip(last.path, last.records[-2].end - 512)

    report = looked(root)

    assert report.sound
    assert report.journal.torn >= 512
    assert report.journal.last <= store.committed - 2 + 1


@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize("at", [9, START + 70])
def test_damage_in_the_journal_is_an_error_with_what_is_lost(
    store: Store, which: int, at: int
) -> None:
    root = image(store.directory)
    damaged = segments(root)[which]
    flip(damaged, at)

    report = looked(root)

    assert not report.sound
    assert f"journal/{damaged.name}" in errors(report)
    assert report.journal.damaged
    assert report.journal.lost is not None
    assert report.findings[0].severity == Severity.ERROR


def test_a_missing_segment_is_an_error(store: Store) -> None:
    root = image(store.directory)
    segments(root)[1].unlink()

    report = looked(root)

    assert report.journal.lost is not None
    assert report.journal.lost[1] == store.committed
    assert any("missing" in one.what for one in report.findings)


def test_no_journal_at_all_is_an_error(store: Store) -> None:
    root = image(store.directory)
    for one in segments(root):
        one.unlink()

    assert "journal" in errors(looked(root))


def test_a_damaged_database_is_an_error_with_whose_it_is(store: Store) -> None:
    root = settled(store)
    path = file_of(store, root, "b")
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)

    report = looked(root)

    assert errors(report) == [str(path.relative_to(root))]
    assert "K 'b'" in report.findings[0].what


@pytest.mark.parametrize(
    ("content", "what"), [(b"", "not a database"), (b"x" * 8192, "not a database")]
)
def test_what_is_no_database_is_an_error(store: Store, content: bytes, what: str) -> None:
    root = settled(store)
    file_of(store, root, "b").write_bytes(content)

    report = looked(root)

    assert what in report.findings[0].what


def test_a_database_of_another_program_is_an_error(store: Store) -> None:
    root = settled(store)
    path = file_of(store, root, "b")
    content = bytearray(path.read_bytes())
    content[68:72] = b"ELSE"  # the application id
    path.write_bytes(content)

    assert "not a database of ours" in looked(root).findings[0].what


def test_a_row_without_its_file_is_an_error(store: Store) -> None:
    root = settled(store)
    path = file_of(store, root, "c")
    path.unlink()

    assert errors(looked(root)) == [str(path.relative_to(root))]


def test_a_missing_catalogue_is_an_error_and_no_file_an_orphan(store: Store) -> None:
    root = settled(store)
    (root / "catalogue.db").unlink()

    report = looked(root)

    assert errors(report) == ["catalogue.db"]
    assert len(report.findings) == 1


def test_files_that_nobody_has_are_warnings(store: Store) -> None:
    root = settled(store)
    orphan = root / "db" / "ff" / "255.db"
    orphan.parent.mkdir()
    orphan.write_bytes(b"x")
    (root / "db" / "notes.txt").write_bytes(b"x")
    (root / "staging").mkdir()
    (root / "staging" / "half.db").write_bytes(b"x")

    report = looked(root)

    assert report.sound
    found = {one.path: one.severity for one in report.findings}
    assert found == {
        "db/ff/255.db": Severity.WARNING,
        "db/notes.txt": Severity.WARNING,
        "staging/half.db": Severity.NOTE,
    }


def test_a_deleted_database_whose_file_is_still_there_is_only_noted(store: Store) -> None:
    store.root("K", "c").delete()
    root = image(store.directory)
    assert looked(root).sound

    store.chronicler.endings.reap = lambda _: None  # type: ignore[method-assign]  # a kill before
    store.sync()
    report = looked(image(store.directory))

    assert report.sound
    assert {one.severity for one in report.findings} == {Severity.NOTE}


def test_a_clone_in_the_journal_is_examined_too(store: Store) -> None:
    graft = clone(store, store.root("K", "a"), store.root("K", "copy"))
    graft.work()
    graft.finish()
    put(store.root("K", "copy"), "later")
    store.sync()

    report = looked(image(store.directory))

    assert report.sound
    assert report.actors == 6


def test_a_directory_in_use_is_refused(store: Store) -> None:
    with pytest.raises(StateInUse):
        examine(store.directory)
    with pytest.raises(StateInUse):
        repair(store.directory)


def test_a_directory_that_is_not_ours_is_refused_and_untouched(tmp_path: Path) -> None:
    for work in (examine, repair):
        with pytest.raises(StateFormat):
            work(tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- repair -----------------------------------------------------------------------------------


def test_repair_recovers_what_a_crash_left(store: Store) -> None:
    root = image(store.directory)

    report = repair(root)

    assert report.sound
    assert report.journal.last < report.journal.first
    assert states(root) == {
        "a": [24, "x" * 9000], "b": [25, "x" * 9000], "c": [23, "x" * 9000],
    }  # fmt: skip


def test_repair_of_what_is_sound_changes_nothing_that_is_kept(store: Store) -> None:
    root = settled(store)
    before = files(root / "db")

    report = repair(root)

    assert report.findings == ()
    assert report.done == ("recovered the journal",)
    assert files(root / "db") == before


def test_orphans_are_moved_and_not_deleted(store: Store) -> None:
    root = settled(store)
    orphan = root / "db" / "ff" / "255.db"
    orphan.parent.mkdir()
    orphan.write_bytes(b"content")

    report = repair(root)

    assert not orphan.exists()
    assert (root / "lost+found" / "db-ff-255.db").read_bytes() == b"content"
    assert any("moved db/ff/255.db" in one for one in report.done)
    assert {one.severity for one in report.findings} == {Severity.NOTE}
    assert states(root)["a"] == [24, "x" * 9000]


def test_a_second_file_of_one_name_keeps_the_first(store: Store) -> None:
    root = settled(store)
    orphan = root / "db" / "ff" / "255.db"
    orphan.parent.mkdir()
    for content in (b"first", b"second"):
        orphan.write_bytes(content)
        repair(root)

    kept = sorted(one.read_bytes() for one in (root / "lost+found").iterdir())
    assert kept == [b"first", b"second"]


def test_a_damaged_database_is_moved_and_the_others_go_on(store: Store) -> None:
    root = settled(store)
    path = file_of(store, root, "b")
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)

    report = repair(root)

    assert errors(report) == [str(path.relative_to(root))]  # missing now: data is gone
    assert "missing" in report.findings[0].what
    moved = root / "lost+found" / str(path.relative_to(root)).replace("/", "-")
    assert moved.read_bytes() == bytes(content)
    again = Store.open(root)
    assert read(again.root("K", "a")) == [24, "x" * 9000]
    again.root("K", "b").delete()
    put(again.root("K", "b"), "again")
    again.close()
    assert examine(root).sound


def breaking(root: Path, which: int, at: int) -> Callable[[], None]:
    return lambda: flip(segments(root)[which], at)


def test_damage_in_the_journal_is_not_repaired_without_consent(store: Store) -> None:
    root = image(store.directory)
    flip(segments(root)[1], START + 70)
    before = files(root)

    with pytest.raises(JournalCorrupt, match="damaged"):
        repair(root)

    assert files(root) == before


@pytest.mark.parametrize("at", [9, START + 70])
@pytest.mark.parametrize("which", [1, 2, -1])
def test_with_the_loss_accepted_everything_before_the_damage_is_kept(
    store: Store, which: int, at: int
) -> None:
    root = image(store.directory)
    found = read_segments(Disk(), root / "journal")
    damaged = found[which]
    assert damaged.path == segments(root)[which]
    content = damaged.path.read_bytes()
    flip(damaged.path, at)
    last = damaged.header.first - 1  # its first record is lost, or its header

    report = repair(root, accept_loss=True)

    assert report.sound
    assert any(f"the records from {last + 1} " in one for one in report.done)
    kept = root / "lost+found" / f"journal-{damaged.path.name}"
    assert len(kept.read_bytes()) == len(content)
    # Records 1 to 4 are those of the fixture before the 24; actors take turns.
    expected = {"abc"[n % 3]: [n, "x" * 9000] for n in range(last - 4)}
    assert states(root) == {**dict.fromkeys("abc", "old"), **expected}


def test_without_a_journal_and_the_loss_accepted_the_files_go_on(store: Store) -> None:
    root = settled(store)
    for one in segments(root):
        one.unlink()
    with pytest.raises(JournalCorrupt):
        repair(root)

    report = repair(root, accept_loss=True)

    assert report.sound
    assert set(states(root)) == {"a", "b", "c"}


def test_a_repair_that_was_cut_is_repeated(store: Store) -> None:
    dead = image(store.directory, "dead")
    flip(segments(dead)[2], START + 70)
    whole = image(dead)
    repair(whole, accept_loss=True)
    expected = states(whole)

    for after in range(0, 200, 5):
        root = image(dead)
        try:
            repair(root, CutDisk(after, torn=True), accept_loss=True)
        except PowerCut:
            report = repair(root, accept_loss=True)
            assert report.sound
            assert states(root) == expected, after
        else:
            break
    assert after > 20


def test_a_repair_hands_records_to_who_keeps_older_states(store: Store) -> None:
    root = image(store.directory)
    seen: list[int] = []

    repair(root, before=lambda records: seen.extend(one.sequence for one in records))

    assert seen[-1] == store.committed


def test_the_history_of_no_actor_is_found_and_moved_aside(store: Store) -> None:
    root = settled(store)
    kept = {path.name for path in root.glob("history/??/*")}
    (root / "history" / "e7").mkdir(exist_ok=True)
    lost = next(root.glob("history/??/*")).rename(root / "history" / "e7" / "999")
    kept.discard(lost.name)

    assert [one.path for one in looked(root).findings] == ["history/e7/999"]
    repair(root)

    assert not lost.exists()
    assert (root / "lost+found" / "history-e7-999").is_dir()
    assert {path.name for path in root.glob("history/??/*")} < kept


def test_a_large_content_that_is_missing_is_an_error(store: Store) -> None:
    a = store.root("K", "a")
    a.fs.write("/f", bytes([1]) * (2 << 20))
    a.commit()
    root = settled(store)
    assert looked(root).sound
    next(root.glob("objects/files/??/*")).unlink()

    report = looked(root)
    assert not report.sound
    assert "missing" in report.findings[0].what
