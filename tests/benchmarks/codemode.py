"""What a model reads of a large API: all operations as tools, and code mode.

    python -m tests.benchmarks.codemode DOCUMENT.json

DOCUMENT is an OpenAPI document, such as `generated/api.github.com.json` of the npm package
`@octokit/openapi`. Tokens are characters / 4 (see `facets.codemode.tokens`); the JSON of the tools
is compact, with the references of the arguments put in place, five levels deep, as a model's
interface takes them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from facets.codemode import Catalog, OpenApiConnector, Operation
from facets.codemode.offered import TOOLS
from facets.codemode.schema import Schema
from facets.codemode.stubs import Declared, declare, signature
from facets.codemode.tokens import tokens

LEVELS = 5
TASKS = ("create an issue", "merge pull request", "search code", "create gist", "get readme")


async def _request(method: str, path: str, **rest: Any) -> Any:
    raise AssertionError("nothing is asked")


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


def measure(document: dict[str, Any]) -> dict[str, float]:
    """The figures, by name."""
    connector = OpenApiConnector("api", document, request=_request)
    operations = list(asyncio.run(connector.operations()))
    catalog = Catalog(operations)
    schemas = compact([as_tool(one) for one in operations])
    mode = compact(
        [
            {"name": name, "description": text, "parameters": schema}
            for name, (text, schema) in TOOLS.items()
        ]
    )
    searches, declared = [], []
    for task in TASKS:
        found = catalog.search(task)
        lines = [signature(one.operation, Declared("python", room=0)) for one in found]
        searches.append(tokens("\n".join(lines)))
        declared.append(tokens(declare(found[0].operation)) if found else 0)
    return {
        "operations": len(operations),
        "all schemas, tokens": schemas,
        "code mode, tokens": mode,
        "saved, %": round(100 * (1 - mode / schemas), 3),
        "one search, tokens": sum(searches) / len(searches),
        "one declaration, tokens": sum(declared) / len(declared),
    }


if __name__ == "__main__":
    for name, figure in measure(json.loads(Path(sys.argv[1]).read_text())).items():
        print(f"{name:28}{figure:>14,.6g}")
