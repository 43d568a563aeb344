"""Modules that stay with the host until the tool imports them.

What a tool does not use of its packages costs its isolate nothing.
"""

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import json
import marshal
import sys

from isolate import distributions, opened
from isolate.asking import read
from isolate.failures import remember
from isolate.opened import ROOT
from isolate.resources import Reader

_OWN = frozenset({"httpx"})
"""What this runtime has in the place of a package that the tool may bring itself."""


class Hosted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules whose names begin with one of `tops`, the standard library's never."""

    def __init__(self, tops, ask):
        self._ask = ask
        self._tops = frozenset(tops) - sys.stdlib_module_names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self._tops:
            return None
        found = self._ask("find", name)
        if found is None:
            return None
        kind, path, shown = found
        package = kind in ("package", "folder")
        spec = importlib.machinery.ModuleSpec(
            name, self, origin=shown, loader_state=(kind, path), is_package=package
        )
        if package:
            spec.submodule_search_locations.append(shown.removesuffix("/__init__.py"))
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        spec = module.__spec__
        kind, path = spec.loader_state
        if kind in ("package", "module"):
            module.__file__ = spec.origin
            self._run(module, path, spec.origin)
        elif kind != "folder":
            module.__file__ = spec.origin
            module.value = _VALUES[kind](read(self._ask, path))

    def _run(self, module, path, shown):
        source, code = self._ask("load", path)
        if code is None:
            remember(shown, source)
            made = compile(source, shown, "exec", dont_inherit=True)
        else:
            remember(shown, lambda: self._source(path))
            made = marshal.loads(code)
        exec(made, module.__dict__)

    def get_source(self, name):
        """The source, for `inspect` and `linecache`."""
        place = self._place(name)
        return self._source(place[1]) if place[0] in ("package", "module") else None

    def get_data(self, path):
        """A file by the path that `__file__` shows, for `pkgutil`."""
        return read(self._ask, path.removeprefix(ROOT))

    def get_resource_reader(self, name):
        """What `importlib.resources` reads with."""
        kind, path, _ = self._place(name)
        return Reader(self._ask, path if kind == "folder" else path.rpartition("/")[0])

    def is_package(self, name):
        """Whether it can have modules of its own."""
        return self._place(name)[0] in ("package", "folder")

    def _source(self, path):
        return importlib.util.decode_source(read(self._ask, path))

    def _place(self, name):
        found = self._ask("find", name)
        if found is None:
            raise ImportError(f"no module named {name!r}", name=name)
        return found

    def find_distributions(self, context):
        """What `importlib.metadata` finds: the packages' own .dist-info folders."""
        return distributions.found(self._ask, context.name)


class Folder:
    """What `pkgutil.iter_modules` asks about a path of packages. It imports nothing."""

    def __init__(self, ask, path):
        if not path.startswith(ROOT) or not _is_folder(ask, path.removeprefix(ROOT)):
            raise ImportError(f"{path!r} is not a path of packages")
        self._ask = ask
        self._path = path.removeprefix(ROOT)

    def find_spec(self, name, target=None):
        return None

    def iter_modules(self, prefix=""):
        """Names of the modules in this folder, and whether each is a package."""
        for name, folder in sorted(self._ask("list", self._path)):
            if folder and name.isidentifier():
                yield prefix + name, True
            elif name.endswith(".py") and name != "__init__.py":
                yield prefix + name[:-3], False


def _is_folder(ask, path):
    try:
        ask("list", path)
    except FileNotFoundError:
        return False
    return True


_VALUES = {
    "json": json.loads,
    "text": lambda content: content.decode(),
    "bytes": lambda content: content,
}


def install(tops, ask):
    """Let the tool import what can be asked for. Behind its own modules, before all others."""
    if tops:
        for name in _OWN.intersection(tops):
            sys.modules.pop(name, None)
        sys.meta_path.insert(0, Hosted(tops, ask))
        sys.path_hooks.append(functools.partial(Folder, ask))
        opened.install(ask)
