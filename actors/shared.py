"""Methods that read one moment of their actor, while others go on writing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import isasyncgenfunction
from typing import TYPE_CHECKING, Any, TypeVar

from actors.call import CURRENT, Call, Part, Terms
from actors.errors import EffectInTransaction
from storage.errors import ReadOnly

if TYPE_CHECKING:
    from actors.activation import Activation
    from storage.database import Database
    from storage.still import Still

F = TypeVar("F", bound=Callable[..., Any])


class Reading(Part):
    """The code of a shared method: what it sees is a still of its actor's database."""

    __slots__ = ("_of", "still")

    def __init__(self, call: Call) -> None:
        super().__init__(call, call.terms or Terms())
        if call.transaction is not None:
            raise EffectInTransaction(
                f"{call} reads what was before the transaction, which is not what its caller sees",
                hint="call it before the block, or a method that is not shared",
            )
        self._of = call.activation
        self.still: Still = _still(self._of)
        self._of.reading += 1
        CURRENT.set(self)

    def close(self) -> None:
        """It is over."""
        if CURRENT.get() is self:
            CURRENT.set(self.parent)
        self._of.reading -= 1
        self.still.close()


def _still(activation: Activation) -> Still:
    # Here: most programs have no use for it.
    from storage.still import is_ready, let_go, still

    database = activation.database
    if not activation.looked:
        activation.looked = True
        activation.on_end.append(lambda _: let_go(database))
    if not is_ready(database):
        database.begin()
        activation.commit()
    return still(database)


def state_of(activation: Activation) -> Database:
    """The database that the code which runs now sees as its actor's."""
    if activation.reading:
        call = CURRENT.get()
        while isinstance(call, Part):
            if isinstance(call, Reading) and call.activation is activation:
                return call.still
            call = call.parent
    return activation.database


def check_writing(call: Call | None) -> None:
    """Raise `ReadOnly` if the code that runs is a shared method's."""
    while isinstance(call, Part):
        if isinstance(call, Reading):
            raise ReadOnly("a shared method sees sql, kv and fs, and writes nothing", statement="")
        call = call.parent


def shared(method: F) -> F:
    """`@facets.shared` on a method that only reads: it sees its actor as it was when it began.

    `self.sql`, `self.kv` and `self.fs` show the newest commit of that moment until the method is
    over, also across awaits, while other calls write; writing raises `ReadOnly`, and so do
    timers and everything else that would change the actor. Attributes of the object are not
    part of it: they are as they are now. Nothing is copied: the pages of that moment are held,
    so no checkpoint moves them, and the journal keeps what is newer until the last one is over.

    It reads so when it is called through a stub, or by a timer; called as `self.method()` it is
    part of the method that calls it. In a transaction it has no place: `EffectInTransaction`.
    """
    if isasyncgenfunction(method):

        @wraps(method)
        async def stream(self: Any, *args: Any, **kwargs: Any) -> Any:
            reading = _begin(self, method.__name__)
            try:
                async for item in method(self, *args, **kwargs):
                    yield item
            finally:
                if reading is not None:
                    reading.close()

        return stream  # type: ignore[return-value]

    @wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        reading = _begin(self, method.__name__)
        if reading is None:
            return await method(self, *args, **kwargs)
        try:
            return await method(self, *args, **kwargs)
        finally:
            reading.close()

    return call  # type: ignore[return-value]


def _begin(actor: Any, name: str) -> Reading | None:
    """None if the method is not a call's own, but part of another's code."""
    call = CURRENT.get()
    if call is None or isinstance(call, Part):
        return None
    own = call.activation is actor._activation and call.method == name
    return Reading(call) if own else None
