"""Files between an actor and a box: all of them in before, what changed out after."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facets.sandbox.channel import Frame
from facets.sandbox.errors import SandboxFailed
from storage.errors import FileMissing

if TYPE_CHECKING:
    from facets.actor import Actor
    from storage.files import Files

_LONGEST = 4096


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
                _remove(actor.fs, _at(root, path))
            for path in sorted(self.directories):
                self._place(actor.fs, root, path)
                if not actor.fs.is_dir(_at(root, path)):
                    actor.fs.mkdir(_at(root, path), self.directories[path] & 0o777)
            for path, (mode, content) in self.files.items():
                self._place(actor.fs, root, path)
                actor.fs.write(_at(root, path), content)
                actor.fs.chmod(_at(root, path), mode & 0o777)
            for path, target in self.links.items():
                self._place(actor.fs, root, path)
                _remove(actor.fs, _at(root, path))
                actor.fs.symlink(target, _at(root, path))

    def _place(self, fs: Files, root: str, path: str) -> None:
        """Plain directories down to it, and no link in its place."""
        parts = path.split("/")
        for end in range(1, len(parts)):
            above = _at(root, "/".join(parts[:end]))
            if fs.is_link(above):
                fs.unlink(above)
            fs.mkdir(above, exist_ok=True, parents=True)
        if fs.is_link(_at(root, path)):
            fs.unlink(_at(root, path))


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


def _remove(fs: Files, path: str) -> None:
    try:
        fs.lstat(path)
    except FileMissing:
        return
    fs.remove_tree(path)
