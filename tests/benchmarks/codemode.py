"""What a model reads of a large API: all operations as tools, and code mode.

    facets bench --code [--json]

Tokens are characters / 4 (see `facets.codemode.tokens`). The JSON of the tools is compact, with
the references of the arguments put in place, five levels deep, as a model's interface takes them. A
task is three operations: three searches, three declarations and one execution whose result is
short; by plain tools it is three calls, and all schemas with the first.
"""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar

from rich.table import Table

from facets.codemode import Catalog, OpenApiConnector, Operation, workbench
from facets.codemode.offered import TOOLS
from facets.codemode.schema import Schema
from facets.codemode.tokens import tokens
from facets.testing import MemoryRuntime
from tests.benchmarks.documents import NAMES, document

LEVELS = 5
TASK = {
    "create an issue": "api.issues_create(owner='a', repo='b', title='c')",
    "add labels to an issue": "api.issues_add_labels(owner='a', repo='b', issue_number=7)",
    "list commits": "api.repos_list_commits(owner='a', repo='b')",
}
CODE = "import asyncio\nawait asyncio.gather({})".format(", ".join(TASK.values()))
ANSWER = {"number": 7, "url": "https://hub.test/a/b/7", "state": "open"}
T = TypeVar("T")
Figures = dict[str, dict[str, float]]


async def _request(method: str, path: str, **rest: Any) -> Any:
    return ANSWER


def placed(value: Any, schema: Schema, left: int = LEVELS) -> Any:
    """A schema with its references put in place."""
    if isinstance(value, dict):
        if "$ref" in value:
            return placed(schema.at(value).value, schema, left - 1) if left else {}
        return {key: placed(one, schema, left) for key, one in value.items()}
    return [placed(one, schema, left) for one in value] if isinstance(value, list) else value


def as_tool(one: Operation) -> dict[str, Any]:
    """An operation as a model's interface takes a tool."""
    parameters = placed(dict(one.parameters.value), one.parameters)
    return {"name": one.name, "description": one.description, "parameters": parameters}


def compact(value: Any) -> int:
    """The tokens of a value as JSON."""
    return tokens(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


async def measure() -> Figures:
    """The figures of each document, by name."""
    return {name: await measured(document(name)) for name in NAMES}


async def measured(described: dict[str, Any]) -> dict[str, float]:
    """The figures of one document."""
    connector, connected = _timed(lambda: OpenApiConnector("api", described, request=_request))
    operations = await connector.operations()
    tracemalloc.start()
    catalog = Catalog(operations)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    _, indexed = _timed(lambda: Catalog(operations))
    _, searched = _timed(lambda: [catalog.search(task) for task in TASK])
    schemas = compact([as_tool(one) for one in operations])
    two = compact(
        [
            {"name": key, "description": text, "parameters": one}
            for key, (text, one) in TOOLS.items()
        ]
    )
    read = await _task(connector)
    whole = two + sum(read.values())
    return {
        "operations": len(operations),
        "document, tokens": compact(described),
        "all schemas, tokens": schemas,
        "two tools, tokens": two,
        "saved before the first word, %": 100 * (1 - two / schemas),
        "one search, tokens": read["searches"] / len(TASK),
        "one declaration, tokens": read["declarations"] / len(TASK),
        "a whole task, tokens": whole,
        "the same by plain tools, tokens": schemas + len(TASK) * compact(ANSWER),
        "saved in a whole task, %": 100 * (1 - whole / schemas),
        "read the document, ms": connected,
        "build the index, ms": indexed,
        "one search, ms": searched / len(TASK),
        "index, MB": size / 1e6,
    }


async def _task(connector: OpenApiConnector) -> dict[str, int]:
    """The tokens that a model reads and writes for three operations."""
    async with MemoryRuntime() as runtime:
        bench = runtime.get(workbench([connector]), "bench")
        searches = [await bench.search(task) for task in TASK]
        paths = [one.partition("(")[0] for one in TASK.values()]
        assert all(path in text for path, text in zip(paths, searches, strict=True))
        declared = [await bench.describe(path) for path in paths]
        done = await bench.execute(CODE)
        assert done.result == [ANSWER] * len(TASK), done.error
        return {
            "searches": sum(map(tokens, searches)),
            "declarations": sum(map(tokens, declared)),
            "code": tokens(CODE),
            "answer": tokens(await bench.told(done.id)),
        }


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the milliseconds of it."""
    begun = time.perf_counter()
    found = work()
    return found, (time.perf_counter() - begun) * 1e3


def table(figures: Figures) -> Table:
    """One row a figure, one column a document."""
    made = Table()
    made.add_column("")
    for name in figures:
        made.add_column(name, justify="right")
    for row in next(iter(figures.values())):
        made.add_row(row, *(f"{one[row]:,.6g}" for one in figures.values()))
    return made
