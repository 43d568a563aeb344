"""Values as JSON.

Numbers, text, None, lists and mappings are what they are in JSON. Bytes are base64, times and dates
ISO 8601, durations too, Decimal and UUID text, enumerations their value; dataclasses, msgspec
structs, pydantic models and rows are objects; sets and tuples arrays. A class that annotates its
method gets its arguments back as what they were (see `shapes`), and so does a client that knows
the class.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec

from facets.serve.errors import NotEncodable
from storage.rows import Row, Rows


def encode(value: object) -> bytes:
    """The JSON of a value; `NotEncodable` if it has none."""
    try:
        return _encoder.encode(_rows(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, NotEncodable):
            raise
        raise NotEncodable(f"the result cannot be said in JSON: {error}") from error


def _rows(value: Any) -> Any:
    """Rows by column name. Of one deeper inside only the values are kept: it is a tuple."""
    if isinstance(value, Row):
        return value.asdict()
    if isinstance(value, (Rows, list)):
        return [one.asdict() if isinstance(one, Row) else one for one in value]
    return value


def _plain(value: Any) -> Any:
    """What stands for a value that msgspec does not know."""
    if isinstance(value, Rows):
        return _rows(value)
    if isinstance(value, PurePath):
        return str(value)
    cls = type(value)  # a stub has every name, and asking it for one is a call
    if hasattr(cls, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if hasattr(cls, "tolist"):  # numpy
        return value.tolist()
    raise NotEncodable(f"the result holds a {cls.__qualname__}, which JSON cannot say")


_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="string")
