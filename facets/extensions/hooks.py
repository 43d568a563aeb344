"""Events, and the extensions that hear them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.deadline import deadline, remaining
from facets.extensions.manifest import HookSpec
from facets.extensions.proposal import Proposal
from facets.extensions.rehearsal import told

if TYPE_CHECKING:
    from facets.extensions.extensions import Extensions


async def emit(extensions: Extensions, event: str, value: Any) -> Any:
    """Pass the value through every hook of the event; what the last one made of it.

    One after the other, lower priority first and then by name; each in the seconds its manifest
    says. A hook returns None to leave the value as it is, or another value of the same type. One
    that raises, takes too long, is killed or returns something else changes nothing: the value goes
    on as it was, the failure is an event and a strike. It raises for nothing that an extension
    does; a deadline of the caller's own holds.
    """
    for proposal, hook in _heard(extensions, event):
        if extensions.records.disabled(proposal.name):
            continue
        try:
            with deadline(hook.seconds):
                result = await getattr(extensions.stub(proposal), event)(value)
        except Exception as error:
            if remaining() == 0:
                raise  # the caller's own time is over
            await extensions.struck(proposal, event, told(error))
            continue
        if result is not None and type(result) is not type(value):
            kinds = f"{type(result).__name__}, not {type(value).__name__}"
            await extensions.struck(proposal, event, f"it returned {kinds}")
            continue
        extensions.records.well(proposal.name)
        value = value if result is None else result
    return value


def _heard(extensions: Extensions, event: str) -> list[tuple[Proposal, HookSpec]]:
    found = [
        (proposal, hook)
        for proposal in extensions.list()
        for hook in proposal.manifest.hooks
        if hook.event == event
    ]
    return sorted(found, key=lambda one: (one[1].priority, one[0].name))
