"""Runs what a model wrote. The host gives this file to an isolate, where it is the main module."""

from __future__ import annotations

import ast
import asyncio
import inspect
import linecache
import re
import textwrap
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, NoReturn

_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*\n(.*?)\n?^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
Use = Callable[[str, list[Any], dict[str, Any]], Awaitable[Any]]


class Call(Coroutine[Any, Any, Any]):
    """A call of a tool, which is made when it is awaited."""

    def __init__(self, path: str, made: Coroutine[Any, Any, Any], log: Log) -> None:
        self._path = path
        self._made = made
        self._log = log
        log.unmade[id(self)] = self

    def __await__(self) -> Generator[Any, Any, Any]:
        self._begin()
        return (yield from self._made.__await__())

    def send(self, value: Any) -> Any:
        """As a coroutine."""
        self._begin()
        return self._made.send(value)

    def throw(self, *error: Any) -> Any:
        """As a coroutine."""
        self._begin()
        return self._made.throw(*error)

    def close(self) -> None:
        """As a coroutine."""
        self._made.close()

    def _begin(self) -> None:
        self._log.unmade.pop(id(self), None)

    def _forgot(self, *_: Any) -> NoReturn:
        self._begin()
        self._made.close()
        raise TypeError(f"{self._path}(...) was not awaited: write `(await {self._path}(...))`")

    __getitem__ = __iter__ = __len__ = __contains__ = __add__ = _forgot

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._forgot()


class Log:
    """The calls that were written, and whether they were made and have ended."""

    def __init__(self, use: Use) -> None:
        self._use = use
        self.unmade: dict[int, Call] = {}
        self._open: set[asyncio.Future[None]] = set()

    def call(self, path: str, args: list[Any], kwargs: dict[str, Any]) -> Call:
        """A call that waits to be awaited."""
        return Call(path, self._made(path, args, kwargs), self)

    async def _made(self, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open.add(ended)
        try:
            return await self._use(path, args, kwargs)
        finally:
            self._open.discard(ended)
            if not ended.done():
                ended.set_result(None)

    async def over(self) -> None:
        """Wait for what still runs; TypeError if a call was written and never made."""
        await asyncio.sleep(0)  # in which tasks begin
        for call in [*self.unmade.values()]:
            call.close()
            raise TypeError(
                f"{call._path}(...) was called without `await`, and did not run: write"
                f" `await {call._path}(...)`, or for several `await asyncio.gather(...)`"
            )
        while self._open:
            await asyncio.gather(*self._open)


class Tools:
    """The tools of one connector: `await github.repos_get(...)`."""

    def __init__(self, log: Log, name: str) -> None:
        self._log = log
        self._name = name

    def __getattr__(self, tool: str) -> Any:
        if tool.startswith("_"):
            raise AttributeError(tool)

        def call(*args: Any, **kwargs: Any) -> Call:
            return self._log.call(f"{self._name}.{tool}", list(args), kwargs)

        return call


class CodeModeTools(Tools):
    """What code mode itself has; `search`, `describe` and `now` are tools as any."""

    async def step(self, name: str, fn: Callable[[], Any]) -> Any:
        """What `fn` returns, the first time; the same whenever this code runs again."""
        kept = await self._log.call("codemode.step", [name], {})
        if kept["done"]:
            return kept["value"]
        value = fn()
        if inspect.isawaitable(value):
            value = await value
        await self._log.call("codemode.keep", [kept["id"], value], {})
        return value


async def evaluate(code: str, title: str, names: dict[str, Any]) -> Any:
    """Run a text as the body of a function: what it returns, or the value of its last line."""
    code, tree = _parsed(code, title)
    linecache.cache[title] = (len(code), None, code.splitlines(keepends=True), title)
    space = {"__name__": "code", **names}
    exec(compile(_function(tree.body), title, "exec"), space)  # noqa: S102 - that is what it is for
    result = await space["__code__"]()
    return await result if inspect.isawaitable(result) else result


def _parsed(code: str, title: str) -> tuple[str, ast.Module]:
    """The code and what it says; what a fence in it holds, where it is no code as a whole."""
    code = textwrap.dedent(code)
    try:
        return code, ast.parse(code, title)
    except SyntaxError:
        fenced = _FENCE.search(code)
        if fenced is None:
            raise
    code = textwrap.dedent(fenced.group(1))
    return code, ast.parse(code, title)


def _function(body: list[ast.stmt]) -> ast.Module:
    last = body[-1] if body else None
    if isinstance(last, ast.Expr):
        body[-1] = ast.copy_location(ast.Return(last.value), last)
    elif _defines_main(body) and not isinstance(last, ast.Return):
        called = ast.Call(ast.Name("main", ast.Load()), [], [])
        body.append(ast.Return(called))
    module = ast.parse("async def __code__(): pass")
    function = module.body[0]
    assert isinstance(function, ast.AsyncFunctionDef)  # noqa: S101
    function.body = body or function.body
    return ast.fix_missing_locations(module)


def _defines_main(body: list[ast.stmt]) -> bool:
    return any(
        isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == "main"
        for one in body
    )


async def main(use: Use, code: str, connectors: list[str], value: Any, title: str) -> Any:
    """The entry point: `use` is the only thing that leads out."""
    log = Log(use)
    names: dict[str, Any] = {name: Tools(log, name) for name in connectors}
    names["codemode"] = CodeModeTools(log, "codemode")
    result = await evaluate(code, title, names | {"input": value})
    await log.over()
    return result
