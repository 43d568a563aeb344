"""What a source uses, read from it without running it.

Not a wall: code can hide what it does, and the sandbox refuses it then, because it has no more than
its manifest says. It is what a reader of a proposal wants to know: whether the manifest is honest,
and whether it asks for more than the code needs.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from facets.egress.rules import Rule
from facets.extensions.manifest import Manifest, ToolSpec
from storage.views import FileView, KvView

CLASS = "Extension"
_WEB = frozenset({"urllib.request", "http.client", "httpx", "facets.fetch"})
_OWN = frozenset({"sql", "kv", "fs", "timers"})
_WRITES = frozenset(FileView.WRITES + KvView.WRITES)
_URL = re.compile(r"https?://([^/\s:?#@{}]+)")


@dataclass(slots=True)
class Uses:
    """What was found."""

    network: bool = False
    hosts: set[str] = field(default_factory=set)
    env: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    """Keys of `env` on which a method that writes is called."""
    storage: bool = False
    hidden: bool = False
    """`env` is used with a key that is not written out."""
    methods: dict[str, ast.AsyncFunctionDef] = field(default_factory=dict)
    """Those of the class, public and async."""
    has_class: bool = False

    @property
    def tests(self) -> list[str]:
        """The extension's own tests."""
        return [name for name in self.methods if name.startswith("test_")]


def uses_of(source: str) -> Uses:
    """What this source uses; SyntaxError if it does not parse."""
    tree = ast.parse(source)
    found, names = Uses(hosts=_hosts(tree)), _names(tree)
    for node in ast.walk(tree):
        _imports(node, found)
        _attributes(node, found, names)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == CLASS:
            found.has_class = True
            found.methods = {
                one.name: one
                for one in node.body
                if isinstance(one, ast.AsyncFunctionDef) and not one.name.startswith("_")
            }
    return found


def _imports(node: ast.AST, found: Uses) -> None:
    if isinstance(node, ast.Import):
        found.network |= any(one.name in _WEB for one in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        whole = {f"{node.module}.{one.name}" for one in node.names} | {node.module}
        found.network |= not whole.isdisjoint(_WEB)


def _attributes(node: ast.AST, found: Uses, names: dict[str, str]) -> None:
    key = _key(node)
    if key is not None:
        found.env.add(key)
        found.hidden |= not key
    if not isinstance(node, ast.Attribute):
        return
    if isinstance(node.value, ast.Name):
        found.network |= f"{node.value.id}.{node.attr}" in _WEB
        found.storage |= node.value.id == "self" and node.attr in _OWN
    of = names.get(node.value.id) if isinstance(node.value, ast.Name) else _key(node.value)
    if of and node.attr in _WRITES:
        found.written.add(of)


def _hosts(tree: ast.AST) -> set[str]:
    """Hosts of texts that begin like an address; of f-strings, where the host is all text."""
    parts: dict[ast.AST, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts.update(dict.fromkeys(node.values, True))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = _URL.match(node.value)
            if match and (node not in parts or match.end() < len(node.value)):
                found.add(match[1].lower())
    return found


def _names(tree: ast.AST) -> dict[str, str]:
    """Names that stand for a value of `env`."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and (key := _key(node.value)):
            found.update({one.id: key for one in node.targets if isinstance(one, ast.Name)})
    return found


def _key(node: ast.AST) -> str | None:
    """The key in `self.env["key"]` and `self.env.get("key")`; "" if it is not a constant."""
    if isinstance(node, ast.Subscript) and _is_env(node.value):
        return _constant(node.slice)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and _is_env(node.func.value)
    ):
        return _constant(node.args[0]) if node.args else ""
    return None


def _is_env(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "env"


def _constant(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def problems_of(uses: Uses, manifest: Manifest) -> list[str]:
    """What the source uses and the manifest does not say, or the other way round where it must."""
    if not uses.has_class:
        return [f"there is no class {CLASS}(Actor) in the main text"]
    allowed, found = manifest.permissions, []
    found += [
        f"the manifest names {name!r}, and {CLASS} has no such async method"
        for name in manifest.methods
        if name not in uses.methods
    ]
    for tool in manifest.tools:
        if tool.name in uses.methods:
            found += _misfits(uses.methods[tool.name], tool)
    if uses.network and not allowed.network:
        found.append("it makes requests, and permissions.network names no host")
    if uses.network:
        found += [
            f"it names the host {host!r}, and permissions.network does not"
            for host in sorted(uses.hosts)
            if not any(Rule(one).covers(host) for one in allowed.network)
        ]
    if uses.storage and not allowed.storage:
        found.append("it keeps data of its own, and permissions.storage is 0 bytes")
    if uses.hidden:
        found.append("it looks into env by a key that is not written out")
    return found + _levels(uses, manifest)


def _levels(uses: Uses, manifest: Manifest) -> list[str]:
    allowed, found = manifest.permissions, []
    for key in sorted(uses.env - {""}):
        level = str(getattr(allowed, key, "none")) if key in ("files", "context") else None
        if key == "messages":
            level = allowed.messages
        if level is None:
            if key not in allowed.offers:
                found.append(f"it uses env[{key!r}], and permissions.offers does not name it")
        elif level == "none":
            found.append(f"it uses env[{key!r}], and permissions.{key} is none")
        elif level == "read" and key in uses.written:
            found.append(f"it writes to env[{key!r}], and permissions.{key} is read")
    return found


def _misfits(method: ast.AsyncFunctionDef, tool: ToolSpec) -> list[str]:
    """Where the schema and the signature of a tool do not agree."""
    takes = method.args
    if takes.kwarg is not None:
        return []
    known = {one.arg for one in [*takes.args[1:], *takes.kwonlyargs]}
    given = tool.parameters.get("properties")
    said = set(given) if isinstance(given, dict) else set()
    said |= {tool.call_id} - {""}
    return [
        f"{method.name}() has no parameter {name!r} of its manifest"
        for name in sorted(said - known)
    ]


def unused_of(uses: Uses, manifest: Manifest) -> tuple[str, ...]:
    """Permissions that are asked for and that nothing seems to need."""
    allowed = manifest.permissions
    asked = {"files": allowed.files, "context": allowed.context, "messages": allowed.messages}
    found = [name for name, level in asked.items() if level != "none" and name not in uses.env]
    found += [
        f"{name} for writing"
        for name, level in asked.items()
        if level == "read-write" and name in uses.env and name not in uses.written
    ]
    found += [name for name in allowed.offers if name not in uses.env]
    if allowed.network and not uses.network:
        found.append("network")
    if allowed.storage and not uses.storage:
        found.append("storage")
    return tuple(found)
