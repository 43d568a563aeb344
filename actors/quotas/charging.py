"""What a commit uses: bytes, databases, and what was spent on meters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.quotas.errors import QuotaExceeded

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.quotas.allowance import Allowance


def commit(activation: Activation) -> int:
    """End the step of an activation for which allowances hold; see `Database.commit`.

    A step that would use too much is undone, and a `QuotaExceeded` says so.
    """
    database = activation.database
    if database.deferred:
        return database.commit()  # what it uses is looked at when all of it is committed
    bill = Bill()
    try:
        bill.add(activation)
        bill.check()
    except QuotaExceeded:
        database.rollback()
        raise
    try:
        sequence = database.commit()
    finally:
        database.charges = ()
    bill.settle()
    return sequence


class Bill:
    """What the open steps of some activations use, of each allowance that holds for them.

    Nothing runs between `check` and `settle`, so nothing need be reserved.
    """

    def __init__(self) -> None:
        self._more: dict[Allowance, tuple[int, int]] = {}
        """Bytes and databases."""
        self._spent: list[tuple[Allowance, str, float]] = []
        self._payers: list[Activation] = []

    @classmethod
    def of(cls, activations: Sequence[Activation]) -> Bill:
        """A checked one; raises before anything was committed."""
        bill = cls()
        for one in activations:
            if one.node.allowances:
                bill.add(one)
        bill.check()
        return bill

    def add(self, activation: Activation) -> None:
        """And those of this one."""
        self._payers.append(activation)
        database, held = activation.database, activation.node.allowances
        if any(one.stores for one in held):
            self._grow(held, *database.growth())
        meters = {} if activation.meters is None else activation.meters.changes()
        spent = [
            (one, meter, amount)
            for meter, amount in meters.items()
            for one in held
            if meter in one.quota.meters
        ]
        self._spent += spent
        database.charges = [(one.node.database, meter, amount) for one, meter, amount in spent]

    def _grow(self, held: tuple[Allowance, ...], growth: int, newborn: int) -> None:
        for one in held:
            size, count = self._more.get(one, (0, 0))
            self._more[one] = size + growth, count + newborn

    def check(self) -> None:
        """Raise the first quota that would be crossed."""
        for one, more in self._more.items():
            one.check_storage(*more)

    def settle(self) -> None:
        """All of it was committed."""
        for one, meter, amount in self._spent:
            one.has_spent(meter, amount)
        for payer in self._payers:
            payer.database.charges = ()
            if payer.meters is not None:
                payer.meters.over()
