"""What an extension says of itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from actors.once import KEY
from facets.egress.rules import Rule
from facets.extensions.arguments import check_schema
from facets.extensions.errors import BadManifest

Level = Literal["none", "read", "read-write"]
Turns = Literal["see", "add", "block"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z](_?[a-z0-9])*\Z", max_length=40)]
"""Single underscores, within: `extension__tool` names one tool of one extension."""
_Text = Annotated[str, msgspec.Meta(max_length=2000)]
_SCHEMA = 16 << 10
_TAKEN = frozenset({"on_start", "on_stop", "on_facet_broken", "on_facet_due", "on_quota"})


class Permissions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an extension may use. The default of each is nothing.

    | field    | of what                                                                      |
    |----------|------------------------------------------------------------------------------|
    | network  | hosts, as in `Rule`: `api.example.com`, `*.example.org`; nothing else        |
    | files    | what the host lends of its files, `env["files"]`                             |
    | context  | what it lends of its keys, `env["context"]`                                  |
    | messages | what it shows of a conversation, `env["messages"]`                           |
    | offers   | capabilities of the application by name, `env["posts:read"]`                 |
    | turns    | of an agent's turns, for its hooks: `see` prompts, arguments and results,    |
    |          | `add` to what the model is told, `block` calls of tools                      |
    | storage  | bytes of its own database: 0 is none                                         |
    """

    network: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    files: Level = "none"
    context: Level = "none"
    messages: Literal["none", "read"] = "none"
    offers: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    turns: Annotated[tuple[Turns, ...], msgspec.Meta(max_length=3)] = ()
    storage: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)] = 0


class ToolSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tool: the method of that name.

    `parameters` is a JSON schema of its arguments, which are held to it before the call, as far as
    `arguments` says. A call may take `seconds`, and never longer than the limits of the sandbox.
    """

    name: Name
    description: _Text = ""
    parameters: dict[str, Any] = msgspec.field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0
    call_id: Annotated[str, msgspec.Meta(pattern=r"^([a-z](_?[a-z0-9])*)?\Z", max_length=40)] = ""
    """The parameter that is given a text of the host's: the same when the same call is made again
    after a crash, and no other's, so that effects outside can be told apart. None if ""."""


class HookSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A hook: the method called as the event. Lower `priority` runs earlier, in `seconds`."""

    event: Name
    priority: int = 0
    seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an extension is called, may use, and can do. Unknown fields are refused."""

    name: Name
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,39}\Z")]
    description: _Text = ""
    permissions: Permissions = Permissions()
    tools: Annotated[tuple[ToolSpec, ...], msgspec.Meta(max_length=64)] = ()
    hooks: Annotated[tuple[HookSpec, ...], msgspec.Meta(max_length=32)] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that its class must have."""
        return tuple([tool.name for tool in self.tools] + [hook.event for hook in self.hooks])

    def hash(self, source: str) -> str:
        """What names this manifest with this source: SHA-256, in hex."""
        text = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(b"%d:%b%b" % (len(text), text, source.encode())).hexdigest()


def manifest_of(given: Manifest | Mapping[str, Any] | str | bytes) -> Manifest:
    """The manifest in this data or JSON; `BadManifest` with the place of what is wrong."""
    try:
        if isinstance(given, str | bytes):
            found = msgspec.json.decode(given, type=Manifest)
        else:
            # Also of a Manifest: its constructor checks nothing.
            found = msgspec.convert(msgspec.to_builtins(given), Manifest)
        _check(found)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        _, _, path = str(error).partition(" - at ")
        raise BadManifest(
            str(error), hint="see facets.extensions.Manifest for its fields", path=path.strip("`")
        ) from error
    return found


def _check(manifest: Manifest) -> None:
    for host in manifest.permissions.network:
        Rule(host)
    names = manifest.methods
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is there twice among tools and hooks")
        if name in _TAKEN or name.startswith("test_"):
            raise ValueError(f"{name!r} is not a name for a tool or an event")
    for tool in manifest.tools:
        _check_parameters(tool)


def _check_parameters(tool: ToolSpec) -> None:
    if tool.parameters.get("type") != "object":
        raise ValueError(f"the parameters of {tool.name!r} are no schema of type object")
    if len(msgspec.json.encode(tool.parameters)) > _SCHEMA:
        raise ValueError(f"the parameters of {tool.name!r} take more than {_SCHEMA} bytes")
    check_schema(tool.parameters, f"parameters of {tool.name!r}")
    for name in tool.parameters.get("properties", {}):
        if name in (KEY, tool.call_id):
            raise ValueError(f"the parameter {name!r} of {tool.name!r} is for the host to give")
