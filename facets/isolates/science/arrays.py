"""Arrays, data frames and figures, taken apart and put together again. Runs on both sides.

    N   [dtype, shape, bytes]           numpy array: numbers, booleans, dates; in C order
    F   [names, columns, index]         pandas DataFrame; a column is an array or a list
    S   [name, values, index]           pandas Series

The index is null where it only counts the rows. An array of objects or text travels as a list, a
scalar as a plain number, a figure as the bytes of a PNG. Nothing is pickled; what is put together
from a stranger's parts is checked first. It imports neither numpy nor pandas before it is shown
something of theirs; where they are not installed, the parts come as a `Record`.

The interpreter's copy is this file, so nothing of the project is imported here.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
import re
from collections.abc import Callable
from typing import Any

TAGS = ("N", "F", "S")
_DTYPE = re.compile(r"[<|>](?:[biufc]\d{1,2}|[mM]8\[\d{0,6}[a-zA-Z]{1,2}\])")
_KINDS = frozenset("biufcmM")
_MOST_DIMENSIONS = 32


def is_ours(value: object) -> bool:
    """Whether `take_apart` may know this value."""
    return type(value).__module__.partition(".")[0] in ("numpy", "pandas", "matplotlib")


def take_apart(value: Any) -> list[Any] | None:
    """Tag and parts; ["=", plain value] for what needs no tag; None for what does not cross."""
    top = type(value).__module__.partition(".")[0]
    if top == "numpy":
        return _numpy(value)
    return _pandas(value) if top == "pandas" else _figure(value)


def _numpy(value: Any) -> list[Any] | None:
    import numpy as np

    if isinstance(value, np.generic):
        plain = value.item()
        return None if isinstance(plain, np.generic) else ["=", plain]
    if not isinstance(value, np.ndarray):
        return None
    if value.dtype.kind not in _KINDS or not _DTYPE.fullmatch(value.dtype.str):
        return ["=", value.tolist()]
    return ["N", value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]


def _pandas(value: Any) -> list[Any] | None:
    pd: Any = importlib.import_module("pandas")

    if isinstance(value, pd.DataFrame):
        columns = [_column(value.iloc[:, i]) for i in range(value.shape[1])]
        return ["F", list(value.columns), columns, _index(value.index)]
    if isinstance(value, pd.Series):
        return ["S", value.name, _column(value), _index(value.index)]
    if isinstance(value, pd.Index):
        return ["=", _column(value.to_series())]
    if value is pd.NaT or value is pd.NA:
        return ["=", None]
    if isinstance(value, pd.Timestamp):
        return ["=", value.to_pydatetime(warn=False)]
    return ["=", value.to_pytimedelta()] if isinstance(value, pd.Timedelta) else None


def _column(series: Any) -> Any:
    import numpy as np

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in _KINDS:
        return series.to_numpy()
    absent = series.isna().tolist()
    return [None if gone else one for one, gone in zip(series.tolist(), absent, strict=True)]


def _index(index: Any) -> Any:
    pd: Any = importlib.import_module("pandas")

    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1:
        return None
    return _column(index.to_series())


def _figure(value: Any) -> list[Any] | None:
    save = getattr(value, "savefig", None)
    if save is None:
        return None
    out = io.BytesIO()
    save(out, format="png")
    return ["=", out.getvalue()]


def put_together(tag: str, parts: list[Any], record: Callable[[str, dict[str, Any]], Any]) -> Any:
    """The value; ValueError if the parts do not fit. `record` stands in for what is missing."""
    try:
        if tag == "N":
            return _array(record, *parts)
        return _frame(record, *parts) if tag == "F" else _series(record, *parts)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ValueError(f"a malformed {tag}: {error}") from None


def _array(record: Callable[..., Any], dtype: str, shape: list[int], data: bytes) -> Any:
    if not _DTYPE.fullmatch(dtype) or len(shape) > _MOST_DIMENSIONS or type(data) is not bytes:
        raise ValueError("no array of numbers")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("a shape of something else than sizes")
    if not _has("numpy"):
        return record("ndarray", {"dtype": dtype, "shape": shape, "data": data})
    import numpy as np

    made = np.dtype(dtype)
    if math.prod(shape) * made.itemsize != len(data):
        raise ValueError("a shape that is not that of the data")
    return np.frombuffer(data, made).reshape(shape).copy()


def _frame(record: Callable[..., Any], names: list[Any], columns: list[Any], index: Any) -> Any:
    if type(names) is not list or type(columns) is not list or len(names) != len(columns):
        raise ValueError("columns without names")
    if not _has("pandas"):
        return record("DataFrame", {"names": names, "columns": columns, "index": index})
    pd: Any = importlib.import_module("pandas")

    made = pd.DataFrame(dict(enumerate(columns)), index=index)
    made.columns = pd.Index(names)
    return made


def _series(record: Callable[..., Any], name: Any, values: Any, index: Any) -> Any:
    if not _has("pandas"):
        return record("Series", {"name": name, "values": values, "index": index})
    pd: Any = importlib.import_module("pandas")

    return pd.Series(values, index=index, name=name)


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
