"""Packages that are part of this image: read when it is built, and imported then.

The build puts a folder `baked` on the path, with the packages' files and `modules.json`, the names
to import. Without one, this image has no packages.
"""

import contextlib
import importlib
import importlib.util
import json
import marshal
import os
import sys
import zlib

from isolate import hosted, output

_MODULES = "modules.json"


class Tree:
    """Files by path, answering the questions that otherwise the host answers."""

    def __init__(self, root):
        self._files = {}
        self._code = {}
        self._folders = {"": []}
        for folder, folders, names in os.walk(root):
            inside = folder[len(root) + 1 :]
            self._folders[inside] = [*((one, True) for one in folders)]
            for name in names:
                self._read(os.path.join(folder, name), f"{inside}/{name}".lstrip("/"))
                self._folders[inside].append((name, False))

    def _read(self, file, path):
        with open(file, "rb") as content:
            self._files[path] = zlib.compress(content.read())

    @property
    def tops(self):
        """First parts of the names of modules in here."""
        return [name if folder else name.partition(".")[0] for name, folder in self._folders[""]]

    def compile(self):
        """Compile the modules that were not imported; those that do not compile fail later."""
        done = {one.__spec__.origin for one in list(sys.modules.values()) if _is_baked(one)}
        for path in self._files:
            shown = hosted.ROOT + path
            if path.endswith(".py") and shown not in done:
                with contextlib.suppress(SyntaxError, ValueError):
                    code = compile(self._content(path), shown, "exec", dont_inherit=True)
                    self._code[path] = zlib.compress(marshal.dumps(code))

    def ask(self, what, name, at=0):
        """The answer, as `files.py` of the host describes it."""
        return getattr(self, "_" + what)(name) if what != "read" else self._piece(name, at)

    def _find(self, name):
        path = name.replace(".", "/")
        for kind, found in (("package", f"{path}/__init__.py"), ("module", f"{path}.py")):
            if found in self._files:
                return [kind, found, hosted.ROOT + found]
        return ["folder", path, hosted.ROOT + path] if path in self._folders else None

    def _load(self, path):
        code = self._code.get(path)
        if code:
            return [None, zlib.decompress(code)]
        return [importlib.util.decode_source(self._content(path)), None]

    def _piece(self, path, at):
        content = self._content(path)
        return [content[at:] if at else content, len(content)]

    def _list(self, folder):
        if folder not in self._folders:
            raise FileNotFoundError(f"no folder {folder!r} in this isolate")
        return [list(one) for one in self._folders[folder]]

    def _content(self, path):
        try:
            return zlib.decompress(self._files[path])
        except KeyError:
            raise FileNotFoundError(f"no file {path!r} in this isolate") from None


def _is_baked(module):
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return isinstance(loader, hosted.Hosted)


def bake():
    """Take the packages in and import their modules; whether there are any."""
    root = next((one for one in sys.path if os.path.exists(os.path.join(one, _MODULES))), None)
    if root is None:
        return False
    sys.path.remove(root)
    with open(os.path.join(root, _MODULES)) as file:
        names = json.load(file)
    tree = Tree(os.path.join(root, "files"))
    hosted.install(tree.tops, tree.ask)
    with output.silent():
        for name in names["must"]:
            importlib.import_module(name)
        for name in names["may"]:
            with contextlib.suppress(Exception):  # it fails again where a tool imports it
                importlib.import_module(name)
        tree.compile()
    return True
