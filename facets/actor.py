"""The Actor that users subclass: an actor that can have facets and isolates."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import actors.actor
from facets.children import Facets

if TYPE_CHECKING:
    from facets.isolates.loader import Isolates


class Actor(actors.actor.Actor, _provides=frozenset({"facets", "isolates"})):
    """A durable object: a name, a private database, methods, facets and isolates.

    See `actors.actor.Actor` for steps, attributes and hooks; this class adds `facets`, the
    child actors, and `isolates`, sandboxes for code that is not trusted.
    """

    kind: ClassVar[str] = "Actor"
    _runtime_class = True
    _facets: Facets | None = None
    _isolates: Isolates | None = None

    @property
    def facets(self) -> Facets:
        """The child actors of this one: to get, end, copy, move, compare and look at them."""
        if self._facets is None:
            self._facets = Facets(self._active())
        return self._facets

    @property
    def isolates(self) -> Isolates:
        """Sandboxes for code that is not trusted: load, get, run."""
        if self._isolates is None:
            from facets.isolates.loader import Isolates

            self._isolates = Isolates(self._active())
        return self._isolates
