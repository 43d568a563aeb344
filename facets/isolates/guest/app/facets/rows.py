"""Rows and Row as trusted actors know them: the complete, detached result of one statement."""

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter

from facets.errors import NoRow, TooManyRows

_REQUIRED = object()


class Row(tuple):
    """One row: a tuple whose values are also found by column name, `row.n` or `row["n"]`."""

    __slots__ = ()
    _columns = ()
    _index = {}

    def __getitem__(self, key):
        if type(key) is str:
            try:
                key = self._index[key]
            except KeyError:
                raise KeyError(f"no column {key!r}; there are {', '.join(self._columns)}") from None
        return tuple.__getitem__(self, key)

    def asdict(self):
        """The row as a dict by column name."""
        return dict(zip(self._columns, self, strict=True))

    def __repr__(self):
        pairs = zip(self._columns, self, strict=True)
        return "Row(" + ", ".join(f"{name}={value!r}" for name, value in pairs) + ")"


@lru_cache(maxsize=512)
def row_type(columns):
    """The Row subclass for these columns, made once."""
    members = {"__slots__": (), "_columns": columns}
    members["_index"] = {name: i for i, name in reversed(list(enumerate(columns)))}
    for name, i in members["_index"].items():
        if name.isidentifier() and not name.startswith("_"):
            members[name] = property(itemgetter(i))
    return type("Row", (Row,), members)


class Rows(Sequence):
    """All rows of one statement; later writes do not change them."""

    __slots__ = ("_values", "changes", "columns")

    def __init__(self, columns, values, changes=0):
        self.columns = columns
        self.changes = changes
        self._values = values

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return map(row_type(self.columns), self._values)

    def __getitem__(self, index):
        make = row_type(self.columns)
        if isinstance(index, slice):
            return [make(row) for row in self._values[index]]
        return make(self._values[index])

    def all(self):
        """Every row, as a list."""
        return list(self)

    def one(self):
        """The only row; `NoRow` if there is none, `TooManyRows` if there are more."""
        if len(self._values) > 1:
            raise TooManyRows(f"one row expected, {len(self._values)} found")
        return self._first()

    def first(self):
        """The first row, or None."""
        return self._first() if self._values else None

    def value(self, default=_REQUIRED):
        """The first column of the first row; without a row, `default` if given, else `NoRow`."""
        if not self._values:
            if default is not _REQUIRED:
                return default
            raise NoRow(
                "a value was expected but there is no row", hint="pass default= if none is fine"
            )
        return self._values[0][0]

    def _first(self):
        if not self._values:
            raise NoRow("a row was expected but there is none")
        return row_type(self.columns)(self._values[0])

    def __eq__(self, other):
        if isinstance(other, Rows):
            return (self.columns, self._values) == (other.columns, other._values)
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        return f"<Rows {len(self._values)} x ({', '.join(self.columns)}), {self.changes} changes>"
