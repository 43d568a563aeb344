"""`self.isolates`: sandboxes for code that is not trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from actors.values import copy
from facets.isolates.code import Code
from facets.isolates.content import content
from facets.isolates.entrypoint import Entrypoint
from facets.isolates.interface import Interface
from facets.isolates.limits import Limits
from facets.isolates.target import IsolateActor

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.egress.egress import Egress

Source = str | bytes | Mapping[str, str] | Mapping[str, bytes]
Factory = Callable[[], Source | Awaitable[Source]]


class Isolate:
    """Code to be run in sandboxes, with the data and the limits each of them gets.

    Nothing is minted until something is used. Every facet started from it has a sandbox of its
    own, so facets share nothing; the entrypoints of one isolate that have the same name share one.
    """

    def __init__(
        self,
        owner: Activation,
        identity: object,
        code: Code | Factory,
        main: str | None,
        language: str | None,
        env: Mapping[str, Any],
        egress: Egress | None,
        limits: Limits,
    ) -> None:
        self.identity = identity
        self.env = env
        self.egress = egress
        self.limits = limits
        self.owner = owner
        self._main = main
        self._language = language
        self._code = code
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
        results are converted to; `props` is what the facet sees as `self.props`; `limits`
        replace the isolate's own.
        """
        return IsolateActor(self, name, Interface(interface), props, limits or self.limits)

    def entrypoint(
        self, name: str | None = None, props: Any = None, limits: Limits | None = None
    ) -> Entrypoint:
        """A function or a class of this code without storage, called in a shared sandbox.

        A function is awaited directly, `await isolate.entrypoint("main")(3)`; of a class its
        methods are. `name` defaults to "main". Of raw WebAssembly it names an exported function,
        or an interface of a component; without one, all exported functions are methods.
        """
        limits = limits or self.limits
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

    async def _load(self, factory: Factory) -> Code:
        made = factory()
        self._code = Code.of(await made if isawaitable(made) else made, self._main, self._language)
        return self._code


class Isolates:
    """Makes isolates for one actor; what it made ends with the actor's incarnation."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._cached: dict[object, Isolate] = {}

    def load(
        self,
        source: Source,
        *,
        main: str | None = None,
        language: str | None = None,
        env: Mapping[str, Any] | None = None,
        egress: Egress | None = None,
        limits: Limits | None = None,
    ) -> Isolate:
        """A new isolate of this source: one text, or modules by name of which `main` is loaded.

        `language` is "python", "javascript" or "typescript"; left out, the endings of module
        names say it, and otherwise it is Python. Bytes are raw WebAssembly, a core module or a
        component that imports nothing (see `facets.isolates.wasm`); so is one module whose name
        ends in .wasm.

        `env` is plain data and capabilities, which the code sees as `self.env`. Nothing runs
        yet: source that does not parse fails at its first use, with `LoadError`.

        `egress` is the only way out, None means that there is none. Each sandbox gets an exit
        of its own, whose budget ends with it and whose name in the audit is the actor and the
        code. What is asked for leaves once everything that the actor may depend on is durable,
        and never inside `facets.transaction()` (`EffectInTransaction`). An egress belongs to
        who made it; when the runtime closes, only its idle connections are.
        """
        code = Code.of(source, main, language)
        env = _private(env)
        identity = _identity(code, env, egress)
        return Isolate(
            self._activation, identity, code, main, language, env, egress, limits or Limits()
        )

    def get(
        self,
        source: Source,
        factory: Factory | None = None,
        *,
        main: str | None = None,
        language: str | None = None,
        env: Mapping[str, Any] | None = None,
        egress: Egress | None = None,
        limits: Limits | None = None,
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
            key: object = (_identity(made, env, egress), limits)
        else:
            made, key = factory, ("key", source)  # type: ignore[assignment]
        found = self._cached.get(key)
        if found is None:
            identity = key if factory is not None else _identity(made, env, egress)
            found = self._cached[key] = Isolate(
                self._activation, identity, made, main, language, env, egress, limits
            )
        return found

    async def run(
        self,
        source: Source,
        *args: Any,
        entry: str = "main",
        language: str | None = None,
        env: Mapping[str, Any] | None = None,
        egress: Egress | None = None,
        limits: Limits | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call one function of the source in a sandbox made for this call; its result."""
        isolate = self.load(source, language=language, env=env, egress=egress, limits=limits)
        entrypoint = Entrypoint(isolate, entry, None, isolate.limits)
        try:
            return await entrypoint(*args, **kwargs)
        finally:
            entrypoint.close()


def _identity(
    code: Code, env: Mapping[str, Any], egress: Egress | None
) -> tuple[str, object, Egress | None]:
    return code.hash, content(env, "env"), egress


def _private(env: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A copy that its giver cannot change; `content` says what may be in it."""
    content(dict(env or {}), "env")
    return copy(dict(env or {}), "env")  # type: ignore[no-any-return]
