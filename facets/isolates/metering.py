"""`self.meters` inside an isolate: operations of its guest's steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from actors.quotas.meters import Meters

if TYPE_CHECKING:
    from actors.activation import Activation


class IsolateMeters:
    """The meters of one isolate's actor.

    A guest gives back no more than it reserved: what that was is not asked of it.
    """

    def __init__(self, activation: Activation) -> None:
        self._activation = activation

    def operate(self, verb: str, *args: Any) -> Any:
        """One operation of the open step; None for infinite."""
        meters = self._meters()
        if verb == "left":
            left = meters.left(*args)
            return None if left == math.inf else left
        if verb not in ("spend", "hold", "settle"):
            raise PermissionError(f"meters have no {verb!r}")
        return getattr(meters, verb)(*args)

    def _meters(self) -> Meters:
        activation = self._activation
        if activation.meters is None:
            activation.meters = Meters(activation)
        return activation.meters
