"""What one version of an extension may that another may not."""

from __future__ import annotations

import msgspec

from facets.extensions.manifest import Manifest

_LEVELS = ("none", "read", "read-write")


class Change(msgspec.Struct, frozen=True):
    """One permission that is not the same. `widens` if it allows anything it did not before."""

    permission: str
    before: str
    after: str
    widens: bool

    def __str__(self) -> str:
        return f"{'+' if self.widens else '-'} {self.permission}: {self.before} -> {self.after}"


def changes(old: Manifest | None, new: Manifest) -> tuple[Change, ...]:
    """From the running version, or from nothing. The events that it hears count as well: who
    hooks into more sees more."""
    before, after = _access(old), _access(new)
    return tuple(
        [
            Change(
                name, _shown(before[name]), _shown(after[name]), _widens(before[name], after[name])
            )
            for name in after
            if before[name] != after[name]
        ]
    )


def widening(found: tuple[Change, ...]) -> bool:
    """Whether any of them allows more."""
    return any(change.widens for change in found)


_Access = frozenset[str] | int | float | str


def _access(manifest: Manifest | None) -> dict[str, _Access]:
    manifest = manifest or Manifest(name="none", version="0")
    allowed = manifest.permissions
    return {
        "network": frozenset(allowed.network),
        "files": allowed.files,
        "context": allowed.context,
        "messages": allowed.messages,
        "offers": frozenset(allowed.offers),
        "turns": frozenset(allowed.turns),
        "storage": allowed.storage,
        "hooks": frozenset([hook.event for hook in manifest.hooks]),
        # What an event may have to wait for.
        "hook seconds": max([hook.seconds for hook in manifest.hooks], default=0.0),
    }


def _widens(before: _Access, after: _Access) -> bool:
    if isinstance(after, frozenset):
        return not (isinstance(before, frozenset) and after <= before)
    if isinstance(after, (int, float)):
        return not (isinstance(before, (int, float)) and after <= before)
    return _LEVELS.index(after) > _LEVELS.index(str(before))


def _shown(access: _Access) -> str:
    if isinstance(access, frozenset):
        return ", ".join(sorted(access)) or "none"
    if isinstance(access, float):
        return f"{access:g} s"
    return f"{access} bytes" if isinstance(access, int) else access
