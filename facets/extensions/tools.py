"""Extensions as tools of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from actors.once import KEY
from facets.agents.errors import BadToolArguments
from facets.agents.running import current
from facets.agents.tool import Tool
from facets.extensions.errors import ExtensionError, ResultTooLong

if TYPE_CHECKING:
    from facets.extensions.extensions import Extensions
    from facets.extensions.manifest import ToolSpec
    from facets.extensions.proposal import Proposal

GUIDE = """Propose a tool of your own, or a new version of one. `source` is Python with
`from facets import Actor` and `class Extension(Actor)`: an async method for each tool and hook that
the manifest names, and `async def test_...(self)` methods that check them. Data is kept in
`self.kv` and `self.sql` within permissions.storage bytes; what else is permitted is in
`self.env["files"]`, `self.env["context"]`, `self.env["messages"]`, and await facets.fetch(url).
Arguments are held to the schema in `parameters`, before the call. Hooks may be before_turn and
before_step, which answer None or {"add": text}, and before_tool_call, {"block": reason}, each with
that permission in permissions.turns; with "see" there they are told what is said.
Ask for no more than it needs. The answer says whether it is active, waits for a person, or what to
mend; a version is never changed, so mend it under a new one."""
RESULT = 64 << 10
"""Bytes of JSON that a tool may answer a model with: more would only fill its context."""
_TEXT = {"type": "string"}
_LEVEL = {"enum": ["none", "read", "read-write"]}
_NAMES = {"type": "array", "items": _TEXT}
_MANIFEST = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "version": _TEXT,
        "description": _TEXT,
        "permissions": {
            "type": "object",
            "properties": {
                "network": _NAMES,
                "files": _LEVEL,
                "context": _LEVEL,
                "messages": {"enum": ["none", "read"]},
                "offers": _NAMES,
                "turns": {"type": "array", "items": {"enum": ["see", "add", "block"]}},
                "storage": {"type": "integer"},
            },
        },
        "tools": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "description": _TEXT,
                    "parameters": {"type": "object"},
                    "seconds": {"type": "number"},
                    "call_id": _TEXT,
                },
                "required": ["name"],
            },
        },
        "hooks": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "event": _TEXT,
                    "priority": {"type": "integer"},
                    "seconds": {"type": "number"},
                },
                "required": ["event"],
            },
        },
    },
    "required": ["name", "version"],
}


def tools_of(extensions: Extensions) -> list[Tool]:
    """The tools of extensions that run and are not switched off."""
    return [
        _tool(extensions, proposal, spec)
        for proposal in extensions.list()
        if not extensions.records.disabled(proposal.name)
        for spec in proposal.manifest.tools
    ]


def model_tools(extensions: Extensions) -> list[Tool]:
    """What lets a model write its own: propose_extension, list_extensions, rollback_extension.

    Consent is not among them, so what a model says or reads cannot give it.
    """

    async def propose_extension(manifest: dict[str, Any], source: str) -> dict[str, Any]:
        try:
            return _shown(await extensions.propose(manifest, source))
        except ExtensionError as error:
            return {"state": "refused", "problems": [str(error)]}

    async def list_extensions() -> list[dict[str, Any]]:
        return [_shown(proposal) for proposal in extensions.list()]

    async def rollback_extension(name: str) -> dict[str, Any]:
        try:
            return _shown(await extensions.rollback(name))
        except ExtensionError as error:
            return {"state": "unchanged", "problems": [str(error)]}

    return [
        Tool("propose_extension", GUIDE, _object(manifest=_MANIFEST, source=_TEXT),
             propose_extension, seconds=None),
        Tool("list_extensions", "The extensions that are active.", _object(), list_extensions),
        Tool("rollback_extension", "Go back to the version before, and to its data.",
             _object(name=_TEXT), rollback_extension, seconds=None),
    ]  # fmt: skip


def _tool(extensions: Extensions, proposal: Proposal, spec: ToolSpec) -> Tool:
    name = f"{proposal.name}__{spec.name}"

    async def call(**arguments: Any) -> Any:
        if KEY in arguments:
            raise BadToolArguments(f"wrong arguments of {name}: {KEY} is not known", name=name)
        run = current()
        # With the key of the call, a turn that goes on after a crash has it done once.
        key = {} if run is None else {KEY: run.id}
        result = await extensions.call(proposal.name, spec.name, **arguments, **key)
        _check_size(name, proposal, result)
        return result

    # What it may take is a limit of the extension's own.
    return Tool(name, spec.description, spec.parameters, call, seconds=None)


def _check_size(name: str, proposal: Proposal, result: Any) -> None:
    try:
        size = len(msgspec.json.encode(result))
    except (TypeError, ValueError, RecursionError):
        return  # who tells the model finds that JSON cannot say it
    if size > RESULT:
        raise ResultTooLong(
            f"{name} returned {size} bytes, and a model is shown {RESULT}",
            name=proposal.name,
            version=proposal.version,
            size=size,
        )


def _shown(proposal: Proposal) -> dict[str, Any]:
    """What a model is told: where it stands, and its tools by the names they are called by."""
    manifest = proposal.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "state": proposal.state,
        "problems": list(proposal.problems),
        "permissions": msgspec.to_builtins(manifest.permissions),
        "changes": [str(change) for change in proposal.changes],
        "unused": list(proposal.unused),
        "tools": [f"{manifest.name}__{tool.name}" for tool in manifest.tools],
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}
