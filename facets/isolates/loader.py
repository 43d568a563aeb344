"""`self.isolates`: sandboxes for code that is not trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from actors.values import copy
from facets.isolates import sources
from facets.isolates.code import Code
from facets.isolates.content import content
from facets.isolates.entrypoint import Entrypoint
from facets.isolates.interface import Interface
from facets.isolates.limits import Limits
from facets.isolates.target import IsolateActor
from facets.packages.pins import Lock
from facets.packages.wanted import Wanted

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.packages.bundle import Bundle

Source = sources.Source
Packages = Sequence[str] | Lock
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
        limits: Limits,
        packages: Packages = (),
    ) -> None:
        self.env = env
        self.limits = limits
        self.owner = owner
        self._identity = identity
        self._given = packages
        self._wanted = Wanted(packages, code) if isinstance(code, Code) else None
        self._main = main
        self._language = language
        self._code = code
        self._loading: asyncio.Future[Code] | None = None
        self._entrypoints: dict[object, Entrypoint] = {}

    @property
    def identity(self) -> tuple[object, object]:
        """What is the same for isolates that run the same: content or key, and packages."""
        return self._identity, self._wanted.identity if self._wanted else self._given

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
        code = Code.of(await made if isawaitable(made) else made, self._main, self._language)
        self._wanted = Wanted(self._given, code)
        self._code = code
        return code

    async def packages(self) -> Bundle | None:
        """The files of its packages, resolved and fetched if they are not on this machine yet."""
        await self.code()
        return await self._wanted.bundle() if self._wanted else None


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
        limits: Limits | None = None,
        packages: Packages = (),
    ) -> Isolate:
        """A new isolate of this source: one text, or modules by name of which `main` is loaded.

        `language` is "python", "javascript" or "typescript"; left out, the endings of module
        names say it, and otherwise it is Python. Bytes are raw WebAssembly, a core module or a
        component that imports nothing (see `facets.isolates.wasm`); so is one module whose name
        ends in .wasm. Modules of Python are text by dotted name or path, and other files, text or
        bytes, by path; `isolates.modules` says how they are told apart and read inside.

        `env` is plain data and capabilities, which the code sees as `self.env`. `packages` are
        requirements, or a `packages.Lock`, of pure Python packages; those that a `# /// script`
        block of the main module names are added, and a lock must have them. Nothing runs and
        nothing is fetched yet: source that does not parse fails at its first use, with
        `LoadError`, and packages that cannot be had with a `PackageError`.
        """
        code = Code.of(source, main, language)
        env = _private(env)
        identity = _identity(code, env)
        return Isolate(
            self._activation, identity, code, main, language, env, limits or Limits(), packages
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
        packages: Packages = (),
    ) -> Isolate:
        """The isolate of this content: the same arguments give the same one.

        With `factory`, a sync or async callable that returns source or modules, `source` is a
        key instead, and the factory is called at the first use of that key. A load that fails
        does not poison its key: the next use tries again. An isolate keeps the versions of its
        packages that its first use found; pass a `packages.Lock` to decide which they are.
        """
        env = _private(env)
        limits = limits or Limits()
        given = packages if isinstance(packages, Lock) else tuple(packages)
        if factory is None:
            made = Code.of(source, main, language)
            key: object = (_identity(made, env), limits, given)
        else:
            made, key = factory, ("key", source)  # type: ignore[assignment]
        found = self._cached.get(key)
        if found is None:
            identity = key if factory is not None else _identity(made, env)
            found = self._cached[key] = Isolate(
                self._activation, identity, made, main, language, env, limits, packages
            )
        return found

    async def run(
        self,
        source: Source,
        *args: Any,
        entry: str = "main",
        language: str | None = None,
        env: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        packages: Packages = (),
        **kwargs: Any,
    ) -> Any:
        """Call one function of the source in a sandbox made for this call; its result."""
        isolate = self.load(source, language=language, env=env, limits=limits, packages=packages)
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
