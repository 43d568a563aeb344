"""Processor time of an isolate, counted for the actors that its code works for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from facets.isolates.errors import OutOfCpu

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.quotas.allowance import Allowance


class CpuTime:
    """What one isolate has used, and what the quotas of its actor leave to it.

    Isolates that compute at the same time do not see each other's use before it ends: together
    they may use as much more as one stretch of each, which `Limits.cpu` bounds.
    """

    __slots__ = ("_activation", "_counted")

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._counted = 0.0

    def left(self, cpu: float) -> float:
        """Seconds that it may still compute, now that it has used `cpu` since it was minted."""
        held = self._activation.node.allowances
        if not held:
            self._counted = cpu  # a quota that is set later is not for what was before
            return math.inf
        used, self._counted = cpu - self._counted, cpu
        for one in held:
            one.use_cpu(used)
        return min([one.cpu_left() for one in held])

    def over(self) -> OutOfCpu | None:
        """Why it is killed; None if no quota is used up."""
        spent = _spent(self._activation)
        if spent is None:
            return None
        error = spent.no_cpu()
        return OutOfCpu(error.message, hint=error.hint, **error.fields)


def cpu_time(activation: Activation | None) -> CpuTime | None:
    """That of an isolate which works for this activation."""
    return None if activation is None else CpuTime(activation)


def check_cpu(activation: Any) -> None:
    """Raise `CpuQuota` if nothing may begin to compute for this activation."""
    spent = _spent(activation)
    if spent is not None:
        raise spent.no_cpu()


def _spent(activation: Activation) -> Allowance | None:
    return next((one for one in activation.node.allowances if one.cpu_left() <= 0), None)
