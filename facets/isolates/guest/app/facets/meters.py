"""`self.meters`: what the actor spends; each operation is one crossing to the host."""

from math import inf

from isolate.storage import operate


class Meters:
    """The same as outside."""

    __slots__ = ()

    def spend(self, meter, amount):
        """Spend some of it; MeterQuota if that is more than is left."""
        operate("meters", ["spend", meter, amount])

    def left(self, meter):
        """What may still be spent; infinite without a limit."""
        left = operate("meters", ["left", meter])
        return inf if left is None else left

    def reserve(self, meter, amount):
        """For what is known only afterwards: `with self.meters.reserve("usd", 1) as held:`."""
        return Reservation(meter, amount)


class Reservation:
    """Some of a meter, spent before it is known how much is used."""

    __slots__ = ("_meter", "_number", "amount")

    def __init__(self, meter, amount):
        self._meter = meter
        self._number = None
        self.amount = amount

    def __enter__(self):
        self._number = operate("meters", ["hold", self._meter, self.amount])
        return self

    def __exit__(self, *_):
        self._number = None

    def settle(self, used):
        """So much was used: the rest is given back. Inside the block, once."""
        if self._number is None:
            raise RuntimeError("a reservation is settled once, inside its block")
        operate("meters", ["settle", self._number, self._meter, used])
        self._number, self.amount = None, used
