"""One call of an extension's tool: checked, made once, told when it dies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from actors.deadline import deadline
from actors.once import KEY
from facets.extensions import arguments as schemas
from facets.extensions.errors import NoSuchExtension
from facets.extensions.rehearsal import told
from facets.isolates.errors import IsolateDead

if TYPE_CHECKING:
    from facets.extensions.extensions import Extensions
    from facets.extensions.manifest import ToolSpec
    from facets.extensions.proposal import Proposal


async def call(extensions: Extensions, name: str, tool: str, given: dict[str, Any]) -> Any:
    """What the tool returns, or raises. `given` may have an idempotency key."""
    proposal = extensions.ready(name)
    spec = _spec(proposal, tool)
    key = given.pop(KEY, None)
    schemas.check(f"{name}__{tool}", spec.parameters, given)
    stub = extensions.stub(proposal)
    try:
        with deadline(spec.seconds):
            result = await getattr(stub, tool)(**_sent(proposal, spec, given, key))
    except IsolateDead as error:
        await extensions.struck(proposal, tool, told(error))
        raise
    extensions.records.called(name, tool, given, extensions.rehearsed)
    return result


def _spec(proposal: Proposal, tool: str) -> ToolSpec:
    for spec in proposal.manifest.tools:
        if spec.name == tool:
            return spec
    raise NoSuchExtension(
        f"{proposal.name} {proposal.version} has no tool {tool!r}", name=proposal.name
    )


def _sent(
    proposal: Proposal, spec: ToolSpec, given: dict[str, Any], key: str | None
) -> dict[str, Any]:
    """The arguments with what the host adds. Without storage there is nothing to do only once."""
    sent = dict(given)
    if spec.call_id:
        sent[spec.call_id] = opaque(proposal, key) if key is not None else ""
    if key is not None and proposal.manifest.permissions.storage:
        sent[KEY] = key
    return sent


def opaque(proposal: Proposal, key: str) -> str:
    """An id of a turn or a call as an extension sees it: those of turns are what their caller says,
    and may say more than it is to know."""
    return hashlib.sha256(f"{proposal.name}\0{key}".encode()).hexdigest()[:32]
