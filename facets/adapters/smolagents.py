"""smolagents: the code of a `CodeAgent` runs in an isolate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

from smolagents import PythonExecutor
from smolagents.local_python_executor import CodeOutput, InterpreterError
from smolagents.utils import BASE_BUILTIN_MODULES, truncate_content

from facets.actor import Actor
from facets.adapters.inside import KEPT
from facets.adapters.places import Place
from facets.capabilities.marked import capability
from facets.isolates.codec import Blob, lower
from facets.isolates.entrypoint import Entrypoint
from facets.isolates.errors import IsolateDead, NotTransferable
from facets.isolates.limits import Limits

_INSIDE = (Path(__file__).parent / "inside.py").read_text()
LIMITS = Limits(wall=600)
"""Of one piece of code: tools that it waits for, agents among them, take a while."""
LOGS = 50_000
"""Characters that are printed and shown to the model."""


class Kept:
    """What tools gave and cannot go into the sandbox, an image: it stays here under a number."""

    def __init__(self) -> None:
        self._values: dict[int, Any] = {}

    def crossing(self, value: Any) -> Any:
        """The value, or what stands for it."""
        try:
            lower(value, Blob(), "result")
        except NotTransferable:
            number = len(self._values)
            self._values[number] = value
            return {KEPT: number, "text": str(value)}
        return value

    def found(self, value: Any) -> Any:
        """What it stands for, if it does."""
        if type(value) is dict and value.keys() in ({KEPT}, {KEPT, "text"}):
            return self._values[value[KEPT]]
        return value


@dataclass(frozen=True)
class Asked:
    """A tool that the code calls, for the thread of the agent to run."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    result: Future[Any] = field(default_factory=Future)

    def answer(self, tools: Mapping[str, Callable[..., Any]], kept: Kept) -> None:
        """Run it. What it raises, the code gets."""
        try:
            tool = tools.get(self.name)
            if tool is None:
                raise NameError(f"there is no tool {self.name!r}")
            named = {key: kept.found(one) for key, one in self.kwargs.items()}
            made = tool(*(kept.found(one) for one in self.args), **named)
            self.result.set_result(kept.crossing(made))
        except Exception as error:
            self.result.set_exception(error)


