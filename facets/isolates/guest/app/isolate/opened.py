"""The files of packages under the paths that their modules have, to be read like any file.

An isolate has no file system, and packages look for their data beside `__file__`. So what reads
files is told about paths below `ROOT`, and about those alone: `open`, `os.stat`, and what
the library makes of them. Only in an isolate that has packages or files of its own.
"""

import builtins
import errno
import importlib.resources
import io
import os
import pathlib
import posixpath
import stat
import tokenize
from contextlib import contextmanager

from isolate.asking import read
from isolate.resources import Resource

ROOT = "<packages>/"
_asks = []
_real = {}


def install(ask):
    """Let files be read that can be had from `ask`."""
    _asks.insert(0, ask)
    if not _real:
        for name in ("stat", "lstat", "listdir", "scandir"):
            _real[name] = getattr(os, name)
        _real["open"] = io.open
        os.stat, os.lstat, os.listdir, os.scandir = _stat, _lstat, _listdir, _scandir
        io.open = builtins.open = _open
        tokenize._builtin_open = _open  # `linecache` reads with it


def _inside(path):
    """The path in the packages, or None if it is not there."""
    if not isinstance(path, str | os.PathLike):
        return None
    path = os.fspath(path)
    if not isinstance(path, str) or ROOT[:-1] not in path:
        return None
    path = posixpath.normpath(path).lstrip("/") + "/"
    return path[len(ROOT) : -1] if path.startswith(ROOT) else None


def _first(question, shown):
    """The first answer to a question."""
    for ask in _asks:
        try:
            return question(ask)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(shown))


def _open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *rest, **more):
    path = _inside(file)
    if path is None:
        return _real["open"](file, mode, buffering, encoding, errors, newline, *rest, **more)
    if set(mode) & set("wax+"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(file))
    content = io.BytesIO(_first(lambda ask: read(ask, path), file))
    return content if "b" in mode else io.TextIOWrapper(content, encoding, errors, newline)


def _stat(path, *args, **kwargs):
    found = _inside(path)
    return _real["stat"](path, *args, **kwargs) if found is None else _status(found, path)


def _lstat(path, *args, **kwargs):
    found = _inside(path)
    return _real["lstat"](path, *args, **kwargs) if found is None else _status(found, path)


def _status(path, shown):
    try:
        _first(lambda ask: ask("list", path), shown)
        mode, size = stat.S_IFDIR | 0o555, 0
    except FileNotFoundError:
        size = _first(lambda ask: ask("read", path, 0)[1], shown)
        mode = stat.S_IFREG | 0o444
    return os.stat_result((mode, 0, 0, 1, 0, 0, size, 0, 0, 0))


def _listdir(path="."):
    found = _inside(path)
    if found is None:
        return _real["listdir"](path)
    return [name for name, _ in _first(lambda ask: ask("list", found), path)]


def _scandir(path="."):
    found = _inside(path)
    if found is None:
        return _real["scandir"](path)
    listed = _first(lambda ask: ask("list", found), path)
    return _Scan([Entry(path, name, folder) for name, folder in listed])


class _Scan:
    """What `os.scandir` returns: an iterator that can be closed."""

    def __init__(self, entries):
        self._entries = iter(entries)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Nothing is open."""


class Entry(os.PathLike):
    """One entry of a folder."""

    def __init__(self, folder, name, is_folder):
        self.name = name
        self.path = posixpath.join(os.fspath(folder), name)
        self._is_folder = is_folder

    def is_dir(self, *, follow_symlinks=True):
        return self._is_folder

    def is_file(self, *, follow_symlinks=True):
        return not self._is_folder

    def is_symlink(self):
        return False

    def is_junction(self):
        return False

    def stat(self, *, follow_symlinks=True):
        return os.stat(self.path)

    def __fspath__(self):
        return self.path


@importlib.resources.as_file.register(Resource)
@contextmanager
def _as_file(resource):
    yield pathlib.Path(ROOT + str(resource))
