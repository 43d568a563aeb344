"""`self.isolates`: sandboxes for code that is not trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from facets.capabilities.audit import Used, audit_of
from facets.isolates.caps import Room
from facets.isolates.code import Code
from facets.isolates.entrypoint import Entrypoint
from facets.isolates.isolate import Factory, Isolate
from facets.isolates.log import InvocationLog
from facets.isolates.recipe import Options, Recipe
from facets.isolates.sources import Source

if TYPE_CHECKING:
    from actors.activation import Activation


class Isolates:
    """Makes isolates for one actor; what it made ends with the actor's incarnation."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self._cached: dict[object, Isolate] = {}
        self.log = InvocationLog(activation, activation.node.host.options.isolates)
        """What they did lately."""
        self.room = Room(activation.node.host.options.isolates)

    def load(self, source: Source, **options: Unpack[Options]) -> Isolate:
        """A new isolate of this source: one text, or modules by name of which one is loaded.

        Modules of Python are text by dotted name or path, and other files, text or bytes, by path;
        `isolates.modules` says how they are told apart and read inside. JavaScript and TypeScript
        have their own names. Bytes are raw WebAssembly, a core module or a component that imports
        nothing (see `facets.isolates.wasm`); so is one module whose name ends in .wasm. `Options`
        says what else may be given.

        Nothing runs and nothing is fetched yet: source that does not parse fails at its first
        use, with `LoadError`, and packages that cannot be had with a `PackageError`.
        """
        recipe = Recipe.of(options)
        code = recipe.code(source)
        return Isolate(self, (code.hash, recipe.data), code, recipe)

    def get(
        self, source: Source, factory: Factory | None = None, **options: Unpack[Options]
    ) -> Isolate:
        """The isolate of this content: the same arguments give the same one.

        With `factory`, a sync or async callable that returns source or modules, `source` is a
        key instead, and the factory is called at the first use of that key. A load that fails
        does not poison its key: the next use tries again. An isolate keeps the versions of its
        packages that its first use found; pass a `packages.Lock` to decide which they are.
        """
        recipe = Recipe.of(options)
        if factory is not None:
            key: object = ("key", source)
            return self._kept(key, key, factory, recipe)
        code = recipe.code(source)
        return self._kept((code.hash, recipe.key), (code.hash, recipe.data), code, recipe)

    def _kept(self, key: object, identity: object, code: Code | Factory, recipe: Recipe) -> Isolate:
        found = self._cached.get(key)
        if found is None:
            found = self._cached[key] = Isolate(self, identity, code, recipe)
        return found

    def audit(self, limit: int = 100, *, before: int | None = None) -> list[Used]:
        """What code in this actor's isolates did with capabilities: the newest `limit` uses,
        newest first; with `before`, those with a smaller `id`. The last 10,000 are kept."""
        return audit_of(self.activation).read(limit, before)

    async def run(self, source: Source, *args: Any, entry: str = "main", **kwargs: Any) -> Any:
        """Call one function of the source in a sandbox made for this call; its result.

        Keyword arguments that `Options` names are about the isolate, and the others go to the
        function.
        """
        options: Any = {k: kwargs.pop(k) for k in Options.__annotations__ if k in kwargs}
        isolate = self.load(source, **options)
        entrypoint = Entrypoint(isolate, entry, None, isolate.limits)
        try:
            return await entrypoint(*args, **kwargs)
        finally:
            entrypoint.close()
