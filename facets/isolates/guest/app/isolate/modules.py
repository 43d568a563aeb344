"""The tool's own modules, imported from the source that `boot` brought.

Compiling takes most of the time of a load, so `boot` may bring code with the source: marshalled,
made by `compiled` in an isolate that never ran anything.
"""

import importlib.abc
import importlib.machinery
import marshal
import sys
import types
import warnings

from isolate import hosted
from isolate.asking import ask
from isolate.failures import remember
from isolate.resources import Reader

OURS = ("facets", "isolate", "wit_world", "app")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the tool's modules before any other of that name."""

    def __init__(self, sources, code, paths):
        self._sources = sources
        self._code = code
        self._paths = paths
        self._packages = {name.rpartition(".")[0] for name in sources if "." in name}
        self._packages.update(paths)

    def find_spec(self, name, path=None, target=None):
        if name in self._sources or name in self._packages:
            package = name in self._packages
            origin = _file(name, self._paths)
            return importlib.machinery.ModuleSpec(name, self, origin=origin, is_package=package)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        source, filename = self._sources.get(name, ""), _file(name, self._paths)
        module.__file__ = filename
        remember(filename, source)
        code = self._code.get(name)
        made = _compile(source, filename) if code is None else marshal.loads(code)
        exec(made, module.__dict__)

    def get_source(self, name):
        """The source, for `inspect`."""
        return self._sources.get(name)

    def get_resource_reader(self, name):
        """What `importlib.resources` reads with."""
        folder = name if name in self._packages else name.rpartition(".")[0]
        return Reader(ask, folder.replace(".", "/"))


def _file(name, paths):
    return paths.get(name) or name.replace(".", "/") + ".py"


def _compile(source, filename):
    return compile(source, filename, "exec", dont_inherit=True)


def compiled(sources, paths):
    """Marshalled code by module. One that fails or warns is left out: it does so where it loads."""
    made = {}
    for name, source in sources.items():
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                code = marshal.dumps(_compile(source, _file(name, paths)))
            except Exception:
                continue
        if not any(warning.filename == _file(name, paths) for warning in warned):
            made[name] = code
    return made


def load(sources, main, code, paths, tops):
    """Import `main`; modules it imports are found among `sources` first, then with the host."""
    for name in sources:
        if name.partition(".")[0] in OURS:
            raise ImportError(f"the module name {name!r} belongs to the runtime", name=name)
        sys.modules.pop(name, None)
    finder = Finder(sources, code, paths)
    hosted.install(tops, ask)
    if tops or "." in main or len(sources) > 1:
        sys.meta_path.insert(0, finder)
        __import__(main)
        return sys.modules[main]
    # The common case without the import system, whose first use costs a hundred page faults.
    module = sys.modules[main] = types.ModuleType(main)
    module.__spec__ = finder.find_spec(main)
    module.__loader__ = finder
    module.__package__ = ""
    finder.exec_module(module)
    return module
