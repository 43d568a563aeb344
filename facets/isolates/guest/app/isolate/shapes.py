"""Dataclasses without a compilation.

`dataclasses` writes the source of `__init__`, `__repr__` and so on, and compiles it: for four
fields that takes as long as the compilation of forty lines. The source depends on little more than
how many fields there are and which have defaults. So it is compiled at build with placeholders
for the names of the fields; the names are put into the code at run time. A shape that was not
met at build is compiled as ever.
"""

import builtins
import dataclasses
import itertools
import types

_PLACE = "zF%dz"
_ATTRIBUTES = ("co_consts", "co_names", "co_varnames", "co_cellvars", "co_freevars")
_TYPE, _DEFAULT = "__dataclass_type_", "__dataclass_dflt_"
_DEFAULTS = {
    "none": lambda: (),
    "value": lambda: (dataclasses.field(default=0),),
    "factory": lambda: (dataclasses.field(default_factory=list),),
}
_shapes = {}
"""(template, what makes the code) by what the first line of the source says."""


def install():
    """Learn the common shapes, and have `dataclasses` use them."""
    dataclasses.exec = _learn
    for kinds in _common():
        fields = [(_PLACE % i, int, *_DEFAULTS[kind]()) for i, kind in enumerate(kinds)]
        dataclasses.make_dataclass("Learned", fields)
        if len(kinds) <= 5 and "factory" not in kinds:
            dataclasses.make_dataclass("Learned", fields, frozen=True)
    dataclasses.exec = _exec


def _common():
    """Which field has which default: all that is possible for few fields, less for more."""
    for count in range(1, 9):
        defaults = ("value", "factory") if count <= 4 else ("value",)
        for some in range(count + 1):
            for tail in itertools.product(defaults, repeat=some):
                yield ("none",) * (count - some) + tail


def _learn(text, space, names):
    code = compile(text, "<string>", "exec")
    fields, key = _read(text)
    _shapes.setdefault(key, []).append((_template(text, len(fields)), _maker(code, len(fields))))
    builtins.exec(code, space, names)


def _exec(text, space, names):
    """What `dataclasses` calls to make its functions."""
    fields, key = _read(text)
    by_place = {_PLACE % i: field for i, field in enumerate(fields)}
    for template, make in _shapes.get(key, ()):
        if template % by_place == text:
            builtins.exec(make(by_place), space, names)
            return
    builtins.exec(text, space, names)


def _read(text):
    """The names of the fields, and which of them have defaults: all of it is in the first line."""
    fields, defaults = [], []
    for name in text[: text.find(")")].rpartition("(")[2].split(","):
        if name.startswith(_TYPE):
            fields.append(name[len(_TYPE) : -2])
        elif name.startswith(_DEFAULT):
            field = name[len(_DEFAULT) : -2]
            defaults.append(fields.index(field) if field in fields else -1)
    return fields, (len(fields), *defaults)


def _template(text, count):
    text = text.replace("%", "%%")
    for i in range(count):
        text = text.replace(_PLACE % i, f"%({_PLACE % i})s")
    return text


def _maker(value, count):
    """A function from the names by their places to `value` with them; None if it has no place."""
    if isinstance(value, str):
        template = _template(value, count)
        return None if template == value else lambda fields: template % fields
    if isinstance(value, tuple):
        return _tuple_maker(value, count)
    if isinstance(value, frozenset):
        make = _tuple_maker(tuple(value), count)
        return make and (lambda fields: frozenset(make(fields)))
    if isinstance(value, types.CodeType):
        parts = [(name, _maker(getattr(value, name), count)) for name in _ATTRIBUTES]
        parts = [(name, make) for name, make in parts if make]
        if parts:
            return lambda fields: value.replace(**{name: make(fields) for name, make in parts})
    return None


def _tuple_maker(value, count):
    if value and all(type(one) is str for one in value):
        make = _maker("\0".join(value), count)
        return make and (lambda fields: tuple(make(fields).split("\0")))
    parts = [(one, _maker(one, count)) for one in value]
    if any(make for _, make in parts):
        return lambda fields: tuple([make(fields) if make else one for one, make in parts])
    return None
