"""What a model is told, within the tokens that it may be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from facets.codemode.catalog import Found
from facets.codemode.stubs import Declared, Language, signature
from facets.codemode.tokens import cut, tokens

if TYPE_CHECKING:
    from facets import Actor
    from facets.codemode.runs import Execution

SEARCH = 1_500
"""Tokens of what one search gives."""


def found_text(
    query: str, found: Sequence[Found], connectors: Sequence[str], language: Language
) -> str:
    """Tools that a search found, one line each."""
    if not found:
        return f"nothing fits {query!r}; there are tools of {', '.join(connectors)}"
    lines, mark = [], "#" if language == "python" else "//"
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
    path = f"/codemode/{execution.id}.json"
    actor.fs.mkdir("/codemode", exist_ok=True)
    actor.fs.write_text(path, text)
    return cut(text, most, f", all in the file {path}")
