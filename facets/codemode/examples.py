"""Snippets held against their examples: run in an isolate, with answers in the place of tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facets.codemode.catalog import Catalog
from facets.codemode.errors import CallDenied, SnippetRefused
from facets.codemode.ledger import pack, unpack
from facets.codemode.own import SNIPPETS, may
from facets.codemode.passes import raised
from facets.codemode.running import Running
from facets.codemode.script import Script
from facets.codemode.snippets import Answer, Example, Snippet
from facets.isolates.limits import Limits

if TYPE_CHECKING:
    from facets import Actor


async def check(
    actor: Actor, catalog: Catalog, snippet: Snippet, connectors: list[str], limits: Limits
) -> None:
    """Run a snippet's examples, one after another; SnippetRefused by the first that fails.

    Nothing real is called and nothing is kept. Arguments are held against the schemas of the
    tools that the answers stand for.
    """
    for number, example in enumerate(snippet.examples):
        script = Script(snippet.code, snippet.language, f"{snippet.name}@{snippet.version}")
        stand = _Stand(catalog, snippet, example)
        running = Running(
            actor, script, example.input, stand.use, connectors=[*connectors, SNIPPETS],
            limits=limits, seed=f"example {number}",
        )  # fmt: skip
        try:
            found = unpack(pack(await running.going, snippet.name))
        except Exception as error:
            raise _refused(snippet, number, script.explain(error)) from error
        finally:
            running.close()
        if stand.missing:
            raise _refused(snippet, number, stand.missing)
        if found != unpack(pack(example.result, snippet.name)):
            text = f"it returned {found!r:.500} and not {example.result!r:.500}"
            raise _refused(snippet, number, text)


class _Stand:
    """What stands in the place of the tools."""

    def __init__(self, catalog: Catalog, snippet: Snippet, example: Example) -> None:
        self._catalog = catalog
        self._snippet = snippet
        self._answers = example.answers
        self.missing = ""
        """The first call without an answer, also where the code handled it."""

    async def use(self, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """One call of a tool."""
        if path in ("codemode.step", "codemode.keep"):
            return {"done": False, "value": None, "id": 0}
        operation = self._catalog.get(path)
        if not may(self._snippet.connectors, operation.connector):
            raise CallDenied(f"this code may not use {operation.connector}", path=path)
        arguments = operation.bind(args, kwargs)
        found = next((one for one in self._answers if _fits(one, path, arguments)), None)
        if found is None:
            told = ", ".join(f"{key}={value!r:.100}" for key, value in arguments.items())
            self.missing = self.missing or f"it has no answer for {path}({told})"
            raise LookupError(self.missing)
        if found.error is not None:
            raise raised(*found.error)
        return found.result


def _fits(answer: Answer, path: str, arguments: dict[str, Any]) -> bool:
    return answer.path == path and answer.arguments in (None, arguments)


def _refused(snippet: Snippet, number: int, why: str) -> SnippetRefused:
    return SnippetRefused(
        f"{snippet.name} was not saved: with example {number} {why}", name=snippet.name,
        example=number,
    )  # fmt: skip
