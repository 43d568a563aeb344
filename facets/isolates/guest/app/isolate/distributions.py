"""What `importlib.metadata` says about the packages of an isolate."""

import re
from importlib.metadata import Distribution

from isolate.asking import read
from isolate.resources import Resource


class Hosted(Distribution):
    """One package, by its .dist-info folder."""

    def __init__(self, ask, folder):
        self._ask = ask
        self._folder = folder

    def read_text(self, filename):
        """A file of the folder, or None."""
        try:
            return read(self._ask, f"{self._folder}/{filename}").decode()
        except FileNotFoundError:
            return None

    def locate_file(self, path):
        """A file of the package."""
        return Resource(self._ask, str(path))


def found(ask, name):
    """The packages of this name, or all of them; `ask` is who has them."""
    for folder, is_folder in ask("list", ""):
        stem = folder.removesuffix(".dist-info")
        wanted = name is None or _same(stem.partition("-")[0], name)
        if is_folder and stem != folder and wanted:
            yield Hosted(ask, folder)


def _same(one, other):
    return _normal(one) == _normal(other)


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()
