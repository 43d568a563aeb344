"""`self.meters`: units that only the user can count, such as tokens and money."""

from __future__ import annotations

import math
from random import getrandbits
from types import TracebackType
from typing import TYPE_CHECKING

from storage.meters import release, release_all, reserve, spend, spent_by

if TYPE_CHECKING:
    from actors.activation import Activation


class Meters:
    """What this actor spends, under its own quota and all those above it.

    Spending is part of the step that does it: durable with it, and given back if it is undone.
    So an effect that costs something should come after an `await` behind the spending, or inside
    `reserve`. Meters that no quota limits may be spent without end, and are not kept. One step
    that spends writes two databases in one record: its own, and the catalogue.
    """

    __slots__ = ("_activation", "_before", "_reservations")

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._before: dict[str, float] = {}
        """Meters that the open step spent, with what was spent before it."""
        self._reservations: set[int] = set()
        """Numbers of those that can be settled."""

    def spend(self, meter: str, amount: float) -> None:
        """Spend some of it; `MeterQuota` if that is more than is left, and nothing is spent."""
        self._spend(_name(meter), _amount(amount))

    def left(self, meter: str) -> float:
        """What may still be spent: the least of all quotas that hold; infinite without one.

        What other actors have spent in steps that are not over yet is not left."""
        held = self._activation.node.allowances
        limits = [(one, one.quota.meters.get(_name(meter))) for one in held]
        left = [limit - one.used(meter) for one, limit in limits if limit is not None]
        return min(left, default=math.inf)

    def reserve(self, meter: str, amount: float) -> Reservation:
        """For what is known only afterwards: `with self.meters.reserve("usd", 1) as held:`.

        All of `amount` is spent at once, which raises `MeterQuota` if it is more than is left, and
        `held.settle(used)` gives back the rest. Without that all of it stays spent: after a crash,
        or an error half-way, nobody knows what was used, and a limit on money must not.
        """
        return Reservation(self, _name(meter), _amount(amount))

    def hold(self, meter: str, amount: float) -> int:
        """Spend it as a reservation, which has this number until the incarnation ends.

        It is a row of the actor's own, so that one whose step was undone gives nothing back.
        """
        self._spend(_name(meter), _amount(amount))
        database = self._activation.database
        if not self._reservations:
            release_all(database)
        # No number is that of another incarnation, whose rows a restore may bring back.
        number = getrandbits(53)
        self._reservations.add(number)
        reserve(database, number, meter, amount)
        return number

    def settle(self, number: int, meter: str, used: float) -> None:
        """So much of that reservation was used."""
        used = _amount(used)
        if number not in self._reservations:
            raise ValueError("there is no such reservation")
        found = release(self._activation.database, number)
        if found is not None and found[0] != meter:
            raise ValueError(f"the reservation is one of {found[0]!r}")
        self._spend(meter, used - (0 if found is None else found[1]))
        self._reservations.discard(number)

    def _spend(self, meter: str, amount: float) -> None:
        held = [one for one in self._activation.node.allowances if meter in one.quota.meters]
        if amount > 0:
            for one in held:
                one.check_meter(meter, amount)
        if not held or not amount:
            return
        database = self._activation.database
        if not database.undecided:
            self._before.clear()  # of a step that was undone
        if not database.in_step:
            database.begin()
        before = spent_by(database, meter)
        self._before.setdefault(meter, before)
        for one in held:
            one.spenders.add(self)
        spend(database, meter, before + amount)

    # -- for allowances -----------------------------------------------------------------

    def pending(self, meter: str) -> float:
        """What of it was spent in the step that is open.

        Asked of the database, which alone knows what a savepoint took back.
        """
        database = self._activation.database
        if not database.undecided:
            self.over()
        if meter not in self._before:
            return 0
        return spent_by(database, meter) - self._before[meter]

    def changes(self) -> dict[str, float]:
        """All that the open step has spent."""
        spent = {meter: self.pending(meter) for meter in list(self._before)}
        return {meter: amount for meter, amount in spent.items() if amount}

    def over(self) -> None:
        """The step was committed or undone."""
        self._before.clear()
        for one in self._activation.node.allowances:
            one.spenders.discard(self)


class Reservation:
    """Some of a meter, spent before it is known how much is used."""

    __slots__ = ("_meter", "_meters", "_number", "amount")

    def __init__(self, meters: Meters, meter: str, amount: float) -> None:
        self._meters = meters
        self._meter = meter
        self._number: int | None = None
        self.amount = amount
        """What of it is spent; what was used, once that is settled."""

    def __enter__(self) -> Reservation:
        self._number = self._meters.hold(self._meter, self.amount)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._number = None

    def settle(self, used: float) -> None:
        """So much was used: the rest is given back, as part of this step. Inside the block, once.

        More than was reserved is spent as well: `MeterQuota` if it is more than is left, and
        all of what was reserved stays spent.
        """
        if self._number is None:
            raise RuntimeError("a reservation is settled once, inside its block")
        self._meters.settle(self._number, self._meter, used)
        self._number, self.amount = None, used


def _name(meter: str) -> str:
    if type(meter) is not str:
        raise TypeError(f"a meter is named by text, not {type(meter).__name__}")
    return meter


def _amount(amount: float) -> float:
    if type(amount) not in (int, float) or not 0 <= amount < math.inf:
        raise ValueError(f"an amount is a number from 0 on, not {amount!r}")
    return amount
