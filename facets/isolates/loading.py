"""Loading: the order that the guest gets, and the answer that says what can be called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from facets.isolates.calls import MethodInfo
from facets.isolates.code import Code
from facets.isolates.codec import MALFORMED, Blob, References, lift, lower, pack, unpack
from facets.isolates.errors import LoadError, ProtocolViolation

MOST = 10_000
"""Methods, other functions and migrations that code may have, each."""
Compiled = Mapping[str, str]
"""Marshalled code by module, as latin-1; only a guest ever reads it."""


class Loaded(NamedTuple):
    """What a guest said about the code in it."""

    methods: Mapping[str, MethodInfo]
    migrations: tuple[str, ...]
    hooks: frozenset[str]
    plain: frozenset[str]
    """Public functions that are not async, for better errors."""


def order(
    code: Code,
    target: str,
    actor: bool,
    identity: Mapping[str, Any] | None,
    props: object,
    env: object,
    output: int,
    compiled: Compiled | None = None,
    references: References | None = None,
    tops: Sequence[str] = (),
) -> bytes:
    """The message to `boot`; NotTransferable if props or env cannot cross.

    `compiled` spares the guest the compilation; `references` is what capabilities in props and
    env become. `tops` are the first parts of the names of modules that it may ask for, besides
    those it gets.
    """
    blob = Blob(references)
    content = {
        "proto": [1, 1],
        "output": output,
        "modules": _sources(code, blob),
        "paths": dict(code.paths),
        "tops": list(tops),
        "code": {name: blob.attach(text, "b") for name, text in (compiled or {}).items()},
        "main": code.main,
        "target": target,
        "actor": actor,
        "identity": lower(dict(identity or {}), blob, "identity"),
        "props": lower(props, blob, "props"),
        "env": lower(env, blob, "env"),
    }
    return pack(content, blob)


def compile_order(code: Code, output: int) -> bytes:
    """The message to `boot` that asks for compiled code and loads nothing."""
    blob = Blob()
    content = {
        "proto": [1, 1],
        "output": output,
        "compile": True,
        "modules": _sources(code, blob),
        "paths": dict(code.paths),
    }
    return pack(content, blob)


def compiled(answer: bytes) -> Compiled:
    """What `boot` returned to `compile_order`: nothing of it is looked into, here or elsewhere."""
    try:
        (tag, said), tail = unpack(answer)
        found = {str(name): lift(value, tail) for name, value in said.items()}
        if tag != "code" or not all(type(value) is bytes for value in found.values()):
            raise ValueError(tag)
        return {name: value.decode("latin-1") for name, value in found.items()}
    except MALFORMED as error:
        raise ProtocolViolation(f"a malformed answer to boot: {error}"[:500]) from None


def _sources(code: Code, blob: Blob) -> dict[str, Any]:
    return {name: blob.text(source) for name, source in code.modules.items()}


def loaded(answer: bytes) -> Loaded:
    """What `boot` returned; LoadError if the code did not load."""
    try:
        tag, said = unpack(answer)[0]
        if tag == "err":
            raise _not_loaded(said)
        if any(len(said[name]) > MOST for name in ("methods", "migrations", "plain")):
            raise ValueError(f"more than {MOST} names")
        exclusive = set(said["exclusive"])
        return Loaded(
            {str(k): MethodInfo(str(kind), k in exclusive) for k, kind in said["methods"].items()},
            tuple(str(text) for text in said["migrations"]),
            frozenset(str(name) for name in said["hooks"]),
            frozenset(str(name) for name in said["plain"]),
        )
    except MALFORMED as error:
        raise ProtocolViolation(f"a malformed answer to boot: {error}"[:500]) from None


def _not_loaded(said: Mapping[str, Any]) -> LoadError:
    trace = said.get("traceback") or ""
    kind = said["type"]
    message = str(said["message"])
    shown = message if kind == "NoTarget" else f"the source does not load: {kind}: {message}"
    return LoadError(shown, type=str(kind), traceback=str(trace))
