"""The standard library without a file system: marshalled code behind a finder.

Read at build time from the guest's /python; imported at run time on demand. What is of no use
without threads, processes, sockets or a terminal is left out, and so raises ModuleNotFoundError.
"""

import importlib.abc
import importlib.machinery
import marshal
import os
import sys

_ABSENT = """test idlelib lib2to3 tkinter turtledemo turtle ensurepip pydoc_data site-packages venv
    curses dbm sqlite3 ctypes multiprocessing distutils xmlrpc wsgiref antigravity this pip
    unittest doctest pdb bdb cmd ftplib smtplib imaplib poplib nntplib mailbox webbrowser
    cProfile profile tracemalloc subprocess ssl mmap lzma bz2"""
ABSENT = frozenset(_ABSENT.split())


class Library(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules by name, as (is it a package, marshalled code)."""

    def __init__(self):
        self._code = {}

    def read(self, root):
        """Compile every module below `root`."""
        for folder, folders, files in os.walk(root):
            top = folder == root
            folders[:] = [x for x in folders if x != "__pycache__" and not (top and x in ABSENT)]
            prefix = folder[len(root) + 1 :].replace("/", ".")
            for file in files:
                if file.endswith(".py") and not (top and file[:-3] in ABSENT):
                    self._add(
                        ".".join(filter(None, (prefix, file[:-3]))), os.path.join(folder, file)
                    )

    def _add(self, name, path):
        package = name.endswith(".__init__")
        name = name.removesuffix(".__init__")
        if not all(part.isidentifier() for part in name.split(".")):
            return
        with open(path, encoding="utf-8") as file:
            source = file.read()
        shown = "<lib>/" + name.replace(".", "/") + ".py"
        try:
            code = compile(source, shown, "exec", dont_inherit=True, optimize=2)
        except SyntaxError:
            return  # test data of lib2to3 and the like
        self._code[name] = (package, marshal.dumps(code))

    def find_spec(self, name, path=None, target=None):
        entry = self._code.get(name)
        if entry is None:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin="lib", is_package=entry[0])

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(marshal.loads(self._code[module.__name__][1]), module.__dict__)


_library = Library()


def install(root="/python"):
    """Embed the library of this build."""
    _library.read(root)
    for name in ABSENT:
        sys.modules.pop(name, None)
    sys.meta_path[:] = [*sys.meta_path, _library]


def adopt():
    """Have the modules that were imported from files load from here if they are loaded again."""
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if name in _library._code and isinstance(
            getattr(spec, "loader", None), importlib.machinery.SourceFileLoader
        ):
            spec.loader = module.__loader__ = _library
