"""From requirements to a lock: which versions, which archives, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from facets import packages
from facets.errors import (
    BadLock,
    BadRequirement,
    BadTarball,
    HashMismatch,
    IndexFailed,
    NoSuchPackage,
    NotPure,
    PackagesTooLarge,
    RequirementsConflict,
)
from facets.packages import Index, Lock, limits
from facets.packages.npm import npmrc
from tests.packages.conftest import forget
from tests.packages.npm.kit import Registry, tarball

pytestmark = pytest.mark.usefixtures("machine")


async def lock(*wanted: str, **options: Any) -> Lock:
    return await packages.lock(wanted, language="javascript", **options)


async def chosen(*wanted: str) -> list[str]:
    return [f"{one.name}@{one.version}" for one in (await lock(*wanted)).pins]


async def test_versions_are_chosen_as_npm_chooses_them(registry: Registry) -> None:
    for version in ("1.0.0", "1.2.0", "1.10.0", "2.0.0"):
        registry.publish("a", version)
    registry.publish("a", "3.0.0-beta.1", tag="next")
    registry.publish("old", "1.0.0")
    registry.publish("old", "1.1.0", said={"deprecated": "no more"})
    registry.publish("gone", "1.0.0", said={"deprecated": "no more"})

    assert await chosen("a") == ["a@2.0.0"]
    assert await chosen("a@^1.1") == ["a@1.10.0"]
    assert await chosen("a@1.2.x || 7") == ["a@1.2.0"]
    assert await chosen("a@next") == ["a@3.0.0-beta.1"]
    assert await chosen("a@*") == await chosen("a@>=1 <3") == ["a@2.0.0"]
    assert await chosen("old@^1") == await chosen("old") == ["old@1.0.0"]
    assert await chosen("gone") == ["gone@1.0.0"]


async def test_the_version_tagged_latest_comes_before_newer_ones(registry: Registry) -> None:
    registry.publish("a", "2.0.0", tag="next")
    registry.publish("a", "1.0.0")
    assert await chosen("a") == await chosen("a@>=1") == ["a@1.0.0"]
    assert await chosen("a@2") == ["a@2.0.0"]


async def test_dependencies_and_peers_come_along_and_optional_ones_do_not(
    registry: Registry,
) -> None:
    registry.publish("@scope/b", "1.5.0")
    registry.publish("peer")
    imports = "import '@scope/b'; import 'peer';"
    registry.publish(
        "a", files={"index.js": imports}, dependencies={"@scope/b": "^1", "native": "1"},
        optionalDependencies={"native": "1"}, peerDependencies={"peer": "*", "react": "*"},
        peerDependenciesMeta={"react": {"optional": True}},
    )  # fmt: skip
    assert await chosen("a") == ["@scope/b@1.5.0", "a@1.0.0", "peer@1.0.0"]


async def test_one_version_of_each_package_satisfies_everybody(registry: Registry) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        registry.publish("c", version)
    registry.publish("a", dependencies={"c": ">=1"})
    registry.publish("b", dependencies={"c": "1.0.0 - 1.1"})
    assert await chosen("a", "b") == ["a@1.0.0", "b@1.0.0", "c@1.1.0"]

    registry.publish("d", dependencies={"c": "^2"})
    with pytest.raises(RequirementsConflict) as caught:
        await lock("b", "d")
    assert sorted(caught.value.conflict) == [
        "c@1.0.0 - 1.1 (required by b@1.0.0)", "c@^2 (required by d@1.0.0)",
    ]  # fmt: skip


async def test_what_needs_node_is_refused_by_name_and_older_versions_are_not_tried(
    registry: Registry,
) -> None:
    registry.publish("deep", "1.0.0")
    registry.publish("deep", "1.1.0", {"index.js": "import './x.js'",
                                       "x.js": "import fs from 'node:fs';"})  # fmt: skip
    registry.publish("a", files={"index.js": "export * from 'deep';"}, dependencies={"deep": "^1"})

    with pytest.raises(NotPure) as caught:
        await lock("a")
    error = caught.value
    assert (error.name, error.version, error.required_by) == ("deep", "1.1.0", ("a@1.0.0",))
    assert "deep@1.1.0 cannot run in an isolate, required by a@1.0.0: deep/x.js: it imports" in (
        str(error)
    )
    assert "'node:fs'" in str(error)
    assert not any("deep-1.0.0.tgz" in path for path in registry.asked)


@pytest.mark.parametrize(
    ("files", "said", "why"),
    [
        ({"index.js": "var fs = require('fs')"}, {"type": "commonjs"}, "CommonJS"),
        ({"index.js": "export let a = ;"}, {}, "SyntaxError"),
        ({"index.js": "import './gone.js'"}, {}, "'./gone.js'"),
        ({"index.js": "import '../../out.js'"}, {}, "'../../out.js'"),
        ({"index.js": "import 'undeclared'"}, {}, "'undeclared'"),
        ({"index.js": "import '/etc/passwd'"}, {}, "'/etc/passwd'"),
        ({"index.js": "import 'https://example.org/a.js'"}, {}, "'https://example.org/a.js'"),
        ({"other.js": ""}, {}, "no main module"),
        ({"index.js": ""}, {"exports": {"require": "./index.js"}}, "no main module"),
        ({"index.js": "export default <div/>"}, {}, "SyntaxError"),
    ],
)
async def test_a_package_that_cannot_be_loaded_is_refused_with_the_reason(
    registry: Registry, files: dict[str, str], said: dict[str, Any], why: str
) -> None:
    registry.publish("pack", files=files, **said)
    with pytest.raises(NotPure, match=r"pack@1.0.0 cannot run in an isolate: ") as caught:
        await lock("pack")
    assert why in str(caught.value)


async def test_what_is_not_imported_does_not_matter(registry: Registry) -> None:
    registry.publish("types", files={"index.d.ts": ""}, main="")
    registry.publish(
        "a", files={"index.js": "export default 1", "cli.js": "import 'node:process'"},
        dependencies={"types": "*"},
    )  # fmt: skip
    assert await chosen("a") == ["a@1.0.0", "types@1.0.0"]


async def test_nothing_of_a_package_runs_when_it_is_locked(registry: Registry) -> None:
    scripts = {"preinstall": "touch /tmp/ran", "install": "exit 1", "postinstall": "exit 1"}
    forever = {"index.js": "import './b.js'; while (true);", "b.js": "for (;;);"}
    registry.publish("a", files=forever, scripts=scripts)
    assert await chosen("a") == ["a@1.0.0"]


async def test_what_is_locked_needs_no_network_again(registry: Registry) -> None:
    registry.publish("a")
    first = await lock("a")
    forget()
    asked = len(registry.asked)
    assert await lock("a") == first
    assert len(registry.asked) == asked

    registry.publish("a", "1.1.0")
    assert (await lock("a")).pins[0].version == "1.0.0"
    assert (await lock("a", refresh=True)).pins[0].version == "1.1.0"


async def test_a_lock_is_a_text_and_back(registry: Registry) -> None:
    registry.publish("@x/y.z", "1.0.0-rc.1+b")
    made = await lock("@x/y.z@1.0.0-rc.1")
    assert Lock.parse(made.dump()) == made
    assert made.pins[0].integrity.startswith("sha512-")
    assert made.language == "javascript"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("integrity", "sha512-short"), ("integrity", "sha1-" + "a" * 28), ("integrity", 3),
        ("filename", "../x.tgz"), ("name", "../x"), ("name", "a/b/c"), ("sha256", "0" * 64),
        ("stripped", True),
    ],
)  # fmt: skip
async def test_a_lock_that_says_something_else_is_none(
    registry: Registry, field: str, value: Any
) -> None:
    import json

    registry.publish("a")
    said = json.loads((await lock("a")).dump())
    said["packages"][0][field] = value
    with pytest.raises(BadLock):
        Lock.parse(json.dumps(said))


async def test_content_that_is_not_what_the_registry_says_is_refused(registry: Registry) -> None:
    registry.publish("a")
    registry.content["/a/-/a-1.0.0.tgz"] = tarball("a", files={"index.js": "evil()"})
    with pytest.raises(HashMismatch, match="sha512-"):
        await lock("a")


async def test_a_release_without_a_sha512_is_refused(registry: Registry) -> None:
    registry.publish("a")
    registry.packages["a"]["versions"]["1.0.0"]["dist"]["integrity"] = "sha1-AAAA"
    with pytest.raises(IndexFailed, match=r"SHA-512 of a@1.0.0"):
        await lock("a")


async def test_a_tarball_of_another_package_is_refused(registry: Registry) -> None:
    registry.publish("a", content=tarball("b"))
    with pytest.raises(BadTarball, match="it holds 'b'"):
        await lock("a")


@pytest.mark.parametrize(
    "text",
    [
        "", "a b", "a@npm:b@1", "a@git+ssh://x/y", "a@file:../x", "a@https://x/y.tgz", "../a",
        "@scope", "a/b", "a@1.2.3.4", "npm:a", "facets", "a@workspace:*", "a@user/repo",
    ],
)  # fmt: skip
async def test_only_names_and_ranges_can_be_asked_for(text: str) -> None:
    with pytest.raises(BadRequirement):
        await lock(text)


async def test_a_dependency_that_names_a_place_is_refused_with_who_wants_it(
    registry: Registry,
) -> None:
    registry.publish("a", dependencies={"b": "github:x/y"})
    with pytest.raises(BadRequirement, match=r"required by a@1.0.0") as caught:
        await lock("a")
    assert caught.value.required_by == "a@1.0.0"


async def test_packages_and_versions_that_are_not_there_are_named(registry: Registry) -> None:
    registry.publish("a", dependencies={"gone": "1"})
    with pytest.raises(NoSuchPackage, match=r"no package 'gone', required by a@1.0.0"):
        await lock("a")
    registry.publish("b", "1.0.0")
    with pytest.raises(NoSuchPackage, match=r"no version of b satisfies b@2 .*newest is 1.0.0"):
        await lock("b@2")


@pytest.mark.parametrize("page", [b"", b"[]", b'{"versions": 3}', b"\xff", b'{"dist-tags": []}'])
async def test_a_registry_that_answers_nonsense_has_failed(registry: Registry, page: bytes) -> None:
    registry.pages["/a"] = (200, "application/json", page)
    with pytest.raises(IndexFailed, match="nonsense"):
        await lock("a")


async def test_versions_that_make_no_sense_are_left_out(registry: Registry) -> None:
    registry.publish("a")
    versions = registry.packages["a"]["versions"]
    versions["2.0.0"] = {"dist": {"tarball": "file:///etc/passwd"}}
    versions["two"] = versions["1.0.0"]
    versions["3.0.0"] = {"dependencies": ["b"], "dist": 1}
    assert await chosen("a@>0") == ["a@1.0.0"]


async def test_too_many_packages_are_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PINNED", 2)
    registry.publish("b")
    registry.publish("a", dependencies={"b": "1"})
    assert len(await chosen("a")) == 2
    registry.publish("c", dependencies={"a": "1"})
    with pytest.raises(PackagesTooLarge):
        await lock("c")


async def test_credentials_go_to_the_registry_and_into_no_lock(registry: Registry) -> None:
    registry.publish("a")
    made = await lock("a", index=Index(f"http://me:secret@{registry.host}/"))
    assert registry.authorized == ["Basic bWU6c2VjcmV0"] * 2
    assert "secret" not in made.dump()


def test_the_registry_is_the_one_that_npm_is_configured_with(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("registry", "REGISTRY", "cafile", "prefix"):
        monkeypatch.delenv(f"npm_config_{name}", raising=False)
    user, machine = tmp_path / "user", tmp_path / "machine"
    monkeypatch.setenv("npm_config_userconfig", str(user))
    monkeypatch.setenv("npm_config_globalconfig", str(machine))
    assert npmrc.read() == (npmrc.DEFAULT, None)

    machine.write_text("registry = https://machine/\ncafile=/etc/ca.pem\n; registry=no\n")
    assert npmrc.read() == ("https://machine/", "/etc/ca.pem")
    monkeypatch.setenv("HOST", "user")
    user.write_text('//user/:_authToken=secret\nregistry="https://${HOST}/"\n')
    assert npmrc.read() == ("https://user/", "/etc/ca.pem")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://env/")
    assert npmrc.read()[0] == "https://env/"
