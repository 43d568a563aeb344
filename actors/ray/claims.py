"""The classes that a program calls with, and whether they are the deployed ones."""

from __future__ import annotations

import asyncio
from functools import partial

from actors.errors import KindConflict
from actors.ray.errors import ClassDiffers
from actors.ray.shipping import ClassStore, Shipment
from actors.ray.turnstile import Turnstile


class Claims:
    """Of one runtime, in one process.

    A class is compared with the deployed one before the first call of its kind; where there is
    none, it is deployed by that. So nothing runs for who believes in another class than the
    actors have, and it costs a request to the store once.
    """

    def __init__(self, store: ClassStore) -> None:
        self._store = store
        self._claimed: dict[str, Shipment] = {}
        self.open: dict[str, Turnstile] = {}
        """Kinds that have not been compared, and who waits for that."""

    def claim(self, shipment: Shipment) -> None:
        """Calls of this kind are meant for this class; `KindConflict` if they are meant for
        another one already. A later definition of the same class takes its place."""
        kind = shipment.kind
        known = self._claimed.get(kind)
        if known is not None and known.label != shipment.label:
            raise KindConflict(
                f"{shipment.label} and {known.label} both claim the kind {kind!r}",
                hint='name one of them: class ...(Actor, kind="...")',
                kind=kind,
                first=known.label,
                second=shipment.label,
            )
        if known is None or known.digest != shipment.digest:
            self._claimed[kind] = shipment
            self.open[kind] = Turnstile(partial(self._compare, shipment))

    async def settle(self, kind: str) -> None:
        """Compare the class that was claimed for a kind; `ClassDiffers` if it is not deployed."""
        turnstile = self.open[kind]
        await turnstile.passed()
        if turnstile.clear and self.open.get(kind) is turnstile:
            del self.open[kind]

    async def _compare(self, mine: Shipment) -> None:
        kind = mine.kind
        found = await asyncio.to_thread(self._store.settle, mine)
        if found.digest != mine.digest:
            raise ClassDiffers(
                f"{mine.label} is {mine.digest[:12]} here, and {found.digest[:12]} is deployed "
                f"for the kind {kind!r}",
                hint=f"await runtime.deploy({mine.label.rpartition('.')[2]}) makes this one the "
                "class that actors start with; or use the one that is deployed",
                kind=kind,
                deployed=found.digest,
                here=mine.digest,
            )

    async def deploy(self, shipment: Shipment) -> None:
        """Make this class the deployed one, and claim it."""
        await asyncio.to_thread(self._store.deploy, shipment)
        self._claimed[shipment.kind] = shipment
        self.open.pop(shipment.kind, None)
