"""Whether everything that packages import is there.

The engine that will run them is asked: it reads a module and asks for those that it imports, for
all of them before it runs any. The last import of all is one that there is not, so none is run.
"""

from __future__ import annotations

import time
from typing import NamedTuple, final

from facets.isolates import image, loading
from facets.isolates.code import Code
from facets.isolates.codec import MALFORMED, Blob, lower, pack, unpack
from facets.isolates.errors import IsolateError, LoadError
from facets.isolates.instance import BOOT, Instance, Trapped
from facets.isolates.limits import Limits
from facets.packages.npm.bundle import NpmBundle

SECONDS = 10.0
"""Of processor time, to read all that is imported."""
_LIMITS = Limits(memory=256 << 20, output=16 << 20)
_END = "the end"


class Missing(NamedTuple):
    """Something that cannot be loaded: the module at fault, and why."""

    module: str
    why: str


def missing(bundle: NpmBundle, name: str) -> Missing | None:
    """What of the package `name`, and of what it leads to, cannot be loaded; None if all can.

    Blocks. GuestMissing if the engine is not installed.
    """
    from facets.isolates.js import guests

    source = f"import {_quoted(name)};\nimport {_quoted(_END)};"
    code = Code({"main.js": source}, "main.js", "javascript")
    order = loading.order(code, "", False, None, None, {}, _LIMITS.output, tops=("npm",))
    instance = Instance(image.load(guests.JAVASCRIPT), _LIMITS.memory, _LIMITS.output)
    try:
        return _Reading(bundle, instance).run(order)
    finally:
        instance.close()


@final
class _Reading:
    """The engine reading modules."""

    def __init__(self, bundle: NpmBundle, instance: Instance) -> None:
        self._bundle = bundle
        self._instance = instance
        self._missing: Missing | None = None
        self._last = ""
        self._ended = False

    def run(self, order: bytes) -> Missing | None:
        """Read everything."""
        instance = self._instance
        try:
            instance.begin(BOOT, order)
            end = time.thread_time() + SECONDS
            while not instance.poll():
                if instance.parked is not None:
                    instance.resume(self._answer(instance.parked.message))
                if time.thread_time() > end:
                    return Missing(self._last, f"reading it takes more than {SECONDS:.0f} s")
            return self._missing or self._failed(instance.take())
        except (Trapped, IsolateError):
            return self._missing or Missing(self._last, "the engine cannot read it")

    def _failed(self, answer: bytes) -> Missing | None:
        """What the load said, if it did not come to the end."""
        if self._ended:
            return None
        try:
            loading.loaded(answer)
        except LoadError as error:
            return Missing(self._last, error.message.removeprefix("the source does not load: "))
        return Missing(self._last, "it was not read to its end")

    def _answer(self, message: bytes | None) -> bytes:
        try:
            _, _, _, (what, *names) = unpack(message or b"")[0]
            value = self._find(*names) if what == "find" else self._load(*names)
        except (*MALFORMED, ValueError, FileNotFoundError) as error:
            self._missing = self._missing or Missing(self._last, str(error))
            return b"[true,null]"
        blob = Blob()
        return pack([True, lower(value, blob, "file")], blob)

    def _find(self, importer: str, wanted: str) -> str | None:
        self._ended = self._ended or (not importer and wanted == _END)
        found = self._bundle.find(importer, wanted)
        if found is None and not self._ended:
            why = f"it imports {wanted[:200]!r}, which neither it nor its packages have"
            self._missing = self._missing or Missing(importer, why if importer else "")
        return found

    def _load(self, name: str) -> str:
        self._last = name
        return self._bundle.load(name)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
