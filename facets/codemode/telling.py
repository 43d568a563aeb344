"""What a model is told, within the tokens that it may be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from facets.codemode.catalog import Catalog
from facets.codemode.ledger import kept_at
from facets.codemode.stubs import Declared, Language, signature
from facets.codemode.tokens import cut, tokens

if TYPE_CHECKING:
    from facets import Actor
    from facets.codemode.runs import Execution

SEARCH = 1_500
"""Tokens of what one search gives."""


def found_text(
    catalog: Catalog, query: str, limit: int, connectors: Sequence[str], language: Language
) -> str:
    """Tools that a search found, one line each, and the connectors whose tools are missing."""
    found = catalog.search(query, limit)
    mark = "#" if language == "python" else "//"
    lines = [
        f"{mark} the tools of {name} cannot be had now: {cut(str(error), 50)}"
        for name, error in catalog.missing.items()
    ]
    if not found:
        lines += [f"nothing fits {query!r}; there are tools of {', '.join(connectors)}"]
    for one in found:
        text = " ".join(one.operation.description.split())[:160]
        line = signature(one.operation, Declared(language, room=0))
        lines.append(cut(line, 200) + (f"  {mark} {text}" if text else ""))
    return cut("\n".join(lines), SEARCH)


def told(actor: Actor, execution: Execution, most: int) -> str:
    """An execution; a result of more than `most` tokens is cut, and kept in a file of the actor."""
    parts = [f"status: {execution.status}"]
    if execution.printed:
        parts.append(f"printed:\n{cut(execution.printed, most // 4)}")
    if execution.error:
        parts.append(f"error:\n{cut(execution.error, most // 4)}")
    for call in execution.pending:
        why = "may have run when the process died" if call.unsure else "waits for approval"
        shown = cut(json.dumps(call.arguments, default=str), 200)
        parts.append(f"call {call.id} {why}: {call.path} {shown}")
    if execution.status == "completed":
        parts.append(f"result:\n{_result(actor, execution, most)}")
    return "\n".join(parts)


def _result(actor: Actor, execution: Execution, most: int) -> str:
    text = json.dumps(execution.result, default=str, ensure_ascii=False)
    if tokens(text) <= most:
        return text
    path = kept_at(execution.id)
    actor.fs.mkdir("/codemode", exist_ok=True)
    actor.fs.write_text(path, text)
    note = f", all in the file {path}; `await codemode.result({execution.id})` gives it to code"
    return cut(text, most, note)
