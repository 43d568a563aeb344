"""What leaves an actor: as a file to another one, or for good."""

from __future__ import annotations

from typing import Any

import pytest

from facets import LocalRuntime
from facets.errors import BadManifest, BadSignature, NoSuchExtension
from facets.extensions import Package, SharedKey, ask
from facets.testing import MemoryRuntime
from tests.facets.extensions.test_hooks import SOURCE
from tests.facets.extensions.test_life import COUNTER, MANIFEST, Lead, approve, run, upgraded

KEY = SharedKey(b"sixteen bytes at least")


async def exported(lead: Lead) -> bytes:
    proposal = await lead.extensions.propose(MANIFEST, COUNTER)
    signed = KEY.sign(proposal.hash)
    await lead.extensions.propose(upgraded("2"), COUNTER + "\n")
    package = lead.extensions.export("counter", "1")
    return Package(manifest=package.manifest, source=package.source, signature=signed).data()


async def test_a_file_is_the_same_version_with_its_signature_elsewhere(
    runtime: LocalRuntime,
) -> None:
    data = await run(runtime, exported, consent=approve)

    async def story(lead: Lead) -> None:
        ours = lead.extensions
        proposal = await ours.install(Package.of(data))
        assert (proposal.signer, proposal.state) == ("vendor", "active")
        assert await ours.call("counter", "count", word="x") == 1
        assert ours.export("counter").data() == data

    async with MemoryRuntime() as other:
        await run(other, story, consent=approve, keys={"vendor": KEY})


async def test_a_file_that_was_changed_on_its_way_is_signed_by_nobody(
    runtime: LocalRuntime,
) -> None:
    data = (await run(runtime, exported, consent=approve)).replace(b"+ 1", b"+ 2")

    async def story(lead: Lead) -> None:
        with pytest.raises(BadSignature):
            await lead.extensions.install(Package.of(data))
        assert lead.extensions.versions("counter") == []

    async with MemoryRuntime() as other:
        await run(other, story, consent=approve, keys={"vendor": KEY})


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'{"format": 2}', b'{"manifest": {}, "source": ""}', b" " * (1 << 21)],
)
async def test_what_is_no_package_is_refused(data: bytes) -> None:
    with pytest.raises(BadManifest):
        Package.of(data)


async def test_data_that_is_kept_goes_to_the_next_version_and_who_decides_sees_it(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        await ours.propose(MANIFEST, COUNTER)
        await ours.approve("counter", "1")
        await ours.call("counter", "count", word="x")
        await ours.remove("counter", keep_data=True)
        with pytest.raises(NoSuchExtension):
            await ours.call("counter", "count", word="x")
        proposal = await ours.propose(upgraded("2"), COUNTER)
        assert "+ data: none -> what was kept of it" in [str(one) for one in proposal.changes]
        await ours.approve("counter", "2")
        assert await ours.call("counter", "count", word="x") == 2
        await ours.remove("counter", keep_data=True)
        await ours.remove("counter")
        assert lead.facets.list() == []

    await run(runtime, story, consent=ask)


async def test_an_exclusive_event_is_heard_by_one_extension(runtime: LocalRuntime) -> None:
    def hearing(name: str, version: str = "1") -> dict[str, Any]:
        return {"name": name, "version": version, "hooks": [{"event": "said"}]}

    source = SOURCE.replace("BODY", "return text + '!'")

    async def story(lead: Lead) -> None:
        ours = lead.extensions
        for name in ("a", "b"):
            assert (await ours.propose(hearing(name), source)).state == "pending"
        assert (await ours.approve("a", "1")).state == "active"
        late = await ours.approve("b", "1")
        assert (late.state, late.problems) == (
            "failed",
            ("a hears 'said' already, and only one may",),
        )
        assert (await ours.propose(hearing("c"), source)).state == "refused"
        assert (await ours.propose(hearing("a", "2"), source)).state == "pending"
        assert await ours.emit("said", "hello") == "hello!"

    await run(runtime, story, consent=ask, exclusive={"said"})
