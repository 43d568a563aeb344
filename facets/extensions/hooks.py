"""Events, and the extensions that hear them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.deadline import deadline, remaining
from facets.extensions.manifest import HookSpec
from facets.extensions.proposal import Proposal
from facets.extensions.rehearsal import told

if TYPE_CHECKING:
    from facets.extensions.extensions import Extensions

Heard = tuple[Proposal, HookSpec]
Wrong = Callable[[Any], str]
"""Why an answer is none; "" if it is one."""


async def emit(extensions: Extensions, event: str, value: Any) -> Any:
    """Pass the value through every hook of the event; what the last one made of it.

    One after the other, lower priority first and then by name; each in the seconds its manifest
    says. A hook returns None to leave the value as it is, or another value of the same type. One
    that raises, takes too long, is killed or returns something else changes nothing: the value goes
    on as it was, the failure is an event and a strike. It raises for nothing that an extension
    does; a deadline of the caller's own holds.
    """
    for one in heard(extensions, event):
        result = await ask(extensions, one, value, _of_type(type(value)))
        value = value if result is None else result
    return value


def heard(extensions: Extensions, event: str) -> list[Heard]:
    """Who hears it, in the order in which they do."""
    found = [
        (proposal, hook)
        for proposal in extensions.list()
        for hook in proposal.manifest.hooks
        if hook.event == event and not extensions.records.disabled(proposal.name)
    ]
    return sorted(found, key=lambda one: (one[1].priority, one[0].name))


async def ask(extensions: Extensions, one: Heard, value: Any, wrong: Wrong) -> Any:
    """What one of them answers; None if it says nothing, or failed, which is a strike."""
    proposal, hook = one
    if extensions.records.disabled(proposal.name):
        return None  # since the event began
    try:
        with deadline(hook.seconds):
            result = await getattr(extensions.stub(proposal), hook.event)(value)
    except Exception as error:
        if remaining() == 0:
            raise  # the caller's own time is over
        await extensions.struck(proposal, hook.event, told(error))
        return None
    if result is not None and (why := wrong(result)):
        await extensions.struck(proposal, hook.event, why)
        return None
    extensions.records.well(proposal.name)
    return result


def _of_type(kind: type) -> Wrong:
    def wrong(result: Any) -> str:
        found = type(result)
        same = found is kind
        return "" if same else f"it returned {found.__name__}, not {kind.__name__}"

    return wrong
