"""Code that a model wrote, as an isolate takes it."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facets.codemode.stubs import Language
from facets.isolates.errors import LoadError

_HERE = Path(__file__).parent
_INSIDE = {one: (_HERE / f"inside.{one}").read_text() for one in ("py", "js")}
_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*\n(.*?)\n?^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_FRAMES = re.compile(
    r'^  File "(?!main\.py").*\n(?:    .*\n)*|^    at (?!.*\((?:main\.js|native)).*\n', re.MULTILINE
)
"""What a traceback says of one line that is not of `inside`."""


@dataclass(frozen=True, slots=True)
class Script:
    """The body of an async function, and what its errors call it."""

    code: str
    language: Language = "python"
    title: str = "code"

    def modules(self) -> dict[str, Any]:
        """What an isolate loads to run it: the source, and what that is."""
        if self.language == "python":
            return {"source": _INSIDE["py"]}
        return {"source": {"main.js": _INSIDE["js"]}, "main": "main.js", "language": "javascript"}

    async def text(self) -> str:
        """The code that runs inside. LoadError if TypeScript does not parse.

        Python is left as it is, and parsed inside: nothing of a model's is parsed out here.
        """
        if self.language == "python":
            return self.code
        fenced = _FENCE.search(self.code)
        if fenced is not None and self.code.lstrip().startswith("```"):  # which are templates too
            return await self._plain(fenced.group(1))
        try:
            return await self._plain(self.code)
        except LoadError:
            if fenced is None:
                raise
            return await self._plain(fenced.group(1))

    async def _plain(self, code: str) -> str:
        """Without types: a body is given to the stripper as that of a function."""
        from facets.isolates.js import typescript

        whole = f"async function code() {{{textwrap.dedent(code)}\n}}"
        made = await typescript.plain(f"{self.title}.ts", whole)
        return made[made.index("{") + 1 : made.rindex("}")]

    def explain(self, error: BaseException) -> str:
        """An error for who wrote the code: what it was, and where in the code."""
        trace = getattr(error, "traceback", "").replace("<input>", f"{self.title}.ts")
        where = "".join(_FRAMES.findall(trace)).rstrip()
        hint = f"\n{_AWAIT}" if _forgot(error) else ""
        return f"{type(error).__name__}: {_message(error)}{hint}" + (f"\n{where}" if where else "")


_AWAIT = "await it before it is returned; several with asyncio.gather, or Promise.all"


def _message(error: BaseException) -> str:
    """Without the traceback that a LoadError says along."""
    return str(getattr(error, "message", error))


def _forgot(error: BaseException) -> bool:
    """Whether something that was to be awaited was returned."""
    return type(error).__name__ == "NotTransferable" and any(
        word in str(error) for word in ("coroutine", "a Promise", "Task", "Future")
    )
