"""Clones, exports and imports of a subtree."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from storage import Store
from storage.archive import Export, import_
from storage.clone import clone
from storage.database import Database
from storage.errors import BadArchive, NoState


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state")
    yield store
    store.close()


def put(database: Database, value: str) -> None:
    database.kv["x"] = value
    database.sql("create table if not exists t(a, b)")
    database.sql("insert into t values (?, zeroblob(9000))", value)
    database.commit()


def tree(store: Store) -> Database:
    """A root `a` with a child, a grandchild, and a child that never wrote itself."""
    root = store.root("K", "a")
    put(root, "root")
    put(root.child("one"), "child")
    put(root.child("one").child("deep"), "grandchild")
    put(root.child("silent").child("below"), "below")
    return root


def read(database: Database) -> str | None:
    value = database.kv.get("x")
    database.rollback()
    return value


def contents(root: Database) -> list[str | None]:
    silent = root.child("silent")
    return [
        read(root),
        read(root.child("one")),
        read(root.child("one").child("deep")),
        read(silent),
        read(silent.child("below")),
    ]


ALL = ["root", "child", "grandchild", None, "below"]


def make_clone(store: Store, source: Database, target: Database) -> None:
    graft = clone(store, source, target)
    graft.work()
    graft.finish()


def test_a_clone_holds_the_whole_subtree(store: Store) -> None:
    root = tree(store)

    make_clone(store, root, store.root("K", "b"))

    assert contents(store.root("K", "b")) == ALL
    assert contents(root) == ALL


def test_source_and_clone_go_their_own_ways(store: Store) -> None:
    root = tree(store)
    make_clone(store, root, store.root("K", "b"))

    put(root, "changed")
    put(store.root("K", "b").child("one"), "other")

    assert read(store.root("K", "b")) == "root"
    assert read(root.child("one")) == "child"


def test_the_source_may_go_on_while_it_is_copied(store: Store) -> None:
    root = tree(store)
    graft = clone(store, root, store.root("K", "b"))
    for n in range(300):
        put(root, str(n))
    store.sync()
    store.tend()

    graft.work()
    graft.finish()

    assert read(store.root("K", "b")) == "root"
    assert read(root) == "299"


def test_a_clone_replaces_what_its_target_held(store: Store) -> None:
    root = tree(store)
    target = store.root("K", "b")
    put(target, "old")
    put(target.child("old child"), "old")

    make_clone(store, root, target)

    assert contents(target) == ALL
    assert target.children() == ["one", "silent"]


def crashed(store: Store) -> Store:
    """The state as a kill at this moment leaves it, opened again."""
    image = store.directory.with_name("crashed")
    shutil.copytree(store.directory, image)
    return Store.open(image)


def test_a_clone_survives_a_crash_once_durable(store: Store) -> None:
    make_clone(store, tree(store), store.root("K", "b"))
    store.sync()
    put(store.root("K", "b"), "later")
    store.sync()

    again = crashed(store)

    assert contents(again.root("K", "b")) == ["later", *ALL[1:]]
    again.close()


def test_a_clone_that_is_not_durable_never_was(store: Store) -> None:
    root = tree(store)
    store.sync()
    make_clone(store, root, store.root("K", "b"))

    again = crashed(store)

    assert again.names("K") == ["a"]
    put(again.root("K", "c"), "new")
    assert contents(again.root("K", "a")) == ALL
    assert read(again.root("K", "c")) == "new"
    again.close()


def test_cloning_what_was_never_written_is_refused(store: Store) -> None:
    with pytest.raises(NoState):
        clone(store, store.root("K", "nothing"), store.root("K", "b"))


def test_a_cancelled_clone_leaves_no_file(store: Store) -> None:
    root = tree(store)
    before = sorted(store.layout.databases.rglob("*.db"))
    graft = clone(store, root, store.root("K", "b"))
    graft.work()

    graft.cancel()

    assert sorted(store.layout.databases.rglob("*.db")) == before
    assert not store.root("K", "b").exists()


# -- archives -------------------------------------------------------------------------------


def export(store: Store, database: Database, path: Path) -> Path:
    job = Export(store, database, path)
    job.work()
    job.close()
    return path


def bring(store: Store, path: Path, target: Database) -> None:
    graft = import_(store, path, target)
    graft.work()
    graft.finish()


def test_an_export_can_be_imported_elsewhere(store: Store, tmp_path: Path) -> None:
    file = export(store, tree(store), tmp_path / "a.tar")

    with_other = Store.open(tmp_path / "other")
    bring(with_other, file, with_other.root("Other", "z"))

    assert contents(with_other.root("Other", "z")) == ALL
    with_other.close()


def test_an_import_below_a_parent_that_never_wrote(store: Store, tmp_path: Path) -> None:
    file = export(store, tree(store), tmp_path / "a.tar")
    target = store.root("K", "parent").child("imported")

    bring(store, file, target)

    assert contents(target) == ALL
    assert store.root("K", "parent").children() == ["imported"]


def rewrite(path: Path, change: object) -> None:
    """Pack the archive again, with every member passed through `change(name, data)`."""
    with tarfile.open(path) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar.getmembers()]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as tar:
        for member, old in members:
            name, data = change(member.name, old)  # type: ignore[operator]
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def in_manifest(**changes: object) -> object:
    def change(name: str, data: bytes) -> tuple[str, bytes]:
        if name != "manifest.json":
            return name, data
        said = msgspec.json.decode(data)
        said["format"] = changes.get("format", said["format"])
        said["actors"][1].update({k: v for k, v in changes.items() if k != "format"})
        return name, msgspec.json.encode(said)

    return change


ODD = {
    "another version": in_manifest(format=9),
    "an unknown field": in_manifest(extra=1),
    "a file of another name": in_manifest(file="../../etc/passwd"),
    "a parent behind it": in_manifest(parent=3),
    "a negative parent": in_manifest(parent=-1),
    "no name": in_manifest(name=""),
    "another size": in_manifest(size=4096),
    "another hash": in_manifest(sha256="0" * 64),
    "a second of the same name": in_manifest(name="silent"),
    "a flipped byte": lambda n, d: (n, d[:5000] + b"?" + d[5001:]) if n == "1.db" else (n, d),
    "no database at all": lambda n, d: (n, b"x" * len(d)) if n == "1.db" else (n, d),
    "a missing file": lambda n, d: ("z.db" if n == "1.db" else n, d),
    "no manifest": lambda n, d: ("m" if n == "manifest.json" else n, d),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_an_odd_archive_is_refused_and_changes_nothing(
    store: Store, tmp_path: Path, change: object
) -> None:
    file = export(store, tree(store), tmp_path / "a.tar")
    target = store.root("K", "b")
    put(target, "old")
    rewrite(file, change)

    with pytest.raises(BadArchive, match="cannot be imported"):
        bring(store, file, target)

    assert read(target) == "old"


def test_what_is_no_archive_is_refused(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    file.write_bytes(b"no archive" * 1000)

    with pytest.raises(BadArchive):
        import_(store, file, store.root("K", "b"))