class CodeRunner(Actor, kind="smolagents-code"):
    """Owns the sandboxes of executors; its log of what ran in them is durable."""

    def __init__(self) -> None:
        self._entries: dict[str, Entrypoint] = {}
        self._using: dict[str, Any] = {}

    async def hold(self, token: str, limits: Limits, packages: list[str]) -> AsyncIterator[None]:
        """A sandbox of this name, as long as somebody holds the stream."""

        async def use(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
            return await self._using[token](name, args, kwargs)

        isolate = self.isolates.load(_INSIDE, limits=limits, packages=packages)
        entry = Entrypoint(isolate, "run", None, isolate.limits, {"tools.use": use})
        self._entries[token] = entry
        try:
            yield
            await asyncio.get_running_loop().create_future()  # over a cluster items are asked ahead
        finally:
            del self._entries[token]
            entry.close()

    async def run(self, token: str, use: Any, *given: Any) -> dict[str, Any]:
        """What became of the code; a sandbox that was killed says what it had printed."""
        entry, self._using[token] = self._entries[token], use
        try:
            found: dict[str, Any] = await entry(*given)
        except IsolateDead as error:
            return {
                "output": None,
                "final": False,
                "error": f"{type(error).__name__}: {error}. All variables are gone.",
                "logs": "\n".join(entry.output),
                "dead": True,
            }
        finally:
            del self._using[token]
        return found


class FacetExecutor(PythonExecutor):  # type: ignore[misc] # it has no annotations
    """Runs the code of a smolagents `CodeAgent` in an isolate, which reaches nothing but the tools.

        with LocalRuntime("state/").blocking() as runtime:
            executor = FacetExecutor(runtime, "alice")
            agent = CodeAgent(tools=[search], model=model, executor=executor)
            agent.run("What of the octopus?")

    `place` is a runtime, or `self.facets` of an actor; the actor `name` there owns the sandbox, and
    its `isolates.log` keeps what ran. Agents run on threads of their own: give a runtime that is
    `blocking()`, or start the agent with `asyncio.to_thread`; on the thread of the actors' event
    loop it is `NotActive`.

    It does what the local executor does: variables, functions and imports last from one piece of
    code to the next, the last value is the output, `final_answer` ends the code. It is all of
    Python, not a subset. Tools, and agents that are managed, run outside, in the thread of the
    agent; what crosses is plain data. What a tool gives that is none, an image, stays outside: the
    code may give it to another tool and to `final_answer`. What the code raises is an error that
    the model reads.

    `limits` are those of the sandbox, 64 MiB, 5 s of computing and 600 s for a piece of code, tools
    included; code that goes over one is ended, the model is told, and the next piece finds the
    variables that were sent, and none of its own. `packages` are of pure Python, to be imported.
    `authorized_imports` are the modules that code may import; None is all there are in the sandbox,
    none of which reach out of it.

    `cleanup`, which an agent calls at its end as a context manager, ends the sandbox; so does the
    end of the executor, and of the actor.
    """

    def __init__(
        self,
        place: Any,
        name: str,
        *,
        limits: Limits = LIMITS,
        packages: Sequence[str] = (),
        authorized_imports: Sequence[str] | None = None,
    ) -> None:
        self._place = Place(place)
        self._name = name
        self._limits = limits
        self._packages = list(packages)
        self._authorized: list[str] | None = None
        if authorized_imports is not None:
            self._authorized = [*BASE_BUILTIN_MODULES, *authorized_imports]
        self._token = uuid4().hex
        self._held: Any = None
        self._tools: dict[str, Callable[..., Any]] = {}
        self._variables: dict[str, Any] = {}
        self._sent: dict[str, Any] = {}
        self._kept = Kept()
        self.state: dict[str, Any] = {"_print_outputs": ""}
        """What the code printed last, for the agent to show where it failed."""

    def send_tools(self, tools: dict[str, Any]) -> None:
        """The tools of the next pieces of code, by name."""
        self._tools = dict(tools)

    def send_variables(self, variables: dict[str, Any]) -> None:
        """Variables for the next piece of code."""
        self._variables |= variables

    def __call__(self, code_action: str) -> CodeOutput:
        """Run a piece of code; `InterpreterError` with what the model is to read."""
        inbox: SimpleQueue[Asked | None] = SimpleQueue()
        running = self._place.bridge.start(self._run, code_action, inbox)
        running.add_done_callback(lambda _: inbox.put(None))
        try:
            while (asked := inbox.get()) is not None:
                asked.answer(self._tools, self._kept)
        except BaseException:
            running.cancel()
            raise
        return self._told(running.result())

    def cleanup(self) -> None:
        """End the sandbox; the next piece of code gets another one."""
        held, self._held, self._kept = self._held, None, Kept()
        self._variables, self._sent = self._sent | self._variables, {}
        if held is not None:
            self._place.bridge.start(held.aclose).result()

    def _told(self, found: dict[str, Any]) -> CodeOutput:
        logs = truncate_content(found["logs"], max_length=LOGS)
        self.state["_print_outputs"] = logs
        if found["error"] is not None:
            raise InterpreterError(found["error"])
        return CodeOutput(self._kept.found(found["output"]), logs, found["final"])

    async def _run(self, code: str, inbox: SimpleQueue[Asked | None]) -> dict[str, Any]:
        async def use(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
            asked = Asked(name, args, kwargs)
            inbox.put(asked)
            return await asyncio.wrap_future(asked.result)

        if self._held is None:
            self._held = await self._hold()
        found: dict[str, Any] = await self._place.call(
            CodeRunner, self._name, "run", self._token, capability(use),
            code, list(self._tools), self._variables, self._authorized,
        )  # fmt: skip
        self._sent |= self._variables
        self._variables = self._sent if found.get("dead") else {}
        return found

    async def _hold(self) -> Any:
        held = aiter(
            self._place.get(CodeRunner, self._name).hold(self._token, self._limits, self._packages)
        )
        await anext(held)
        return held
