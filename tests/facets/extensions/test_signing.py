"""Who vouches for an extension, and that what was vouched for is what runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from facets import LocalRuntime
from facets.errors import BadSignature, ExtensionAltered
from facets.extensions import Proposal, PublicKey, SharedKey
from facets.extensions.manifest import manifest_of
from tests.facets.extensions.test_life import COUNTER, MANIFEST, Lead, approve, run, upgraded

DIGEST = manifest_of(MANIFEST).hash(COUNTER)


def signed(proposal: Proposal) -> str:
    return "approve" if proposal.signer == "us" else "ask"


async def test_a_policy_sees_who_signed_it(runtime: LocalRuntime) -> None:
    key = SharedKey(b"k" * 32)

    async def story(lead: Lead) -> None:
        ours = lead.extensions
        with pytest.raises(BadSignature):
            await ours.propose(MANIFEST, COUNTER + "\n", signature=key.sign(DIGEST))
        assert ours.versions("counter") == []
        found = await ours.propose(MANIFEST, COUNTER, signature=key.sign(DIGEST))
        assert (found.state, found.signer) == ("active", "us")
        assert (await ours.propose(upgraded("2"), COUNTER)).state == "pending"

    await run(runtime, story, consent=signed, keys={"us": key})


def test_an_ed25519_key_accepts_what_its_private_half_signed_and_nothing_else() -> None:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    private = ed25519.Ed25519PrivateKey.generate()
    key = PublicKey(private.public_key().public_bytes_raw())
    assert key.verify(DIGEST, private.sign(DIGEST.encode()))
    assert not key.verify(DIGEST[::-1], private.sign(DIGEST.encode()))
    assert not key.verify(DIGEST, b"short")


async def test_a_source_that_was_altered_where_it_is_kept_does_not_run(state: Path) -> None:
    async def setup(lead: Lead) -> None:
        await lead.extensions.propose(MANIFEST, COUNTER)
        lead.sql("update extension_versions set source = source || 'x = 1'")

    async def story(lead: Lead) -> None:
        with pytest.raises(ExtensionAltered):
            await lead.extensions.call("counter", "count", word="x")

    async with LocalRuntime(state) as runtime:
        await run(runtime, setup, consent=approve)
    async with LocalRuntime(state) as runtime:
        await run(runtime, story)
