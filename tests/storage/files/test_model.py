"""Any sequence of changes leaves what it would leave on the disk of this machine.

The model is a real directory: what POSIX says is what the kernel does. A snapshot of it stands
for what was committed. Link targets have no `..`, which would lead out of that directory.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage.files import Files, referenced
from storage.limits import FileLimits
from storage.store import Store
from tests.storage.files.conftest import undo
from tests.storage.files.fake import Objects, check

Tree = dict[str, tuple[str, int, bytes]]

names = st.sampled_from("abc")
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
targets = st.sampled_from(["a", "b", "a/b", "./c", "b/a/c", "."])
data = st.sampled_from([b"", b"x", b"word " * 10, bytes(70_000), b"0123456789" * 9_000])
offsets = st.sampled_from([0, 1, 50, 65_536, 90_000])


class Oracle:
    """The same methods on a real directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def at(self, path: str) -> str:
        return str(self.root) + path

    def write(self, path: str, content: bytes) -> None:
        with open(self.at(path), "wb") as file:  # noqa: PTH123
            file.write(content)

    def append(self, path: str, content: bytes) -> None:
        with open(self.at(path), "ab") as file:  # noqa: PTH123
            file.write(content)

    def write_at(self, path: str, offset: int, content: bytes) -> None:
        fd = os.open(self.at(path), os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(fd, content, offset)
        os.close(fd)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.at(path), size)

    def mkdir(self, path: str, mode: int = 0o755, *, parents: bool, exist_ok: bool) -> None:
        Path(self.at(path)).mkdir(mode, parents=parents, exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        Path(self.at(path)).rmdir()

    def unlink(self, path: str) -> None:
        Path(self.at(path)).unlink()

    def remove_tree(self, path: str) -> None:
        real = Path(self.at(path))
        if real.is_dir() and not real.is_symlink():
            shutil.rmtree(real)
        else:
            real.unlink()

    def rename(self, source: str, target: str) -> None:
        os.rename(self.at(source), self.at(target))  # noqa: PTH104

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, self.at(path))  # noqa: PTH211

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self.at(path), mode)  # noqa: PTH101

    def copy(self, source: str, target: str) -> None:
        here, there = Path(self.at(source)), Path(self.at(target))
        mode = here.stat().st_mode & 0o7777
        if here.is_dir():
            below = self.snapshot(here)
            there.mkdir()
            if there.resolve().is_relative_to(here.resolve()):
                there.rmdir()
                raise OSError(errno.EINVAL, "into itself")
            self.build(below, there)
        elif not there.exists() or not here.samefile(there):
            content = here.read_bytes()
            there.write_bytes(content)
        there.chmod(mode)

    def snapshot(self, top: Path) -> Tree:
        found: Tree = {}
        for one in sorted(top.rglob("*")):
            name, mode = one.relative_to(top).as_posix(), one.lstat().st_mode & 0o7777
            if one.is_symlink():
                found[name] = ("link", 0o777, os.readlink(one).encode())  # noqa: PTH115 - as it stands
            elif one.is_dir():
                found[name] = ("directory", mode, b"")
            else:
                found[name] = ("file", mode, one.read_bytes())
        return found

    def build(self, tree: Tree, top: Path) -> None:
        for name, (kind, mode, content) in tree.items():
            path = top / name
            if kind == "link":
                os.symlink(content.decode(), path)  # noqa: PTH211
                continue
            if kind == "directory":
                path.mkdir()
            else:
                path.write_bytes(content)
            path.chmod(mode)

    def restore(self, tree: Tree) -> None:
        shutil.rmtree(self.root)
        self.root.mkdir()
        self.build(tree, self.root)


def snapshot(fs: Files) -> Tree:
    found: Tree = {}
    for top, _, _ in fs.walk():
        for one in fs.scandir(top):
            content = b""
            if one.stat.kind == "link":
                content = fs.readlink(one.path).encode()
            elif one.stat.kind == "file":
                content = fs.read(one.path)
                assert len(content) == one.stat.size
            found[one.path[1:]] = (one.stat.kind, one.stat.mode, content)
    return found


