"""What may be asked of whom."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from facets.egress import paths
from facets.egress.errors import EgressDenied
from facets.egress.messages import Request
from facets.egress.urls import PORTS, Target, canonical_host

Credentials = (
    Mapping[str, str] | Callable[[Request], Mapping[str, str] | Awaitable[Mapping[str, str]]]
)

_METHOD = re.compile(r"[A-Z][A-Z-]{0,19}")
_NEVER = frozenset({"CONNECT", "TRACE"})
"""A tunnel would carry anything anywhere; an echo would hand the credentials back."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `connect` is for resolving, connecting and TLS, `idle` for each wait in between,
    `total` for one request from its first byte to the last of its answer."""

    connect: float = 10.0
    idle: float = 30.0
    total: float = 60.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission. A request is allowed by the first rule that it fits in every respect.

    | argument      | allows                                                                    |
    |---------------|---------------------------------------------------------------------------|
    | host          | that host; `*.example.com` any host below it and not itself; `*` any      |
    | scheme        | "https", or "http" where it is said                                       |
    | port          | that port; without it the scheme's own                                    |
    | methods       | these; without it only reading                                            |
    | paths         | paths that match one: `*` within a segment, `**` anything                 |
    | private       | private, loopback and shared addresses too; link-local, metadata and reserved ones only if `host` is that address |
    | request_size  | bytes of body out                                                         |
    | response_size | bytes of body in, before and after decompression                          |

    `credentials` are headers that the host adds, or a function of the request that returns them
    (plain or async; it may sign). They take the place of headers of the same name. They are not
    added any more once a redirect has led to another scheme, host or port. Where their values
    (of 8 characters and more) come back in an answer they are overwritten with `*`, and so is
    `Set-Cookie` left out of it: whoever answers knows them and could send them back in some
    disguise, so give a host only what its answers may be trusted with.

    Raises ValueError for a rule that makes no sense.
    """  # noqa: E501 - one row, one line

    host: str
    scheme: Literal["http", "https"] = "https"
    port: int | None = None
    methods: Sequence[str] = ("GET", "HEAD")
    paths: Sequence[str] = ("/**",)
    credentials: Credentials | None = field(default=None, repr=False)
    private: bool = False
    request_size: int = 1 << 20
    response_size: int = 10 << 20
    timeouts: Timeouts = Timeouts()

    def __post_init__(self) -> None:
        for name in ("methods", "paths"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is a sequence of strings, not one string")
        # What is checked is kept: a list that its giver goes on to change must not widen a rule.
        object.__setattr__(self, "host", _host_pattern(self.host))
        object.__setattr__(self, "methods", tuple(method.upper() for method in self.methods))
        object.__setattr__(self, "paths", tuple(self.paths))
        if isinstance(self.credentials, Mapping):
            object.__setattr__(self, "credentials", dict(self.credentials))
        self._check()

    def _check(self) -> None:
        if self.scheme not in PORTS:
            raise ValueError(f"scheme {self.scheme!r} is neither https nor http")
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError(f"port {self.port} is not between 1 and 65535")
        for method in self.methods:
            if not _METHOD.fullmatch(method) or method in _NEVER:
                raise ValueError(f"{method} is not a method that can be allowed")
        for one in self.paths:
            paths.pattern(one)
        if self.private and self.host == "*":
            raise ValueError("private=True needs a host: with * it would open the whole network")
        if self.credentials is not None and self.scheme == "http" and not self.private:
            raise ValueError("credentials over plain http would be readable on the way")

    @property
    def label(self) -> str:
        """What to call it in errors and records."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")

    def misfit(self, target: Target, method: str) -> str:
        """The first respect in which a request does not fit, or ""."""
        if not self.covers(target.host):
            return "host"
        if target.scheme != self.scheme:
            return "scheme"
        if target.port != (self.port or PORTS[self.scheme]):
            return "port"
        if method not in self.methods:
            return "method"
        return "" if paths.allowed(target.path, tuple(self.paths)) else "path"

    def covers(self, host: str) -> bool:
        """Whether it is about this host."""
        if self.host == "*":
            return True
        if self.host.startswith("*."):
            # No address ends in a name: the last label of a name is never a number.
            return host.endswith(self.host[1:])
        return host == self.host


def _host_pattern(text: str) -> str:
    """The host of a rule, in the form in which hosts of requests are compared with it."""
    if text == "*":
        return text
    wildcard, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        host = canonical_host(f"[{rest}]" if ":" in rest and not rest.startswith("[") else rest)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a host: {error}") from error
    if wildcard and (":" in host or host.rpartition(".")[2].isdigit()):
        raise ValueError(f"{text!r} is not a host: addresses have nothing below them")
    return wildcard + host


_RESPECTS = ("host", "scheme", "port", "method", "path")


def choose(rules: Sequence[Rule], target: Target, method: str) -> Rule:
    """The first rule that allows the request; `EgressDenied` with what came closest."""
    nearest: tuple[int, Rule] | None = None
    for rule in rules:
        misfit = rule.misfit(target, method)
        if not misfit:
            return rule
        far = _RESPECTS.index(misfit)
        if far and (nearest is None or far > nearest[0]):
            nearest = far, rule
    raise _denied(target, method, nearest)


def _denied(target: Target, method: str, nearest: tuple[int, Rule] | None) -> EgressDenied:
    if nearest is None:
        why, label = "no rule names this host", ""
    else:
        label = nearest[1].label
        why = f"the nearest rule is {label}, and it does not allow the {_RESPECTS[nearest[0]]}"
    return EgressDenied(
        f"{method} {target.shown} is not allowed: {why}",
        reason="rule",
        url=target.shown,
        rule=label,
    )
