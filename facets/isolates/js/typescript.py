"""TypeScript to JavaScript: types are taken away, in a sandbox made for that one source.

The stripper lays lines out anew, so lines are moved apart or together until each stands where it
stood in the source: what an error says about lines is then true.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from types import MappingProxyType
from typing import final

from facets.isolates import image, workers
from facets.isolates.code import Code
from facets.isolates.errors import IsolateDead, LoadError, ProtocolViolation
from facets.isolates.instance import BOOT
from facets.isolates.js.guests import STRIPPER
from facets.isolates.js.lines import aligned
from facets.isolates.limits import Limits
from facets.isolates.runner import Runner

MOST = 8 << 20
"""Characters of stripped code that are kept, the least recently used dropped first."""
SHORT = 4096
"""Characters whose lines are moved on the loop, in some 2 ms; 100,000 take 35."""
_LIMITS = Limits(cpu=2.0, output=32 << 20)
_lock = threading.Lock()
_kept: OrderedDict[str, Code] = OrderedDict()


async def stripped(code: Code) -> Code:
    """The code with JavaScript in the place of TypeScript; LoadError if it does not parse."""
    with _lock:
        found = _kept.get(code.hash)
        if found is not None:
            _kept.move_to_end(code.hash)
            return found
    modules = dict(code.modules)
    for name, text in modules.items():
        if name.endswith((".ts", ".mts")) and text.strip():
            modules[name] = await plain(name, text)
    made = Code(MappingProxyType(modules), code.main, code.language)
    _keep(code.hash, made)
    return made


async def plain(name: str, text: str) -> str:
    """One text without its types, line by line; LoadError, which calls it `name`."""
    return await _aligned(await _strip(name, text), text)


async def _aligned(made: str, text: str) -> str:
    if len(text) <= SHORT:
        return aligned(made, text)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(workers.reader(), aligned, made, text)


def _keep(key: str, code: Code) -> None:
    with _lock:
        _kept[key] = code
        size = sum(_size(one) for one in _kept.values())
        while size > MOST:
            size -= _size(_kept.popitem(last=False)[1])


def _size(code: Code) -> int:
    return sum(map(len, code.modules.values()))


async def _strip(name: str, text: str) -> str:
    status, said = await _run(text)
    if status == "0":
        return said
    message = said.partition(": ")[2] or said
    line = await _line_of(text, said)
    raise LoadError(
        f"the source does not load: SyntaxError: {message}",
        type="SyntaxError",
        traceback=f"SyntaxError: {message}\n    at {name}:{line}\n",
    )


async def _line_of(text: str, said: str) -> int:
    """The line of a mistake: the first with which the stripper says the same of what is before.

    It names no line itself, but stops at the first mistake, whatever follows.
    """
    lines = text.split("\n")
    low, high = 1, len(lines)
    while low < high:
        middle = (low + high) // 2
        if await _run("\n".join(lines[:middle])) == ("1", said):
            high = middle
        else:
            low = middle + 1
    return low


async def _run(text: str) -> tuple[str, str]:
    """Status and text from the stripper, in an instance of its own."""
    said = (await _Run(await image.ready(STRIPPER)).result(text)).decode()
    return said[:1], said[1:]


@final
class _Run:
    """One call of the stripper."""

    def __init__(self, found: image.Image) -> None:
        self._instance = found.pool.take(_LIMITS.memory, _LIMITS.output)
        self._runner = Runner(self._instance, self, _LIMITS.cpu)
        self._over: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def result(self, text: str) -> bytes:
        """What it returned."""
        try:
            self._runner.start(BOOT, text.encode("utf-8", "replace"))
            return await self._over
        finally:
            self._runner.stop()

    def serve(self, message: bytes) -> bytes:
        """It has nothing to ask."""
        raise ProtocolViolation(f"the stripper asked for something: {message!r}"[:200])

    def finished(self, answer: bytes) -> None:
        """Called by the runner."""
        if not self._over.done():
            self._over.set_result(answer)

    def fell(self, error: BaseException) -> None:
        """Called by the runner: the source was too much for it."""
        if not self._over.done():
            reason = str(error) if isinstance(error, IsolateDead) else "it is nested too deeply"
            self._over.set_exception(
                LoadError(f"the types cannot be taken away: {reason}"[:500], type="SyntaxError")
            )
