"""What came of a call with an idempotency key, as bytes to keep: in the words of the codec.

Not a pickle, as trusted code has it: nothing that came out of an isolate is ever unpickled.
"""

from __future__ import annotations

from typing import Any

from facets.isolates.codec import MALFORMED, Blob, lift, lower, pack, unpack
from storage.errors import DatabaseCorrupt


def written(failed: bool, what: Any) -> bytes:
    """A result, or the description of an error; `NotTransferable` for what is no data."""
    blob = Blob(arrays=True)
    return pack([failed, lower(what, blob, "result")], blob)


def read(outcome: bytes) -> tuple[bool, Any]:
    """The same again; `DatabaseCorrupt` if these bytes are none."""
    try:
        (failed, what), tail = unpack(outcome)
        return bool(failed), lift(what, tail)
    except MALFORMED as error:
        raise DatabaseCorrupt(f"a kept outcome cannot be read: {error}") from error
