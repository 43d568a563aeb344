"""Rows: the complete, detached result of one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, overload

from storage.errors import NoRow, TooManyRows

_REQUIRED: Any = object()
_LONG = 10_000


class Row(tuple[Any, ...]):
    """One row: a tuple whose values are also found by column name, `row.n` or `row["n"]`.

    A column wins over a tuple method of the same name (`count`, `index`). Of two columns
    with one name the first is found.
    """

    __slots__ = ()
    _columns: tuple[str, ...] = ()
    _index: dict[str, int] = {}

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __getitem__(self, key: Any) -> Any:
        if type(key) is str:
            try:
                key = self._index[key]
            except KeyError:
                raise KeyError(f"no column {key!r}; there are {', '.join(self._columns)}") from None
        return tuple.__getitem__(self, key)

    def asdict(self) -> dict[str, Any]:
        """The row as a dict by column name; of two columns with one name, the first."""
        return {name: tuple.__getitem__(self, i) for name, i in self._index.items()}

    def __repr__(self) -> str:
        return (
            "Row(" + ", ".join(f"{k}={v!r}" for k, v in zip(self._columns, self, strict=True)) + ")"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_row, (self._columns, tuple(self))


def row_type(columns: tuple[str, ...]) -> type[Row]:
    """The Row subclass for these columns, made once for names of ordinary length."""
    # A column without a name is named by its whole expression, up to a statement's length.
    return _known(columns) if sum(map(len, columns)) < _LONG else _row_type(columns)


def _row_type(columns: tuple[str, ...]) -> type[Row]:
    members: dict[str, Any] = {"__slots__": (), "_columns": columns}
    index: dict[str, int] = {}
    members["_index"] = index
    for i, name in enumerate(columns):
        index.setdefault(name, i)
    for name, i in index.items():
        if name.isidentifier() and not name.startswith("_"):
            members[name] = property(itemgetter(i))
    return type("Row", (Row,), members)


_known = lru_cache(maxsize=512)(_row_type)


def _make_row(columns: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return row_type(columns)(values)


class Rows(Sequence[Row]):
    """All rows of one statement, read before `sql()` returned; later writes do not change them.

    `columns` are the names, `changes` the number of rows that the statement inserted,
    updated or deleted, itself and by its triggers. Of several statements in one text, the rows
    and columns are the last one's, the changes those of all.
    """

    __slots__ = ("_values", "changes", "columns")

    def __init__(
        self, columns: tuple[str, ...], values: list[tuple[Any, ...]], changes: int = 0
    ) -> None:
        self.columns = columns
        self.changes = changes
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Row]:
        return map(row_type(self.columns), self._values)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        make = row_type(self.columns)
        if isinstance(index, slice):
            return [make(row) for row in self._values[index]]
        return make(self._values[index])

    def all(self) -> list[Row]:
        """Every row, as a list."""
        return list(self)

    def one(self) -> Row:
        """The only row; `NoRow` if there is none, `TooManyRows` if there are more."""
        if len(self._values) > 1:
            raise TooManyRows(f"one row expected, {len(self._values)} found")
        return self._first()

    def first(self) -> Row | None:
        """The first row, or None."""
        return self._first() if self._values else None

    def value(self, default: Any = _REQUIRED) -> Any:
        """The first column of the first row; without a row, `default` if given, else `NoRow`."""
        if not self._values:
            if default is not _REQUIRED:
                return default
            raise NoRow(
                "a value was expected but there is no row", hint="pass default= if none is fine"
            )
        return self._values[0][0]

    def _first(self) -> Row:
        if not self._values:
            raise NoRow("a row was expected but there is none")
        return row_type(self.columns)(self._values[0])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rows):
            return (self.columns, self._values) == (other.columns, other._values)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Rows {len(self._values)} x ({', '.join(self.columns)}), {self.changes} changes>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.columns, self._values, self.changes)
