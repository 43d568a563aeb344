"""An Actor class inside an isolate, as code that a facet can run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facets.isolates.body import IsolateBody
from facets.isolates.interface import Interface
from facets.isolates.limits import Limits

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.code import Code
    from facets.isolates.isolate import Isolate


@dataclass(frozen=True, eq=False)
class IsolateActor:
    """What `isolate.actor(name)` returns; pass it to `facets.get` or `facets.replace`."""

    isolate: Isolate
    name: str
    interface: Interface
    props: Any
    limits: Limits

    @property
    def label(self) -> str:
        """The isolate and the class."""
        return f"{self.isolate.label}.{self.name}"

    def same(self, other: Code) -> bool:
        """The same content (or key) and the same class."""
        return (
            isinstance(other, IsolateActor)
            and self.isolate.identity == other.isolate.identity
            and self.name == other.name
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IsolateActor) and self.same(other) and self.limits == other.limits

    def __hash__(self) -> int:
        return hash(self.name)  # the identity says more once packages are resolved

    async def open(self, activation: Activation) -> IsolateBody:
        """Mint a sandbox and load the code into it."""
        body = IsolateBody(activation, self)
        node = activation.node
        session = await self.isolate.open(
            self.name,
            node.name,
            actor=True,
            identity={"id": activation.id, "name": node.name, "kind": node.kind},
            props=activation.start.props,
            limits=self.limits,
            services=body,
        )
        try:
            body.attach(session, self.name)
        except BaseException:
            session.close()
            raise
        return body
