"""Runs what a model wrote. The host gives this file to an isolate, where it is the main module."""

from __future__ import annotations

import ast
import inspect
import linecache
import re
from collections.abc import Awaitable, Callable
from typing import Any

_FENCE = re.compile(r"\A\s*```[\w-]*[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)
Use = Callable[[str, list[Any], dict[str, Any]], Awaitable[Any]]


class Tools:
    """The tools of one connector: `await github.repos_get(...)`."""

    def __init__(self, use: Use, name: str) -> None:
        self._use = use
        self._name = name

    def __getattr__(self, tool: str) -> Any:
        if tool.startswith("_"):
            raise AttributeError(tool)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._use(f"{self._name}.{tool}", list(args), kwargs)

        return call


class CodeModeTools(Tools):
    """What code mode itself has; `search`, `describe` and `now` are tools as any."""

    def __init__(self, use: Use, names: dict[str, Any]) -> None:
        super().__init__(use, "codemode")
        self._names = names

    async def step(self, name: str, fn: Callable[[], Any]) -> Any:
        """What `fn` returns, the first time; the same whenever this code runs again."""
        kept = await self._use("codemode.step", [name], {})
        if kept["done"]:
            return kept["value"]
        value = fn()
        if inspect.isawaitable(value):
            value = await value
        await self._use("codemode.keep", [kept["id"], value], {})
        return value

    async def run(self, snippet: str, input: Any = None) -> Any:  # noqa: A002
        """What a saved snippet returns for this input."""
        found = await self._use("codemode.snippet", [snippet], {})
        title = f"{found['name']}@{found['version']}"
        return await evaluate(found["code"], title, self._names | {"input": input})


async def evaluate(code: str, title: str, names: dict[str, Any]) -> Any:
    """Run a text as the body of a function: what it returns, or the value of its last line."""
    fenced = _FENCE.match(code)
    code = fenced.group(1) if fenced else code
    tree = ast.parse(code, title)
    linecache.cache[title] = (len(code), None, code.splitlines(keepends=True), title)
    space = {"__name__": "code", **names}
    exec(compile(_function(tree.body), title, "exec"), space)  # noqa: S102 - that is what it is for
    result = await space["__code__"]()
    return await result if inspect.isawaitable(result) else result


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
    names: dict[str, Any] = {name: Tools(use, name) for name in connectors}
    names["codemode"] = CodeModeTools(use, names)
    return await evaluate(code, title, names | {"input": value})
