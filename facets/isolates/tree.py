"""Files by path, and what can be imported of them: what the guest asks for when it needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, final

PACKAGE, MODULE, FOLDER = "package", "module", "folder"
JSON, TEXT, BYTES = "json", "text", "bytes"
TEXTS = ("txt", "md", "csv", "html", "toml", "yaml", "yml", "sql")
"""Extensions of files that are imported as text; others than these and JSON are bytes."""


class Place(NamedTuple):
    """Something that can be imported: what it is, its path, and the path that tracebacks show."""

    kind: str
    path: str
    shown: str


@final
class Tree:
    """Files that do not change. Any number of isolates and threads may share one."""

    __slots__ = ("_folders", "_root", "_values", "files")

    def __init__(self, files: Mapping[str, bytes], root: str = "", values: bool = False) -> None:
        self.files = files
        self._root = root
        """What tracebacks show before a path."""
        self._values = values
        """Whether a file that is no module can be imported. Not in packages: `_fast.pyi` must
        not be what `import _fast` finds."""
        self._folders: dict[str, dict[str, bool]] = {"": {}}
        for path in files:
            self._list(path)

    def _list(self, path: str) -> None:
        folder = False
        while True:
            above, _, name = path.rpartition("/")
            entries = self._folders.setdefault(above, {})
            known = name in entries
            entries[name] = folder or entries.get(name, False)
            if known or not above:
                return
            path, folder = above, True

    def entries(self, folder: str) -> Mapping[str, bool] | None:
        """The names in a folder, and whether each is one; None if there is no such folder."""
        return self._folders.get(folder)

    @property
    def tops(self) -> Iterator[str]:
        """First parts of the names of modules that may be in here."""
        for name, folder in self._folders[""].items():
            top = name if folder else name.partition(".")[0]
            if top.isidentifier():
                yield top

    def find(self, name: str) -> Place | None:
        """What `import name` finds: Python, else the one file of that name, else a folder."""
        path = name.replace(".", "/")
        if f"{path}/__init__.py" in self.files:
            return self._place(PACKAGE, f"{path}/__init__.py")
        if f"{path}.py" in self.files:
            return self._place(MODULE, f"{path}.py")
        if self._values and (file := self._only(path)):
            return self._place(_kind(file), file)
        return self._place(FOLDER, path) if path in self._folders else None

    def _place(self, kind: str, path: str) -> Place:
        return Place(kind, path, self._root + path)

    def _only(self, path: str) -> str | None:
        """The file at this path plus any extension, if there is exactly one."""
        above, _, stem = path.rpartition("/")
        beside = self._folders.get(above, {})
        found = [one for one, folder in beside.items() if not folder and _stem(one) == stem]
        return f"{above}/{found[0]}".lstrip("/") if len(found) == 1 else None


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _kind(file: str) -> str:
    extension = file.rpartition(".")[2]
    return JSON if extension == "json" else TEXT if extension in TEXTS else BYTES
