"""What is known of one invocation of an isolate, once it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["load", "call", "stream"]
Outcome = Literal["ok", "error", "killed", "cancelled"]
KEPT = 16 << 10
"""Characters of what one isolate printed that are kept for the invocations under way."""
MESSAGE = 1000
"""Characters kept of an error's message."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One load, call or stream of one isolate: what it used, what it printed, how it ended.

    Hooks (`on_start`, `on_stop`) are calls. An invocation is over when the guest has answered
    it, or when the isolate is dead. What an isolate uses is counted for the isolate as a whole:
    with `shared`, other calls of it ran meanwhile, and their part of `cpu`, `operations`,
    `calls`, `sent` and `logs` is in here too.
    """

    isolate: str
    """Its label, as in errors and statistics."""
    code: str
    """SHA-256 of language, main module and sources."""
    facet: str | None
    """Name of the facet; None for an entrypoint."""
    target: str
    """The class or function of the main module."""
    kind: Kind
    method: str
    """"" for a load and for a function."""
    began: float
    """Seconds since 1970."""
    seconds: float
    """From then to its end, waits included."""
    cpu: float
    """Seconds of processor time inside the guest."""
    operations: int
    """Storage operations."""
    calls: int
    """Calls of capabilities."""
    sent: int
    """Bytes that left the isolate: answers, items, arguments of storage operations."""
    memory: int | None
    """Bytes of the guest's memory when it last gave back control, the interpreter included. It
    only grows, so this is also its peak. None if the guest does not tell (raw WebAssembly)."""
    logs: tuple[tuple[str, str], ...]
    """What was printed, in order: "stdout" or "stderr", and a text. Of more than 16 KiB the
    newest part is kept, and a text of "host" in front says how much is missing."""
    shared: bool
    outcome: Outcome
    """"killed" if its isolate was; "cancelled" if it stopped because it was told to."""
    error: str
    """The class of what it raised, as the guest called it; "" without one."""
    message: str
    """What that said, up to 1,000 characters. There is no traceback: its lines may quote data."""

    @property
    def text(self) -> str:
        """All that it printed."""
        return "".join([text for _, text in self.logs])