class FilesOnDisk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.umask = os.umask(0o022)
        self.folder = tempfile.TemporaryDirectory()
        (root := Path(self.folder.name) / "real").mkdir()
        self.oracle = Oracle(root)
        self.committed: Tree = {}
        self.open()

    @initialize(with_objects=st.booleans())
    def choose(self, with_objects: bool) -> None:
        self.objects = Objects() if with_objects else None
        self.reopen()

    objects: Objects | None = None

    def open(self) -> None:
        self.store = Store.open(Path(self.folder.name) / "state")
        self.database = self.store.root("Kind", "name")
        self.fs = Files(self.database, self.objects, FileLimits(inline=80_000))

    def same(self, act: Callable[[Files | Oracle], object], *also: int) -> None:
        """Do it to both: the same outcome, or one of the codes in `also` for the same failure."""
        outcomes = []
        for one in (self.fs, self.oracle):
            try:
                act(one)
                outcomes.append(0)
            except OSError as error:
                outcomes.append(error.errno or -1)
        mine, real = outcomes
        assert mine == real or (real and mine in also), (errno.errorcode.get(mine), real)

    @rule(path=paths, content=data)
    def write(self, path: str, content: bytes) -> None:
        self.same(lambda one: one.write(path, content))

    @rule(path=paths, content=data)
    def append(self, path: str, content: bytes) -> None:
        self.same(lambda one: one.append(path, content))

    @rule(path=paths, offset=offsets, content=data)
    def write_at(self, path: str, offset: int, content: bytes) -> None:
        self.same(lambda one: one.write_at(path, offset, content))

    @rule(path=paths, size=offsets)
    def truncate(self, path: str, size: int) -> None:
        self.same(lambda one: one.truncate(path, size))

    @rule(path=paths, parents=st.booleans(), exist_ok=st.booleans())
    def mkdir(self, path: str, parents: bool, exist_ok: bool) -> None:
        self.same(lambda one: one.mkdir(path, parents=parents, exist_ok=exist_ok))

    @rule(path=paths)
    def rmdir(self, path: str) -> None:
        self.same(lambda one: one.rmdir(path))

    @rule(path=paths)
    def unlink(self, path: str) -> None:
        self.same(lambda one: one.unlink(path))

    @rule(path=paths)
    def remove_tree(self, path: str) -> None:
        self.same(lambda one: one.remove_tree(path))

    @rule(source=paths, to=paths)
    def rename(self, source: str, to: str) -> None:
        # Of a directory that holds the source, the kernel says first that it is not empty.
        self.same(lambda one: one.rename(source, to), errno.EISDIR, errno.ENOTDIR)

    @rule(path=paths, text=targets)
    def symlink(self, path: str, text: str) -> None:
        self.same(lambda one: one.symlink(text, path))

    @rule(path=paths, mode=st.sampled_from([0o600, 0o755]))
    def chmod(self, path: str, mode: int) -> None:
        self.same(lambda one: one.chmod(path, mode | 0o700))

    @rule(source=paths, to=paths)
    def copy(self, source: str, to: str) -> None:
        self.same(lambda one: one.copy(source, to))

    @rule()
    def commit(self) -> None:
        self.database.commit()
        self.committed = self.oracle.snapshot(self.oracle.root)

    @rule()
    def rollback(self) -> None:
        undo(self.database, self.fs)
        self.oracle.restore(self.committed)

    @rule(path=paths, content=data)
    def undo_a_part(self, path: str, content: bytes) -> None:
        before = snapshot(self.fs)
        try:
            with self.database.transaction():
                self.fs.remove_tree("/")
                self.fs.mkdir(path, parents=True)
                self.fs.write(path + "/f", content)
                raise ZeroDivisionError
        except ZeroDivisionError:
            self.fs.forget()
        assert snapshot(self.fs) == before

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()
        self.oracle.restore(self.committed)

    @precondition(lambda self: self.fs.stat("/").mtime_ns)
    @invariant()
    def same_tree(self) -> None:
        assert snapshot(self.fs) == self.oracle.snapshot(self.oracle.root)
        check(self.database, self.objects)
        if self.objects is not None:
            assert referenced(self.database) <= set(self.objects.kept)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()
        os.umask(self.umask)


TestFilesOnDisk = FilesOnDisk.TestCase
TestFilesOnDisk.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
