"""Files of the tool and of its packages, for `importlib.resources`."""

import io
from importlib.resources.abc import Traversable, TraversableResources

from isolate.asking import read


class Resource(Traversable):
    """A file or a folder; `ask` is who has it."""

    def __init__(self, ask, path):
        self._ask = ask
        self._path = path

    @property
    def name(self):
        """The last part of the path."""
        return self._path.rpartition("/")[2]

    def iterdir(self):
        """What is in this folder."""
        for name, _ in self._entries():
            yield self / name

    def is_dir(self):
        """Whether this is a folder."""
        try:
            self._entries()
        except FileNotFoundError:
            return False
        return True

    def is_file(self):
        """Whether this can be read."""
        above, _, name = self._path.rpartition("/")
        try:
            return [name, False] in Resource(self._ask, above)._entries()
        except FileNotFoundError:
            return False

    def exists(self):
        """Whether there is such a file or folder."""
        return self.is_file() or self.is_dir()

    def joinpath(self, *parts):
        """A path below this one."""
        found = [part for text in (self._path, *parts) for part in str(text).split("/")]
        return Resource(self._ask, "/".join(part for part in found if part not in ("", ".")))

    __truediv__ = joinpath

    def open(self, mode="r", *args, **kwargs):
        """The content as a file in memory."""
        if mode not in ("r", "rt", "rb"):
            raise ValueError(f"files of an isolate are only read; mode {mode!r} is not for that")
        content = io.BytesIO(self.read_bytes())
        return content if mode == "rb" else io.TextIOWrapper(content, *args, **kwargs)

    def read_bytes(self):
        """All of it."""
        return read(self._ask, self._path)

    def read_text(self, encoding="utf-8", errors=None):
        """All of it as text."""
        return self.read_bytes().decode(encoding, errors or "strict")

    def _entries(self):
        return self._ask("list", self._path)

    def __str__(self):
        return self._path

    def __repr__(self):
        return f"Resource({self._path!r})"

    def __eq__(self, other):
        return isinstance(other, Resource) and self._path == other._path

    def __hash__(self):
        return hash(self._path)


class Reader(TraversableResources):
    """The files beside a module."""

    def __init__(self, ask, folder):
        self._ask = ask
        self._folder = folder

    def files(self):
        """The folder."""
        return Resource(self._ask, self._folder)
