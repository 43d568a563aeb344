"""Stubs of a host that other processes hold."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from actors.errors import ActorBroken
from actors.ray.stub import ActorRef, RemoteMethod, RemoteStub
from actors.stub import Method, Stub

if TYPE_CHECKING:
    from actors.node import Node


ENDED = 1_000
"""Facets that have ended and may still be remembered."""


class Lending:
    """References to the actors of one host, while it lives.

    A root is found again by its name, also after a restart. A facet is not: what code it runs is
    for its parent to say. So the host remembers each facet that it lent, as little as a stub is,
    until the facet ends; of those that did it remembers the reason of the last thousand or so.
    """

    def __init__(self, runtime: str, token: str, host: Any) -> None:
        self._runtime = runtime
        self._token = token
        self._host = host
        self._lent: dict[int, Stub] = {}
        self._numbers: dict[Stub, int] = {}
        self._next = itertools.count(1)
        self._room = ENDED
        """How many are remembered before those that have ended are looked for."""

    def export(self, one: Stub | Method) -> RemoteStub | RemoteMethod | None:
        """What a stub, or a method of one, is in any other process; None if it is not ours."""
        if one._node.host is not self._host:
            return None
        if isinstance(one, Method):
            stub = Stub(one._node)
            stub._incarnation = one._incarnation
            return RemoteMethod(self._reference(stub), one._name)
        return RemoteStub(self._reference(one))

    def _reference(self, stub: Stub) -> ActorRef:
        path = _path(stub._node)
        root = path[0]
        if len(path) == 1:
            return ActorRef(self._runtime, root.kind, root.name)
        number = self._numbers.get(stub)
        if number is None:
            if len(self._lent) >= self._room:
                self._forget()
            number = self._numbers[stub] = next(self._next)
            self._lent[number] = stub
        names = tuple(node.name for node in path[1:])
        return ActorRef(self._runtime, root.kind, root.name, names, number, self._token)

    def _forget(self) -> None:
        for number, stub in list(self._lent.items()):
            if stub._incarnation != stub._node.incarnation:
                del self._lent[number], self._numbers[stub]
        self._room = len(self._lent) * 2 + ENDED

    def find(self, number: int, token: str) -> Stub:
        """The facet that was lent; `ActorBroken` if that was an earlier incarnation of the host."""
        found = self._lent.get(number) if token == self._token else None
        if found is None:
            raise ActorBroken(
                "the host that lent this facet was started again, or has it no more",
                hint="ask the actor above for it again",
            )
        return found


def _path(node: Node) -> list[Node]:
    """From the root down to the node."""
    path = [node]
    while path[0].parent is not None:
        path.insert(0, path[0].parent)
    return path
