"""How a checked request gets its answer: over the network, or from a handler."""

from __future__ import annotations

from typing import Protocol

from facets.egress.answer import Raw
from facets.egress.hop import Hop
from facets.egress.outgoing import Outgoing
from facets.egress.rules import Rule


class Route(Protocol):
    """How a checked request gets its answer."""

    def permit(self, order: Outgoing) -> tuple[Rule, str]:
        """The rule it goes under, and its label; `EgressDenied` if there is none."""

    async def send(self, hop: Hop) -> Raw:
        """Call `hop.start` with what leaves, then let it leave."""

    async def close(self) -> None:
        """Give back what it holds on the running loop."""
