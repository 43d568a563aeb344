"""Compiled code, by the image that compiles it and the hash of its source.

Compiling takes most of the time of a load. When a source has loaded for the second time, it is
compiled once more, on a worker thread, in an isolate made for that and for nothing else; from
then on a load gets the code along with the source. On the host the code is bytes: only guests
read it, and only those that got its source. So nobody brings code into another's isolate, not
even with a source that takes over the interpreter which compiles it: that one never meets
another source.

Kept per process, the least recently used dropped first. Nothing is written to disk: whoever reads
this code trusts it, and a process has its own after two loads.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, final

from facets.isolates import loading, workers
from facets.isolates.code import Code
from facets.isolates.errors import IsolateError
from facets.isolates.instance import BOOT, Instance, Trapped
from facets.isolates.limits import Limits
from facets.isolates.loading import Compiled

if TYPE_CHECKING:
    from facets.isolates.image import Image

MOST = 32 << 20
"""Bytes of compiled code kept by one image."""
LONGEST = 1 << 20
"""Characters of source that are compiled for the cache; more is compiled where it loads."""
PATIENCE = 0.5
"""Seconds of processor time a compilation may take."""
REMEMBERED = 4096
"""Sources of which it is known that they loaded once, or that they are not worth a try."""


class CodeStore(Protocol):
    """Where a session looks for compiled code. Any thread may call."""

    def get(self, code: Code) -> Compiled | None:
        """The compiled modules of this source, if there are any."""

    def loaded(self, code: Code) -> None:
        """This source loaded without compiled code."""

    def expect(self, code: Code) -> None:
        """This source will be loaded again."""


@final
class CodeCache:
    """The compiled code of one image. Safe to use from any thread."""

    def __init__(self, image: Image, most: int = MOST) -> None:
        self._image = image
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Compiled] = OrderedDict()
        self._loaded: OrderedDict[str, bool] = OrderedDict()
        """Sources that loaded: whether their compilation was asked for."""
        self.size = 0
        """Bytes kept now."""

    def get(self, code: Code) -> Compiled | None:
        """The compiled modules of this source, if there are any."""
        with self._lock:
            found = self._kept.get(code.hash)
            if found is not None:
                self._kept.move_to_end(code.hash)
            return found

    def loaded(self, code: Code) -> None:
        """This source loaded without compiled code; the second time, it is compiled."""
        with self._lock:
            asked = self._loaded.pop(code.hash, None)
            self._loaded[code.hash] = asked is not None
            if len(self._loaded) > REMEMBERED:
                self._loaded.popitem(last=False)
        if asked is False and sum(map(len, code.modules.values())) <= LONGEST:
            workers.submit(Compilation(self, self._image, code).go_on)

    def expect(self, code: Code) -> None:
        """This source loaded without compiled code, and will be loaded again: compile it now."""
        with self._lock:
            if code.hash not in self._loaded:
                self._loaded[code.hash] = False
        self.loaded(code)

    def put(self, code: Code, compiled: Compiled) -> None:
        """Keep this, and drop what was not used for longest if it is too much."""
        with self._lock:
            self._remove(code.hash)
            self._kept[code.hash] = compiled
            self.size += _size(compiled)
            while self.size > self._most:
                self._remove(next(iter(self._kept)))

    def _remove(self, key: str) -> None:
        self.size -= _size(self._kept.pop(key, {}))
        self._loaded.pop(key, None)


@final
class Compilation:
    """One source on its way into the cache. What goes wrong costs nobody more than the cache."""

    def __init__(self, cache: CodeCache, image: Image, code: Code) -> None:
        self._cache = cache
        self._image = image
        self._code = code
        self._instance: Instance | None = None
        self._spent = 0.0

    def go_on(self) -> None:
        """Compile for one round on this thread; queue up for the next if there is more to do."""
        instance = self._instance
        try:
            if instance is None:
                instance = self._instance = self._begin()
            over = self._round(instance)
            if over:
                self._cache.put(self._code, loading.compiled(instance.take()))
        except (Trapped, IsolateError):
            over = True  # the load that needs this code fails in the same way and says so
        except BaseException:
            self._end()
            raise
        if over or self._spent > PATIENCE or not workers.submit(self.go_on):
            self._end()

    def _begin(self) -> Instance:
        limits = Limits()
        memory = max(limits.memory, self._image.smallest + limits.memory // 2)
        made = Instance(self._image, memory, limits.output)
        made.begin(BOOT, loading.compile_order(self._code, limits.output))
        return made

    def _round(self, instance: Instance) -> bool:
        began = time.thread_time()
        try:
            while not instance.poll():
                if instance.parked is not None:
                    raise Trapped("a compilation asked the host for something")
                if time.thread_time() - began > workers.ROUND:
                    return False
            return True
        finally:
            self._spent += time.thread_time() - began

    def _end(self) -> None:
        if self._instance is not None:
            self._instance.close()
            self._instance = None


def _size(compiled: Compiled) -> int:
    return sum(map(len, compiled.values()))
