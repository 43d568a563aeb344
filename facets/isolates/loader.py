"""`self.isolates`: sandboxes for code that is not trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from actors.values import copy
from facets.isolates.ambient import seed_of
from facets.isolates.caps import Room
from facets.isolates.code import Code
from facets.isolates.content import content
from facets.isolates.entrypoint import Entrypoint
from facets.isolates.errors import LoadError, RecordingError
from facets.isolates.interface import Interface
from facets.isolates.limits import Limits
from facets.isolates.log import InvocationLog
from facets.isolates.meter import Meter, Subject
from facets.isolates.minting import Oversight
from facets.isolates.opening import open_session
from facets.isolates.recording import Recorder, Recording
from facets.isolates.tails import Delivery, Tail
from facets.isolates.target import IsolateActor

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.isolates.opening import AnySession

Source = str | bytes | Mapping[str, str] | Mapping[str, bytes]
Seed = int | str | bytes
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
        main: str | None,
        language: str | None,
        env: Mapping[str, Any],
        limits: Limits,
        tails: Iterable[Tail] = (),
        deterministic: Seed | None = None,
    ) -> None:
        self.identity = identity
        self.env = env
        self.limits = limits
        self.owner = owner._activation
        self._sinks = tuple([Delivery(self.owner, tail).add for tail in tails])
        if owner.log.on:
            self._sinks += (owner.log.add,)
        self._room = owner.room
        self._seed = None if deterministic is None else seed_of(deterministic)
        self._recorders: dict[str, Recorder] = {}
        self._main = main
        self._language = language
        self._code = code
        self._factory = None if isinstance(code, Code) else code
        """What to ask again if the code it gave does not load; None once some did."""
        self._loading: asyncio.Future[Code] | None = None
        self._entrypoints: dict[object, Entrypoint] = {}

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
                target=target,
                env=self.env,
                oversight=Oversight(self._meter(code, target, facet), self._room, recorder),
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
        if self._seed is None:
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
        self._code = Code.of(await made if isawaitable(made) else made, self._main, self._language)
        return self._code


class Isolates:
    """Makes isolates for one actor; what it made ends with the actor's incarnation."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._cached: dict[object, Isolate] = {}
        self.log = InvocationLog(activation, activation.node.host.options.isolates)
        """What they did lately."""
        self.room = Room(activation.node.host.options.isolates)

    def load(
        self,
        source: Source,
        *,
        main: str | None = None,
        language: str | None = None,
        env: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        tails: Sequence[Tail] = (),
        deterministic: Seed | None = None,
    ) -> Isolate:
        """A new isolate of this source: one text, or modules by name of which `main` is loaded.

        `language` is "python", "javascript" or "typescript"; left out, the endings of module
        names say it, and otherwise it is Python. Bytes are raw WebAssembly, a core module or a
        component that imports nothing (see `facets.isolates.wasm`); so is one module whose name
        ends in .wasm.

        `env` is plain data and capabilities, which the code sees as `self.env`. Each of `tails`
        is given the `Invocation` of every load, call and stream after it is over (see
        `tails.Delivery`); `self.isolates.log` has them too. Nothing runs yet: source that does
        not parse fails at its first use, with `LoadError`.

        With `deterministic`, a seed, each sandbox has a clock that stands still but for the waits
        of its code, and random bytes that follow from the seed; the same inputs give the same
        outputs. It is recorded, see `Isolate.recording` and `facets.replay`. It is minted when
        it is needed, and its `cpu` counts fuel: two billion units a second, for each message
        that goes in.
        """
        code = Code.of(source, main, language)
        env = _private(env)
        identity = _identity(code, env)
        return Isolate(
            self, identity, code, main, language, env, limits or Limits(), tails, deterministic
        )

    def get(
        self,
        source: Source,
        factory: Factory | None = None,
        *,
        main: str | None = None,
        language: str | None = None,
        env: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        tails: Sequence[Tail] = (),
        deterministic: Seed | None = None,
    ) -> Isolate:
        """The isolate of this content: the same arguments give the same one.

        With `factory`, a sync or async callable that returns source or modules, `source` is a
        key instead, and the factory is called at the first use of that key. A load that fails
        does not poison its key: the next use tries again.
        """
        env = _private(env)
        limits = limits or Limits()
        if factory is None:
            made = Code.of(source, main, language)
            key: object = (_identity(made, env), limits, tuple(tails), repr(deterministic))
        else:
            made, key = factory, ("key", source)  # type: ignore[assignment]
        found = self._cached.get(key)
        if found is None:
            identity = key if factory is not None else _identity(made, env)
            found = Isolate(self, identity, made, main, language, env, limits, tails, deterministic)
            self._cached[key] = found
        return found

    async def run(
        self,
        source: Source,
        *args: Any,
        entry: str = "main",
        language: str | None = None,
        env: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        tails: Sequence[Tail] = (),
        deterministic: Seed | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call one function of the source in a sandbox made for this call; its result."""
        isolate = self.load(
            source,
            language=language,
            env=env,
            limits=limits,
            tails=tails,
            deterministic=deterministic,
        )
        entrypoint = Entrypoint(isolate, entry, None, isolate.limits)
        try:
            return await entrypoint(*args, **kwargs)
        finally:
            entrypoint.close()


def _identity(code: Code, env: Mapping[str, Any]) -> tuple[str, object]:
    return code.hash, content(env, "env")


def _private(env: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A copy that its giver cannot change; `content` says what may be in it."""
    content(dict(env or {}), "env")
    return copy(dict(env or {}), "env")  # type: ignore[no-any-return]
