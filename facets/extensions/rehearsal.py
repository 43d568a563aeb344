"""Trying code that nobody has consented to, where it can do no harm.

A check runs the extension's tests, each with a database of its own, in a facet that has nothing and
is deleted afterwards. A rehearsal makes calls that were made of the running version again, of that
one and of the new one, each on a copy of the data and with nothing that reaches further than the
copy. Not the tests: they may count on an empty database.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import actors.errors
from actors.code import Start
from actors.deadline import deadline
from actors.errors import DeadlineExceeded
from actors.quotas.quota import Quota
from facets.actor import Actor
from facets.extensions.grants import Grants, harmless
from facets.extensions.manifest import Permissions
from facets.extensions.proposal import Ran
from facets.extensions.uses import CLASS
from facets.isolates.limits import Limits
from storage.errors import NoState

if TYPE_CHECKING:
    from facets.extensions.manifest import Manifest

CHECK = 60.0
"""Seconds that all tests of one proposal may take together."""


class Trial(Actor):
    """A place with nothing in it: empty files, empty context, nobody outside."""

    async def check(
        self, permissions: Permissions, source: str, tests: Sequence[str], limits: Limits
    ) -> list[Ran]:
        """Load it, and run its tests."""
        start = trial_start(self, Grants(), permissions, source, limits)
        found = []
        for number, test in enumerate(tests or [""]):
            stub = self.facets.get(f"test {number}", start)
            found.append((await ran(stub, test, {}))[0] if test else await started(stub))
        return found


def trial_start(
    actor: Actor, grants: Grants, permissions: Permissions, source: str, limits: Limits
) -> Start:
    """What runs it with nothing that reaches outside."""
    env = harmless(grants.env(actor, permissions), permissions)
    isolate = actor.isolates.load(source, env=env, limits=limits)
    return Start(isolate.actor(CLASS), quota=Quota(bytes=permissions.storage))


async def started(stub: Any) -> Ran:
    """Whether it loads and starts. A method that no class can have shows that without running
    anything more of it."""
    try:
        await getattr(stub, "is there")()
    except actors.errors.NoSuchMethod:
        return Ran("start")
    except Exception as error:
        return Ran("start", told(error))
    return Ran("start")


async def ran(stub: Any, method: str, arguments: dict[str, Any]) -> tuple[Ran, Any]:
    """Call it; what came of it, and the result."""
    try:
        return Ran(method), await getattr(stub, method)(**arguments)
    except PermissionError as error:
        return Ran(method, told(error), refused=True), None
    except Exception as error:
        return Ran(method, told(error)), None


def told(error: BaseException) -> str:
    """An error in one line, for a reader who is not to be flooded."""
    return f"{type(error).__name__}: {error}"[:500]


async def check(actor: Actor, manifest: Manifest, source: str, tests: Sequence[str],
                limits: Limits) -> list[Ran]:  # fmt: skip
    """Its tests in a place with nothing in it, which is gone afterwards."""
    place = f"check {manifest.name}"
    actor.facets.delete(place)  # of a check that a crash has ended
    try:
        with deadline(CHECK):
            return await actor.facets.get(place, Trial).check(
                manifest.permissions, source, list(tests), limits
            )
    except DeadlineExceeded:
        return [Ran("tests", f"together they take more than {CHECK:.0f} seconds")]
    finally:
        actor.facets.delete(place)


async def rehearse(
    actor: Actor, facet: str, old: Start, new: Start, calls: Sequence[tuple[str, dict[str, Any]]]
) -> list[Ran]:
    """Start the new one on a copy of the facet's data, and make these calls of both.

    Only what the old one can do there and the new one cannot is a failure: a call may need a
    capability that a rehearsal does not have, or may not be made twice.
    """
    before = await _on_copy(actor, facet, old, calls)
    after = await _on_copy(actor, facet, new, calls)
    return [_compared(*was, *now) for was, now in zip(before, after, strict=True)]


def _compared(was: Ran, expected: Any, now: Ran, result: Any) -> Ran:
    """What the new one did, if the old one could do it, and nothing was refused."""
    if was.error or now.refused:
        return Ran(now.what, refused=now.refused)
    return Ran(now.what, now.error, differs=result != expected)


async def _on_copy(
    actor: Actor, facet: str, start: Start, calls: Sequence[tuple[str, dict[str, Any]]]
) -> list[tuple[Ran, Any]]:
    place = f"rehearsal of {facet}"
    actor.facets.delete(place)  # of a rehearsal that a crash has ended
    try:
        with suppress(NoState):
            await actor.facets.clone(facet, place)
        found: list[tuple[Ran, Any]] = [(await started(actor.facets.get(place, start)), None)]
        for method, arguments in calls:
            found.append(await ran(actor.facets.get(place, start), method, arguments))
        return found
    finally:
        actor.facets.delete(place)
