"""`Extensions`: code that somebody proposed, from the proposal to what runs, and back."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from actors.code import Start
from actors.quotas.quota import Quota
from facets.extensions import calling, hooks
from facets.extensions.changes import Change, changes
from facets.extensions.checking import checked, taken
from facets.extensions.errors import (
    ExtensionAltered,
    ExtensionDisabled,
    NoSuchExtension,
    NotPending,
    TooManyPending,
    VersionTaken,
)
from facets.extensions.grants import Grants
from facets.extensions.manifest import Manifest, manifest_of
from facets.extensions.package import Package
from facets.extensions.proposal import Answer, Consent, Proposal, Ran, ask
from facets.extensions.records import Event, Records
from facets.extensions.rehearsal import rehearse, started, trial_start
from facets.extensions.signing import Key, signer_of
from facets.extensions.uses import CLASS
from facets.isolates.limits import Limits
from storage.errors import NoState

if TYPE_CHECKING:
    from facets.actor import Actor
    from facets.agents.tool import Tool

LIMITS = Limits(cpu=1.0, wall=10.0, calls=10_000, output=1 << 20, logs=64 << 10)
PENDING = 32
"""Proposals that may wait for a decision."""


class Extensions:
    """What extends one actor while it runs. Make it in `on_start`; it belongs to the actor's code.

        self.extensions = Extensions(self, consent=no_wider, grants=Grants(files="/shared"))

    An extension is Python source with `class Extension(Actor)`, whose async methods are the tools
    and hooks that its `Manifest` names, and those called `test_...` its tests. Each runs as a facet
    with a database of its own, in a sandbox that has exactly what its manifest says of what
    `grants` has, within `limits`. `consent` decides about each proposal that passes its check, at
    once or by "ask", which leaves it to `approve` and `reject`. `keys` are who may sign, by name.
    An event in `exclusive` is heard by one extension: another one that hooks into it is refused.
    After `strikes` failed hooks or killed sandboxes in a row an extension is switched off. The
    newest `rehearsed` calls of tools are made again on a copy before an upgrade.

    Versions, their states and the newest 1,000 events are rows of the actor's database and survive
    restarts; each change of state is one step. What a crash interrupts, `resume()` goes on with.
    """

    def __init__(
        self,
        actor: Actor,
        *,
        consent: Consent = ask,
        grants: Grants | None = None,
        keys: Mapping[str, Key] | None = None,
        limits: Limits = LIMITS,
        exclusive: Collection[str] = (),
        strikes: int = 3,
        rehearsed: int = 5,
    ) -> None:
        self.actor = actor
        self.consent = consent
        self.grants = grants or Grants()
        self.keys = dict(keys or {})
        self.limits = limits
        self.exclusive = frozenset(exclusive)
        self.strikes = strikes
        self.rehearsed = rehearsed
        self.records = Records(actor)
        self._starts: dict[str, tuple[str, Start]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    # -- from a proposal to what runs -------------------------------------------------------

    async def propose(
        self,
        manifest: Manifest | Mapping[str, Any] | str | bytes,
        source: str,
        *,
        signature: bytes | None = None,
    ) -> Proposal:
        """Check it, ask for consent, rehearse and activate it, as far as that goes today.

        It is returned in the state it got to: `active`, `pending`, or `refused`, `rejected` or
        `failed` with its `problems`. The same content again is the same proposal, and nothing
        happens twice. Raises `BadManifest`, `VersionTaken`, `BadSignature` and `TooManyPending`.
        The newest 100 that were refused, rejected or failed are kept.
        """
        proposal = Proposal(found := manifest_of(manifest), found.hash(source))
        async with self._lock(found.name):
            known = self.records.find(found.name, found.version)
            if known is not None and known.hash != proposal.hash:
                raise VersionTaken(
                    f"{found.name} {found.version} is there with other content",
                    name=found.name,
                    version=found.version,
                )
            if known is not None:
                return await self._go_on(known)
            signer = signer_of(self.keys, proposal.hash, signature)
            self._check_room(proposal)
            proposal = _but(proposal, signer=signer, signature=signature or b"")
            self.records.save(proposal, "proposed", signer, source)
            return await self._go_on(proposal)

    async def install(self, package: Package) -> Proposal:
        """Propose what came as a file: nothing of it is believed but its signature."""
        signature = package.signature or None
        return await self.propose(package.manifest, package.source, signature=signature)

    def export(self, name: str, version: str = "") -> Package:
        """A version as a file, with its signature: that which runs, if none is named."""
        found = self._known(name, version) if version else self.ready(name)
        source = self.records.source(found)
        return Package(manifest=found.manifest, source=source, signature=found.signature)

    async def approve(self, name: str, version: str) -> Proposal:
        """Say yes to a pending one: it is rehearsed and activated. Not for a model to call."""
        async with self._lock(name):
            proposal = self._pending(name, version)
            proposal = self._move(proposal, "approved", "approved")
            return await self._go_on(proposal)

    def reject(self, name: str, version: str, reason: str = "") -> Proposal:
        """Say no to a pending one."""
        return self._move(self._pending(name, version), "rejected", "rejected", reason)

    async def resume(self) -> list[Proposal]:
        """Go on with what a crash interrupted. A check begins again; nothing is activated twice."""
        found = []
        for proposal in self.records.proposals():
            if proposal.state in ("checking", "approved", "activating"):
                async with self._lock(proposal.name):
                    found.append(await self._resumed(proposal))
        return found

    async def rollback(self, name: str, *, keep_data: bool = False) -> Proposal:
        """Run the version before again, with the data as it was when the running one took over.

        With `keep_data` it gets the data as it is now. Where the version before may do more than
        the running one, it needs consent again: it is returned `pending` unless the policy
        approves. Raises NoSuchExtension if there is none before, BookmarkGone if that moment is
        older than the history; nothing has changed then. A crash between data and code leaves the
        running version on the data of before: roll back again.
        """
        async with self._lock(name):
            running, before = self.records.active(name), self.records.before(name)
            if running is None or before is None:
                raise NoSuchExtension(f"there is no version of {name} to go back to", name=name)
            changed = changes(running.manifest, before.manifest)
            before = _but(before, running=running.version, changes=changed)
            if before.widens and (answer := await self._asked(before)) != "approve":
                state = "pending" if answer == "ask" else "retired"
                return self._move(before, state, f"rollback: {answer}")
            bookmark = self.records.bookmark(running)
            if not keep_data:
                await self._back(name, bookmark)
            self._move(running, "retired", "rolled back")
            self.records.forget_activation(running)
            return self._run(_but(before, state="active"), "rolled back to")

    def disable(self, name: str, reason: str = "switched off") -> None:
        """Run nothing of it until `enable`, or until an upgrade is activated."""
        self.records.disable(name, reason)
        self.records.happened(name, "", "disabled", reason)
        self.actor.facets.abort(facet_of(name), reason)

    def enable(self, name: str) -> None:
        """Run it again, with no strikes."""
        self.records.disable(name, "")
        self.records.happened(name, "", "enabled")

    async def remove(self, name: str, *, keep_data: bool = False) -> None:
        """End it and delete its data. Its versions and events stay; none can be rolled back to,
        and a new version begins with nothing.

        With `keep_data` its data stays, asleep, for the next version of that name: whoever decides
        about that one is shown that it gets them. `remove` again deletes them.
        """
        async with self._lock(name):
            running = self.records.active(name)
            if running is None and not self._has_facet(name):
                raise NoSuchExtension(f"no extension {name!r} is active", name=name)
            self.records.removed(name)
            if running is not None:
                self._move(running, "retired", "removed")
            self._starts.pop(name, None)
            if keep_data:
                self.actor.facets.abort(facet_of(name), "removed")
            else:
                self.actor.facets.delete(facet_of(name))

    # -- looking ----------------------------------------------------------------------------

    def list(self) -> list[Proposal]:
        """What runs, by name."""
        return sorted(self.records.proposals(state="active"), key=lambda one: one.name)

    def pending(self) -> Sequence[Proposal]:
        """What waits for somebody to decide."""
        return self.records.proposals(state="pending")

    def versions(self, name: str) -> Sequence[Proposal]:
        """All versions of one, in the order in which they were proposed."""
        return self.records.proposals(name)

    def history(self, name: str) -> Sequence[Event]:
        """What happened to it, oldest first."""
        return self.records.events(name)

    def tools(self) -> Sequence[Tool]:
        """The tools of what runs now, to be asked for before each step of a turn; a tool is called
        `extension__tool`."""
        from facets.extensions.tools import tools_of

        return tools_of(self)

    # -- using ------------------------------------------------------------------------------

    async def call(self, name: str, tool: str, /, **arguments: Any) -> Any:
        """Call a tool of what runs. What it raises arrives here; a killed sandbox is a strike.

        `BadToolArguments` for arguments that are not what its schema says: nothing has run then. It
        may take the seconds that its manifest says: `DeadlineExceeded`. With `idempotency_key=`,
        what it stores and what it returns are one, as with any stub, if it may store anything.
        """
        return await calling.call(self, name, tool, arguments)

    async def emit(self, event: str, value: Any) -> Any:
        """The value after all hooks of this event, by priority; see `hooks.emit`."""
        return await hooks.emit(self, event, value)

    def stub(self, proposal: Proposal) -> Any:
        """The facet of what runs; it starts if it does not run."""
        return self.actor.facets.get(facet_of(proposal.name), self._start(proposal))

    def due(self, facet: str) -> None:
        """For the actor's `on_facet_due`: says what runs in a facet whose timer is due, if that is
        an extension's."""
        for proposal in self.list():
            if facet == facet_of(proposal.name) and not self.records.disabled(proposal.name):
                self.stub(proposal)

    async def struck(self, proposal: Proposal, what: str, why: str) -> None:
        """Count a failure in a row, and switch it off at the last. That is kept, whatever the
        caller does next."""
        self.records.happened(proposal.name, proposal.version, f"failed: {what}", why)
        if self.records.strike(proposal.name) >= self.strikes:
            self.disable(proposal.name, f"{self.strikes} failures in a row, the last in {what}")
        await asyncio.sleep(0)  # ends the step: what raises after it does not undo this

    # -- the stages -------------------------------------------------------------------------

    async def _resumed(self, proposal: Proposal) -> Proposal:
        known = self._known(proposal.name, proposal.version)
        try:
            return await self._go_on(known)
        except ExtensionAltered as error:  # nothing of it runs, and the actor starts all the same
            return self._failed(known, (str(error),))

    async def _go_on(self, proposal: Proposal) -> Proposal:
        if proposal.state == "checking":
            proposal = await self._check(proposal)
        if proposal.state == "activating":  # a crash came between
            await self._back(proposal.name, self.records.bookmark(proposal))
            proposal = self._move(proposal, "approved", "interrupted")
        if proposal.state == "approved":
            proposal = await self._activate(proposal)
        return proposal

    async def _check(self, proposal: Proposal) -> Proposal:
        source, running = self.records.source(proposal), self.records.active(proposal.name)
        proposal = await checked(self, proposal, source)
        changed = changes(running.manifest if running else None, proposal.manifest)
        if running is None and self._has_facet(proposal.name):
            changed += (Change("data", "none", "what was kept of it", widens=True),)
        proposal = _but(proposal, changes=changed, running=running.version if running else "")
        if proposal.problems:
            return self._move(proposal, "refused", "refused", "; ".join(proposal.problems))
        answer = await self._asked(proposal)
        states = {"approve": "approved", "reject": "rejected"}
        return self._move(proposal, states.get(answer, "pending"), f"consent: {answer}")

    async def _asked(self, proposal: Proposal) -> Answer:
        answer = self.consent(proposal)
        found = await answer if inspect.isawaitable(answer) else answer
        return found if found in ("approve", "reject") else "ask"

    async def _activate(self, proposal: Proposal) -> Proposal:
        """Rehearse it beside what runs; then let it take over, or leave that as it is."""
        name, running = proposal.name, self.records.active(proposal.name)
        if heard := taken(self, proposal.manifest):  # since its check
            return self._failed(proposal, tuple(heard))
        rehearsal = await self._rehearsed(running, proposal) if running else ()
        proposal = _but(proposal, rehearsal=rehearsal)
        if failed := tuple([f"{one.what}: {one.error}" for one in rehearsal if one.error]):
            return self._failed(proposal, failed)
        bookmark = self.actor.storage.bookmark() if self._has_facet(name) else None
        self.records.activating(proposal, bookmark)
        proposal = self._move(proposal, "activating", "activating")
        self._starts.pop(name, None)
        ran = await started(self.actor.facets.replace(facet_of(name), self._start(proposal)))
        if ran.error:
            await self._back(name, bookmark)
            if running is not None:
                self.actor.facets.replace(facet_of(name), self._start(running))
            return self._failed(proposal, (f"{ran.what}: {ran.error}",))
        if running is not None:
            self._move(running, "retired", "retired")
        self.records.activated(proposal)
        self.records.disable(name, "")
        return self._move(proposal, "active", "activated")

    async def _rehearsed(self, running: Proposal, proposal: Proposal) -> tuple[Ran, ...]:
        known = {one.name for one in proposal.manifest.tools}
        calls = [one for one in self.records.calls(proposal.name) if one[0] in known]
        old, new = self._trial(running), self._trial(proposal)
        return tuple(await rehearse(self.actor, facet_of(proposal.name), old, new, calls))

    def _trial(self, proposal: Proposal) -> Start:
        source, allowed = self.records.source(proposal), proposal.manifest.permissions
        return trial_start(self.actor, self.grants, allowed, source, self.limits)

    async def _back(self, name: str, bookmark: str | None) -> None:
        """The data as it was then; none if there was none."""
        self._starts.pop(name, None)
        try:
            if bookmark is not None:
                await self.actor.facets.restore(facet_of(name), bookmark)
                return
        except NoState:
            pass  # it ran, and had never written
        self.actor.facets.delete(facet_of(name))

    def _has_facet(self, name: str) -> bool:
        return self.actor.facets.exists(facet_of(name))

    def _failed(self, proposal: Proposal, problems: tuple[str, ...]) -> Proposal:
        proposal = _but(proposal, problems=problems)
        return self._move(proposal, "failed", "failed", "; ".join(problems))

    def _run(self, proposal: Proposal, what: str) -> Proposal:
        self._starts.pop(proposal.name, None)
        self.actor.facets.replace(facet_of(proposal.name), self._start(proposal))
        self.records.disable(proposal.name, "")
        return self.records.save(proposal, what)

    def _start(self, proposal: Proposal) -> Start:
        known = self._starts.get(proposal.name)
        if known is not None and known[0] == proposal.hash:
            return known[1]
        allowed, source = proposal.manifest.permissions, self.records.source(proposal)
        isolate = self.actor.isolates.load(
            source,
            env=self.grants.env(self.actor, allowed),
            egress=self.grants.egress(allowed),
            limits=self.limits,
        )
        start = Start(isolate.actor(CLASS), quota=Quota(bytes=allowed.storage))
        self._starts[proposal.name] = (proposal.hash, start)
        return start

    # -- rows -------------------------------------------------------------------------------

    def _move(self, proposal: Proposal, state: str, what: str, detail: str = "") -> Proposal:
        return self.records.save(_but(proposal, state=state), what, detail)

    def ready(self, name: str) -> Proposal:
        """What runs; NoSuchExtension or ExtensionDisabled if it is not to be called."""
        proposal = self.records.active(name)
        if proposal is None:
            raise NoSuchExtension(f"no extension {name!r} is active", name=name)
        if reason := self.records.disabled(name):
            raise ExtensionDisabled(f"{name} is disabled: {reason}", name=name, reason=reason)
        return proposal

    def _check_room(self, proposal: Proposal) -> None:
        """Of what is not used only the newest are kept: whoever proposes may do so without end."""
        if len(self.pending()) >= PENDING:
            raise TooManyPending(
                f"{PENDING} proposals wait for a decision",
                name=proposal.name,
                version=proposal.version,
            )
        self.records.forget_unused()

    def _known(self, name: str, version: str) -> Proposal:
        found = self.records.find(name, version)
        if found is None:
            raise NoSuchExtension(f"there is no {name} {version}", name=name, version=version)
        return found

    def _pending(self, name: str, version: str) -> Proposal:
        found = self._known(name, version)
        if found.state != "pending":
            raise NotPending(
                f"{name} {version} is {found.state}", name=name, version=version, state=found.state
            )
        return found

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def facet_of(name: str) -> str:
    """The facet that an extension is."""
    return f"extension {name}"


def _but(proposal: Proposal, **fields: Any) -> Proposal:
    return msgspec.structs.replace(proposal, **fields)
