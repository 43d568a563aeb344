"""What is found in a source and in a pair of manifests, without running anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facets.extensions import Manifest, Permissions
from facets.extensions.changes import changes, widening
from facets.extensions.manifest import HookSpec, manifest_of
from facets.extensions.uses import problems_of, unused_of, uses_of

_LEVELS = st.sampled_from(["none", "read", "read-write"])
_HOSTS = st.lists(st.sampled_from(["a.test", "b.test", "*.c.test"]), unique=True).map(tuple)
_PERMISSIONS = st.builds(
    Permissions,
    network=_HOSTS,
    files=_LEVELS,
    context=_LEVELS,
    messages=st.sampled_from(["none", "read"]),
    offers=st.lists(st.sampled_from(["x", "y"]), unique=True).map(tuple),
    storage=st.integers(0, 1 << 30),
)
_MANIFESTS = st.builds(
    Manifest,
    name=st.just("x"),
    version=st.just("1"),
    permissions=_PERMISSIONS,
    hooks=st.lists(st.sampled_from(["e", "f"]), unique=True).map(
        lambda events: tuple([HookSpec(event=one) for one in events])
    ),
)


@given(_MANIFESTS, _MANIFESTS)
def test_only_equal_access_widens_in_neither_direction(one: Manifest, other: Manifest) -> None:
    there, back = changes(one, other), changes(other, one)
    assert [change.permission for change in there] == [change.permission for change in back]
    assert changes(one, one) == ()
    for forth, again in zip(there, back, strict=True):
        assert forth.widens or again.widens
        assert (forth.before, forth.after) == (again.after, again.before)


@given(_MANIFESTS, _MANIFESTS, _MANIFESTS)
def test_two_upgrades_that_widen_nothing_are_one_that_widens_nothing(
    first: Manifest, second: Manifest, third: Manifest
) -> None:
    if not widening(changes(first, second)) and not widening(changes(second, third)):
        assert not widening(changes(first, third))


@given(_MANIFESTS)
def test_a_manifest_is_the_same_after_json_and_has_the_same_hash(manifest: Manifest) -> None:
    import msgspec

    again = manifest_of(msgspec.json.encode(manifest))
    assert again == manifest
    assert again.hash("x") == manifest.hash("x") != manifest.hash("y")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("await facets.fetch('https://a.test/x')", None),
        ("await facets.fetch(f'https://a.test/{x}')", None),
        ("await facets.fetch(f'https://a.{x}')", None),
        ("await facets.fetch('https://b.test/x')", "host 'b.test'"),
        ("await facets.fetch('https://sub.c.test:8443/x')", None),
        ("self.env['files'].read('a')", None),
        ("self.env['files'].write('a', b'')", "writes to env['files']"),
        ("files = self.env.get('files'); files.unlink('a')", "writes to env['files']"),
        ("self.env['context'].get('a')", "permissions.context is none"),
        ("self.env['messages'].newest()", "permissions.messages is none"),
        ("self.env['mail'].send()", "permissions.offers does not name it"),
        ("self.env[x]", "not written out"),
        ("self.sql('select 1')", "0 bytes"),
    ],
)
def test_what_is_used_and_not_permitted_is_a_problem(body: str, problem: str | None) -> None:
    allowed = Permissions(network=("a.test", "*.c.test"), files="read")
    source = f"class Extension(Actor):\n    async def go(self, x=0):\n        {body}\n"
    found = problems_of(uses_of(source), Manifest(name="x", version="1", permissions=allowed))
    assert [problem in one for one in found] == [True] if problem else found == []


def test_what_is_permitted_and_not_used_is_told() -> None:
    allowed = Permissions(
        network=("a.test",), files="read-write", context="read", offers=("mail",), storage=1
    )
    uses = uses_of("class Extension:\n    async def go(self): self.env['files'].read('a')\n")
    found = unused_of(uses, Manifest(name="x", version="1", permissions=allowed))
    assert set(found) == {"files for writing", "context", "mail", "network", "storage"}
