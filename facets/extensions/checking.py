"""The check of a proposal: read, compared with its manifest, tested where it can do no harm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from facets.extensions.manifest import Manifest
from facets.extensions.proposal import Proposal, Ran
from facets.extensions.rehearsal import check, told
from facets.extensions.uses import problems_of, unused_of, uses_of

if TYPE_CHECKING:
    from facets.extensions.extensions import Extensions

SOURCE = 256 << 10
"""Bytes of source that are read at most."""


async def checked(extensions: Extensions, proposal: Proposal, source: str) -> Proposal:
    """The proposal with the problems that were found, its tests, and what it does not need."""
    manifest = proposal.manifest
    if len(source.encode()) > SOURCE:
        return _but(proposal, f"the source has more than {SOURCE} bytes")
    try:
        uses = uses_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _but(proposal, told(error))
    problems = problems_of(uses, manifest) + extensions.grants.missing(manifest.permissions)
    problems += taken(extensions, manifest)
    tests: Sequence[Ran] = ()
    if not problems:
        tests = await check(extensions.actor, manifest, source, uses.tests, extensions.limits)
    problems += [f"{one.what}: {one.error}" for one in tests if one.error]
    return msgspec.structs.replace(
        proposal, problems=tuple(problems), tests=tuple(tests), unused=unused_of(uses, manifest)
    )


def taken(extensions: Extensions, manifest: Manifest) -> list[str]:
    """Events that only one may hear, and that another one hears."""
    wanted = {hook.event for hook in manifest.hooks} & extensions.exclusive
    return [
        f"{other.name} hears {hook.event!r} already, and only one may"
        for other in extensions.list()
        for hook in other.manifest.hooks
        if hook.event in wanted and other.name != manifest.name
    ]


def _but(proposal: Proposal, problem: str) -> Proposal:
    return msgspec.structs.replace(proposal, problems=(problem,))
