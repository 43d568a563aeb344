"""Requests and answers as they cross: what `facets.fetch`, `http.client` and `httpx` share."""

import json as json_
from collections.abc import Mapping

from isolate import storage
from isolate.capabilities import Capability, Reply

_own = Capability(0, {"name": "runtime"})


def prepare(method, url, headers, body, json, redirect, timeout):
    """What the host is asked for."""
    pairs = Headers(headers or ()).pairs
    if json is not None:
        if body is not None:
            raise TypeError("give body or json, not both")
        body = json_.dumps(json)
        if not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(["Content-Type", "application/json"])
    if isinstance(body, str):
        body = body.encode()
    return [method, str(url), pairs, bytes(body or b""), redirect, timeout]


def send(asked):
    """The answer, to be awaited."""
    return Reply(_own, "fetch", asked, {})


def send_now(asked):
    """The answer; the isolate waits."""
    return storage.call_own("fetch", asked)


def opened(asked):
    """An iterator over the head of the answer, and pieces of its body."""
    return aiter(Reply(_own, "open", asked, {}))


class Headers(Mapping):
    """Headers by name in any case, in order. What is repeated is joined with ", "; `all` splits."""

    __slots__ = ("pairs",)

    def __init__(self, given=()):
        if isinstance(given, Headers):
            given = given.pairs
        elif isinstance(given, Mapping):
            given = given.items()
        self.pairs = [[_text(name), _text(value)] for name, value in given]

    def __getitem__(self, name):
        found = self.all(name)
        if not found:
            raise KeyError(name)
        return ", ".join(found)

    def all(self, name):
        """Every value of this name."""
        name = name.lower()
        return [value for key, value in self.pairs if key.lower() == name]

    def __iter__(self):
        return iter(dict.fromkeys([name.lower() for name, _ in self.pairs]))

    def __len__(self):
        return len({name.lower() for name, _ in self.pairs})

    def __repr__(self):
        return f"Headers({self.pairs!r})"


def _text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def decoded(body, headers):
    """The text of a body, by the charset that its type names; UTF-8 if none."""
    for part in headers.get("content-type", "").split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            try:
                return body.decode(value.strip().strip('"'), "replace")
            except LookupError:
                break
    return body.decode("utf-8", "replace")
