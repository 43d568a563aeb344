"""What a host lends to extensions, and what of it one manifest gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from facets.egress.rules import Rule
from facets.extensions.manifest import Permissions
from storage.views import FileView, KvView

if TYPE_CHECKING:
    from facets.actor import Actor
    from facets.egress.audit import Sink
    from facets.egress.egress import Egress

Mode = Literal["r", "rw"]


@dataclass(frozen=True, slots=True)
class Grants:
    """What there is to be had: what is not here no manifest can get.

    `files` is a directory of the actor and `context` a prefix of its keys: an extension gets a view
    of one if its manifest says so, for reading or for writing. `messages` is a capability that
    shows a conversation, `offers` are capabilities of the application by name. `rule` makes the
    rule for a host that a manifest names, in which the host may add credentials, methods and
    paths; it raises PermissionError for hosts that nobody gets.
    """

    files: str = "/"
    context: str = "context/"
    messages: Any = None
    offers: Mapping[str, Any] = field(default_factory=dict)
    rule: Callable[[str], Rule] = Rule
    audit: Sink | None = None
    """Is told every request that an extension tries, as in `Egress`."""

    def missing(self, permissions: Permissions) -> list[str]:
        """What is asked for and not here."""
        found = [f"there is no {name!r} to be had" for name in permissions.offers
                 if name not in self.offers]  # fmt: skip
        if permissions.messages != "none" and self.messages is None:
            found.append("there are no messages to be had")
        for host in permissions.network:
            try:
                self.rule(host)
            except PermissionError as error:
                found.append(f"host {host!r} is not to be had: {error}")
        return found

    def env(self, actor: Actor, permissions: Permissions) -> dict[str, Any]:
        """What the extension sees as `self.env`."""
        found = {name: self.offers[name] for name in permissions.offers if name in self.offers}
        if (mode := _mode(permissions.files)) is not None:
            if self.files != "/":
                actor.fs.mkdir(self.files, parents=True, exist_ok=True)
            found["files"] = actor.fs.view(self.files, mode)
        if (mode := _mode(permissions.context)) is not None:
            found["context"] = actor.kv.view(self.context, mode)
        if permissions.messages != "none" and self.messages is not None:
            found["messages"] = self.messages
        return found

    def egress(self, permissions: Permissions) -> Egress | None:
        """Its way out: to the hosts that it names, and None without one."""
        if not permissions.network:
            return None
        from facets.egress.egress import Egress

        return Egress([self.rule(host) for host in permissions.network], audit=self.audit)


def harmless(env: Mapping[str, Any], permissions: Permissions) -> dict[str, Any]:
    """The same for a rehearsal, which must change nothing but data that is thrown away.

    Files and context can be read, messages too; each use of an offer is refused as revoked.
    """
    from facets.capabilities.marked import capability

    found = dict(env)
    for name, view in (("files", FileView), ("context", KvView)):
        if name in found:
            found[name] = capability(found[name]).only(*view.READS)
    for name in permissions.offers:
        if name in found:
            found[name] = capability(found[name]).only()
            found[name].revoke("it is not there in a rehearsal")
    return found


def _mode(level: str) -> Mode | None:
    return None if level == "none" else "r" if level == "read" else "rw"
