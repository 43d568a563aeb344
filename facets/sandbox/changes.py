"""Files between an actor and a box: all of them in before, what changed out after."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from facets.sandbox.channel import Frame
from facets.sandbox.errors import SandboxFailed

if TYPE_CHECKING:
    from facets.actor import Actor
    from storage.files import Files

_LONGEST = 4096
_Packed = tuple[list[str], dict[str, int], dict[str, tuple[int, bytes]], dict[str, str]]


@dataclass(slots=True)
class Changes:
    """What is different in a workspace, by relative path. It is a stranger's word."""

    gone: list[str] = field(default_factory=list)
    directories: dict[str, int] = field(default_factory=dict)
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    _pieces: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, frame: Frame, most: int) -> None:
        """One frame about them; `SandboxFailed` if there are more than `most` bytes."""
        header, payload = frame
        self._size += len(payload) + len(str(header.get("path")))
        if self._size > 2 * most:
            raise SandboxFailed("the box gave more files than fit into it")
        if "gone" in header:
            self.gone = [checked(path) for path in header["gone"]]
        elif header.get("more"):
            self._pieces.append(payload)
        elif header["kind"] == "directory":
            self.directories[checked(header["path"])] = int(header["mode"])
        elif header["kind"] == "link":
            self.links[checked(header["path"])] = str(header["target"])
        else:
            self.files[checked(header["path"])] = int(header["mode"]), b"".join(self._pieces)
            self._pieces = []

    def paths(self) -> list[str]:
        """What is not as it was, sorted."""
        return sorted({*self.gone, *self.directories, *self.files, *self.links})

    def inverse(self, fs: Files, root: str) -> Changes:
        """What would undo these, made before they are applied."""
        back = Changes()
        for path in self.paths():
            before = _kind(fs, root, path)
            if before is None or before != self._kind(path):
                back.gone.insert(0, path)
            if before == "directory":
                back.directories[path] = fs.lstat(_at(root, path)).mode
            elif before == "link":
                back.links[path] = fs.readlink(_at(root, path))
            elif before == "file":
                at = _at(root, path)
                back.files[path] = fs.lstat(at).mode, fs.read(at)
        return back

    def packed(self) -> bytes:
        """As bytes, to be kept."""
        return msgspec.msgpack.encode([self.gone, self.directories, self.files, self.links])

    @classmethod
    def unpacked(cls, data: bytes) -> Changes:
        """From what `packed` gave."""
        return cls(*msgspec.msgpack.decode(data, type=_Packed))

    def _kind(self, path: str) -> str | None:
        """What a path is after these."""
        for kind, here in (
            ("file", self.files), ("directory", self.directories), ("link", self.links),
        ):  # fmt: skip
            if path in here:
                return kind
        return None

    def apply(self, actor: Actor, root: str) -> None:
        """Make the actor's files below `root` those of the workspace, in its step, or not at all.

        No link leads a write out of `root`: what is a link on the way is one that the workspace
        does not have any more.
        """
        if not (self.gone or self.directories or self.files or self.links):
            return
        with actor.transaction():
            actor.fs.mkdir(root, parents=True, exist_ok=True)
            for path in self.gone:
                _remove(actor.fs, root, path)
            place = _Place(actor.fs, root)
            for path in sorted(self.directories):
                if not actor.fs.is_dir(place.free(path)):
                    actor.fs.mkdir(_at(root, path), self.directories[path] & 0o777)
            for path, (mode, content) in self.files.items():
                at = place.free(path)
                actor.fs.write(at, content)
                if actor.fs.stat(at).mode != mode & 0o777:
                    actor.fs.chmod(at, mode & 0o777)
            for path, target in self.links.items():
                _remove(actor.fs, root, path)
                actor.fs.symlink(target, place.free(path))
                place.forget(path)


class _Place:
    """Where something may be made: with plain directories on the way, and no link at its end."""

    def __init__(self, fs: Files, root: str) -> None:
        self._fs = fs
        self._root = root
        self._plain = {""}

    def free(self, path: str) -> str:
        """The path in the actor's files, with no link on the way to it or in its place."""
        self._directory(path.rpartition("/")[0])
        at = _at(self._root, path)
        if self._fs.is_link(at):
            self._fs.unlink(at)
        return at

    def forget(self, path: str) -> None:
        """A link is there now: nothing is below it any more."""
        self._plain = {one for one in self._plain if not f"{one}/".startswith(f"{path}/")}

    def _directory(self, path: str) -> None:
        if path in self._plain:
            return
        self._directory(path.rpartition("/")[0])
        at = _at(self._root, path)
        if self._fs.is_link(at):
            self._fs.unlink(at)
        self._fs.mkdir(at, exist_ok=True)
        self._plain.add(path)


def _kind(fs: Files, root: str, path: str) -> str | None:
    """What a path is in the actor's files; None for one behind a link, which is not the root's."""
    parts = path.split("/")
    above = (_at(root, "/".join(parts[:end])) for end in range(1, len(parts)))
    if any(not fs.is_dir(one) or fs.is_link(one) for one in above):
        return None
    return fs.lstat(_at(root, path)).kind if fs.lexists(_at(root, path)) else None


def entries(fs: Files, root: str) -> Iterator[dict[str, Any]]:
    """What is below `root`, directories before what is in them."""
    if not fs.is_dir(root):
        return
    for folder, folders, others in fs.walk(root):
        for name in (*folders, *others):
            path = posixpath.join(folder, name)
            found = fs.lstat(path)
            entry: dict[str, Any] = {
                "path": posixpath.relpath(path, root), "kind": found.kind, "at": path,
                "mode": found.mode & 0o777,
            }  # fmt: skip
            if found.kind == "link":
                entry["target"] = fs.readlink(path)
            yield entry


def checked(path: Any) -> str:
    """A relative path that stays below its root; `SandboxFailed` for any other."""
    if (
        not isinstance(path, str) or not path or "\0" in path or len(path) > _LONGEST
        or any(part in ("", ".", "..") for part in path.split("/"))
    ):  # fmt: skip
        raise SandboxFailed("the box named a path that is none of its workspace")
    return path


def _at(root: str, path: str) -> str:
    return posixpath.join(root, path)


def _remove(fs: Files, root: str, path: str) -> None:
    """What is there goes; nothing, if it would be reached through a link."""
    if _kind(fs, root, path) is not None:
        fs.remove_tree(_at(root, path))
