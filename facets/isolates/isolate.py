"""One isolate: code, and the sandboxes that run it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from facets.isolates.ambient import seed_of
from facets.isolates.code import Code
from facets.isolates.content import content
from facets.isolates.entrypoint import Entrypoint
from facets.isolates.errors import LoadError, RecordingError
from facets.isolates.image import WASM
from facets.isolates.interface import Interface
from facets.isolates.limits import Limits
from facets.isolates.meter import Meter, Subject
from facets.isolates.minting import Oversight
from facets.isolates.opening import open_session
from facets.isolates.recipe import Recipe
from facets.isolates.recording import Recorder, Recording
from facets.isolates.sources import Source
from facets.isolates.tails import Delivery
from facets.isolates.target import IsolateActor
from facets.packages.wanted import Wanted

if TYPE_CHECKING:
    from facets.isolates.loader import Isolates
    from facets.isolates.opening import AnySession
    from facets.packages.wanted import AnyBundle

RECORDINGS = 16
"""Sandboxes of one isolate whose recordings are kept."""
Factory = Callable[[], Source | Awaitable[Source]]


class Isolate:
    """Code to be run in sandboxes, with the data and the limits each of them gets.

    Nothing is minted until something is used. Every facet started from it has a sandbox of its
    own, so facets share nothing; the entrypoints of one isolate that have the same name share one.
    """

    def __init__(
        self,
        owner: Isolates,
        identity: object,
        code: Code | Factory,
        recipe: Recipe,
    ) -> None:
        """Use `Isolates`."""
        self.limits = recipe.most
        self.egress = recipe.egress
        self.owner = owner.activation
        self._recipe = recipe
        self._identity = identity
        self._built = recipe.built
        self._wanted = self._want(code) if isinstance(code, Code) else None
        self._sinks = tuple([Delivery(self.owner, tail).add for tail in recipe.tails])
        if owner.log.on:
            self._sinks += (owner.log.add,)
        self._room = owner.room
        seed = recipe.deterministic
        self._seed = None if seed is None else seed_of(seed)
        self._recorded = recipe.recorded
        self._recorders: dict[str, Recorder] = {}
        self._code = code
        self._factory = None if isinstance(code, Code) else code
        """What to ask again if the code it gave does not load; None once some did."""
        self._loading: asyncio.Future[Code] | None = None
        self._entrypoints: dict[object, Entrypoint] = {}

    @property
    def identity(self) -> tuple[object, ...]:
        """What is the same for isolates that run the same: content or key, packages, image."""
        packages = self._wanted.identity if self._wanted else self._recipe.packages
        return self._identity, packages, self._built.key if self._built else None

    @property
    def label(self) -> str:
        """What to call it in errors and statistics."""
        return f"isolate {self._code.hash[:8]}" if isinstance(self._code, Code) else "isolate"

    def actor(
        self,
        name: str,
        interface: type | None = None,
        props: Any = None,
        limits: Limits | None = None,
    ) -> Any:
        """An Actor class of this code, to be started as a facet.

        `interface` is a class whose async methods it must have, and whose return annotations
        results are converted to; `props` is what the facet sees as `self.props`; `limits` lower
        the isolate's own, where they are set and less.
        """
        return IsolateActor(self, name, Interface(interface), props, self.limits.lowered(limits))

    def entrypoint(
        self, name: str | None = None, props: Any = None, limits: Limits | None = None
    ) -> Entrypoint:
        """A function or a class of this code without storage, called in a shared sandbox.

        A function is awaited directly, `await isolate.entrypoint("main")(3)`; of a class its
        methods are. `name` defaults to "main", and `limits` lower the isolate's own. Of raw
        WebAssembly it names an exported function, or an interface of a component; without one,
        all exported functions are methods.
        """
        limits = self.limits.lowered(limits)
        key = (name, content(props, "props"), limits)
        found = self._entrypoints.get(key)
        if found is None or found.ended:
            found = Entrypoint(self, name or "", props, limits)
            self.owner.on_end.append(found.kill)
            self._entrypoints[key] = found
        return found

    async def code(self) -> Code:
        """The code; a factory is asked once, and again after it failed."""
        if isinstance(self._code, Code):
            return self._code
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._load(self._code))
        try:
            return await asyncio.shield(self._loading)
        finally:
            if self._loading is not None and self._loading.done():
                self._loading = None

    async def open(self, target: str, facet: str | None = None, **options: Any) -> AnySession:
        """A new sandbox with the code in it; the options are those of `Session.open`.

        Code that a factory gave and that does not load is forgotten: it is asked again.
        """
        code = await self.code()
        target = target or code.entry
        recorder = self._recorder(code, facet or target)
        try:
            session = await open_session(
                code,
                await self.packages(),
                self._built.path if self._built else WASM,
                target=target,
                env=self._recipe.env,
                oversight=Oversight(
                    self._meter(code, target, facet), self._room, recorder, self._seed
                ),
                **options,
            )
        except LoadError:
            if self._factory is not None and self._code is code:
                self._code = self._factory
            raise
        self._factory = None
        return session

    def recording(self, name: str | None = None) -> Recording:
        """What went in and came out of a sandbox of this isolate, to be given to `replay`.

        `name` is that of a facet, or of an entrypoint's class or function; without one, it is of
        the sandbox that was minted last. It is as of now, and is there still when the sandbox
        has ended, until another of that name is minted; those of the last 16 names are kept.
        RecordingError if there is none: only isolates made with `deterministic=` are recorded.
        """
        found = self._recorders.get(name or next(reversed(self._recorders), ""))
        if found is None:
            raise RecordingError(
                f"{self.label} has no recording{f' of {name!r}' if name else ''}",
                hint="make it with deterministic=SEED, and call something of it first",
            )
        return found.recording()

    def _recorder(self, code: Code, name: str) -> Recorder | None:
        if self._seed is None or not self._recorded:
            return None
        self._recorders.pop(name, None)
        made = self._recorders[name] = Recorder(self._seed, code.language)
        if len(self._recorders) > RECORDINGS:
            del self._recorders[next(iter(self._recorders))]
        return made

    def _meter(self, code: Code, target: str, facet: str | None = None) -> Meter | None:
        """What counts a new sandbox of this code; None if nobody wants to know."""
        if not self._sinks:
            return None
        return Meter(Subject(self.label, code.hash, facet, target), self._sinks)

    async def _load(self, factory: Factory) -> Code:
        made = factory()
        source = await made if isawaitable(made) else made
        code = self._recipe.code(source)
        self._wanted = self._want(code)
        self._code = code
        return code

    def _want(self, code: Code) -> Wanted:
        if self._built is not None and code.language != "python":
            raise ValueError(f"image={self._built.name!r} runs Python, not {code.language}")
        return Wanted(self._recipe.packages, code, self._built.lock if self._built else None)

    async def packages(self) -> AnyBundle | None:
        """The files of its packages, resolved and fetched if they are not on this machine yet."""
        await self.code()
        return await self._wanted.bundle() if self._wanted else None
