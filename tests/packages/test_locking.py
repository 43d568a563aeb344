"""Requirements become a lock: which versions, from where, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from facets import packages
from facets.errors import (
    BadLock,
    BadRequirement,
    BadWheel,
    HashMismatch,
    IndexFailed,
    NoSuchPackage,
    NotPure,
    PackagesTooLarge,
    RequirementsConflict,
)
from facets.packages import Lock, Pin, limits, lock
from tests.packages.conftest import forget
from tests.packages.kit import Server, wheel

pytestmark = pytest.mark.usefixtures("machine")
COMPILED = "cp314-cp314-manylinux_2_17_x86_64"


async def versions(*requirements: str, **options: Any) -> dict[str, str]:
    return {one.name: one.version for one in (await lock(requirements, **options)).pins}


async def test_the_newest_versions_that_fit_together_are_locked(server: Server) -> None:
    server.add("top", requires=["left", "right>=1"])
    server.add("left", "1.0", requires=["right<3"])
    for version in ("1.0", "2.0", "2.5", "3.0", "4.0.dev1"):
        made = server.add("right", version)
    assert made

    assert await versions("top") == {"top": "1.0", "left": "1.0", "right": "2.5"}


async def test_a_lock_has_the_hash_and_the_place_of_each_wheel(server: Server) -> None:
    made = server.add("pack")
    (pin,) = (await lock(["Pack"])).pins
    assert pin == Pin(
        "pack",
        "1.0",
        f"http://{server.host}/files/pack-1.0-py3-none-any.whl",
        hashlib.sha256(made).hexdigest(),
        "pack-1.0-py3-none-any.whl",
    )


async def test_extras_and_markers_decide_what_is_needed(server: Server) -> None:
    requires = [
        "always", 'never; sys_platform == "linux"', 'inside; sys_platform == "wasi"',
        'more; extra == "big"', 'old; python_version < "3.14"',
    ]  # fmt: skip
    server.add("top", requires=requires)
    for name in ("always", "inside", "more"):
        server.add(name)

    assert sorted(await versions("top")) == ["always", "inside", "top"]
    assert sorted(await versions("top[big]>=1")) == ["always", "inside", "more", "top"]
    assert await versions('nothing; sys_platform == "win32"') == {}


async def test_extras_and_version_limits_from_two_sides_agree(server: Server) -> None:
    server.add("top", "1.0", requires=['more; extra == "big"'])
    server.add("top", "2.0", requires=['more; extra == "big"'])
    server.add("more")
    server.add("other", requires=["top<2"])

    assert (await versions("top[big]", "other"))["top"] == "1.0"


async def test_a_release_for_another_python_is_not_a_candidate(server: Server) -> None:
    server.add("pack", "1.0")
    server.add("pack", "2.0", **{"requires-python": ">=3.15"})
    server.add("pack", "1.5", **{"requires-python": "not a version"})

    assert await versions("pack") == {"pack": "1.5"}


async def test_a_yanked_release_is_taken_only_where_it_is_named(server: Server) -> None:
    server.add("pack", "1.0")
    server.add("pack", "2.0", yanked="broken")

    assert await versions("pack") == {"pack": "1.0"}
    assert await versions("pack==2.0") == {"pack": "2.0"}


async def test_the_most_special_pure_wheel_is_taken(server: Server) -> None:
    server.add("pack", tag="py2.py3-none-any")
    server.add("pack", tag="py314-none-any")
    server.add("pack", tag=COMPILED)

    assert (await lock(["pack"])).pins[0].filename == "pack-1.0-py314-none-any.whl"


# -- what cannot run inside ----------------------------------------------------------------------


async def test_a_package_without_a_pure_wheel_is_refused_with_who_wants_it(
    server: Server,
) -> None:
    server.add("top", requires=["middle"])
    server.add("middle", "1.1", requires=["native"])
    server.add("native", "2.0", tag=COMPILED)
    server.add_source("native", "2.0")
    server.add("native", "1.0")
    with pytest.raises(NotPure, match=r"native==2.0 cannot run .* required by middle==1.1") as said:
        await lock(["top"])

    assert said.value.required_by == ("top==1.0", "middle==1.1")
    assert said.value.offered == ("an sdist", "1 wheel of other platforms")
    assert pickle.loads(pickle.dumps(said.value)).version == "2.0"


async def test_an_older_pure_version_is_not_taken_for_a_newer_one(server: Server) -> None:
    server.add("pack", "1.0")
    server.add_source("pack", "2.0")
    with pytest.raises(NotPure, match="only an sdist"):
        await lock(["pack"])

    assert await versions("pack<2") == {"pack": "1.0"}


async def test_a_version_that_cannot_run_and_is_not_chosen_does_no_harm(server: Server) -> None:
    server.add("alpha", "2.0", tag=COMPILED)
    server.add("alpha", "1.0")
    server.add("omega", requires=["alpha<2"])

    assert (await versions("alpha", "omega"))["alpha"] == "1.0"


async def test_a_package_with_a_python_twin_comes_without_its_compiled_files(
    server: Server,
) -> None:
    files = {"markupsafe/__init__.py": "", "markupsafe/_speedups.so": "\x7fELF"}
    made = wheel("markupsafe", files=files)
    server.add("markupsafe", tag="cp314-cp314-manylinux2014_x86_64", content=made)
    server.add("markupsafe", tag="cp314-cp314t-manylinux2014_x86_64", content=made)
    found = await lock(["markupsafe"])

    assert found.pins[0].stripped
    assert "cp314-cp314-" in found.pins[0].filename


async def test_machine_code_in_a_wheel_called_pure_is_refused(server: Server) -> None:
    server.add("pack", content=wheel("pack", files={"pack/x.so": b"\x7fELF"}))
    with pytest.raises(BadWheel, match="is machine code"):
        await lock(["pack"])


# -- what is not there ---------------------------------------------------------------------------


async def test_a_package_that_the_index_does_not_have_is_named(server: Server) -> None:
    server.add("top", requires=["missing>=2"])
    with pytest.raises(NoSuchPackage, match=r"no package 'missing', required by top==1\.0"):
        await lock(["top"])
    with pytest.raises(LookupError, match=r"no version of top .* newest is 1\.0"):
        await lock(["top>5"])


async def test_requirements_that_exclude_each_other_are_listed(server: Server) -> None:
    server.add("left", requires=["base<2"])
    server.add("right", requires=["base>=2"])
    server.add("base", "1.0")
    server.add("base", "2.0")
    with pytest.raises(RequirementsConflict) as caught:
        await lock(["left", "right"])

    assert sorted(caught.value.conflict) == [
        "base<2 (required by left==1.0)",
        "base>=2 (required by right==1.0)",
    ]


@pytest.mark.parametrize(
    "text", ["", "a b", "pack @ https://example.org/x.whl", "./pack", "npm:left-pad", "-r x"]
)
async def test_what_is_not_a_name_and_a_version_is_not_a_requirement(text: str) -> None:
    with pytest.raises(BadRequirement):
        await lock([text])


async def test_a_place_that_a_package_names_is_refused(server: Server) -> None:
    server.add("top", requires=["pack @ https://example.org/pack.whl"])
    with pytest.raises(BadRequirement, match=r"required by top==1\.0"):
        await lock(["top"])


async def test_a_text_is_not_a_list_of_requirements() -> None:
    with pytest.raises(TypeError, match="write"):
        await lock("humanize")


# -- hashes and the cache --------------------------------------------------------------------------


async def test_what_was_locked_needs_no_index_until_it_is_refreshed(server: Server) -> None:
    server.add("pack", "1.0")
    first = await lock(["pack>=0.5"])
    server.add("pack", "2.0")
    server.asked.clear()
    forget()

    assert await lock(["Pack >= 0.5", "pack>=0.5"]) == first
    assert server.asked == []
    assert (await lock(["pack>=0.5"], refresh=True)).pins[0].version == "2.0"
    forget()
    assert await versions("pack>=0.5") == {"pack": "2.0"}


async def test_a_wheel_is_fetched_once_for_all_that_need_it(server: Server) -> None:
    server.add("pack")
    found = await asyncio.gather(*[lock(["pack"]) for _ in range(5)])
    await asyncio.gather(*[packages.locking.load(one) for one in found])

    assert server.asked == ["/simple/pack/", "/files/pack-1.0-py3-none-any.whl"]


async def test_metadata_is_read_without_the_wheel_where_the_index_has_it(server: Server) -> None:
    server.add("top", requires=["pack"], separate=True)
    server.add("pack", separate=True)

    assert sorted(await versions("top")) == ["pack", "top"]
    assert [path for path in server.asked if path.endswith(".whl")] == []
    server.content["/files/pack-1.0-py3-none-any.whl.metadata"] += b"Requires-Dist: evil\n"
    with pytest.raises(HashMismatch, match="metadata"):
        await lock(["top"], refresh=True)


async def test_content_that_is_not_what_the_index_says_is_refused(server: Server) -> None:
    server.add("pack")
    server.content["/files/pack-1.0-py3-none-any.whl"] = wheel("pack", files={"pack.py": "evil"})
    with pytest.raises(HashMismatch):
        await lock(["pack"])


async def test_content_that_is_not_what_the_lock_says_is_refused(
    server: Server, tmp_path: Path
) -> None:
    server.add("pack")
    found = await lock(["pack"])
    (kept,) = (tmp_path / "packages/wheels").iterdir()
    kept.write_bytes(b"changed")
    server.content["/files/pack-1.0-py3-none-any.whl"] = wheel("pack", files={"pack.py": "evil"})
    with pytest.raises(HashMismatch):
        await packages.locking.load(found)
    assert not kept.exists()


async def test_a_changed_file_of_the_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.add("pack")
    found = await lock(["pack"])
    (kept,) = (tmp_path / "packages/wheels").iterdir()
    good = kept.read_bytes()
    kept.write_bytes(good[:-1])
    await packages.locking.load(found)

    assert kept.read_bytes() == good


async def test_a_lock_in_the_cache_that_makes_no_sense_is_made_again(
    server: Server, tmp_path: Path
) -> None:
    server.add("pack")
    found = await lock(["pack"])
    (kept,) = (tmp_path / "packages/locks").iterdir()
    for text in ("", "{}", kept.read_text().replace("pack-1.0", "../pack-1.0")):
        kept.write_text(text)
        forget()
        assert await lock(["pack"]) == found


async def test_a_wheel_larger_than_the_limit_is_not_read_to_its_end(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("pack")
    monkeypatch.setattr(limits, "ARCHIVE", 100)
    with pytest.raises(PackagesTooLarge, match="larger than 100 bytes"):
        await lock(["pack"])


async def test_all_packages_together_have_a_limit(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        server.add(name, files={f"{name}.py": "x" * 3000})
    found = await lock(["one", "two"])
    monkeypatch.setattr(limits, "UNPACKED", 5000)
    with pytest.raises(PackagesTooLarge, match="5000 bytes of all packages"):
        await packages.locking.load(found)
    monkeypatch.setattr(limits, "PINNED", 1)
    with pytest.raises(PackagesTooLarge, match="1 packages"):
        await lock(["one", "two"], refresh=True)


async def test_a_package_cannot_bring_a_module_of_the_runtime(server: Server) -> None:
    server.add("pack", files={"facets/__init__.py": ""})
    found = await lock(["pack"])
    with pytest.raises(BadWheel, match="'facets' has a name that belongs to the runtime"):
        await packages.locking.load(found)


# -- the index ------------------------------------------------------------------------------------


async def test_an_index_that_speaks_html_is_understood(server: Server) -> None:
    server.as_html = True
    server.add("pack", "1.0", **{"requires-python": ">=3.8"})
    server.add("pack", "2.0", yanked=True)
    server.add("pack", "3.0", **{"requires-python": ">=3.15"})

    assert await versions("pack") == {"pack": "1.0"}


@pytest.mark.parametrize(
    "answer",
    [
        (200, "application/vnd.pypi.simple.v1+json", b"{"),
        (200, "application/vnd.pypi.simple.v1+json", b'{"meta":{"api-version":"2.0"},"files":[]}'),
        (200, "text/html", b"\xff\xfe"),
        (500, "text/html", b""),
        (403, "text/html", b""),
    ],
)
async def test_nonsense_from_an_index_is_an_error_of_the_index(
    server: Server, answer: tuple[int, str, bytes]
) -> None:
    server.pages["/simple/pack/"] = answer
    with pytest.raises(IndexFailed):
        await lock(["pack"])


async def test_an_index_that_does_not_answer_is_an_error_of_the_index(server: Server) -> None:
    index = packages.Index("http://127.0.0.1:9/simple")
    with pytest.raises(ConnectionError, match="cannot be had"):
        await lock(["pack"], index=index)


async def test_a_password_goes_to_the_index_and_into_nothing_that_is_kept(
    server: Server, tmp_path: Path
) -> None:
    server.add("pack")
    index = packages.Index(f"http://me:secret@{server.host}/simple")
    found = await lock(["pack"], index=index)

    assert all(server.authorized)
    assert "secret" not in found.dump() + index.url
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"secret" in p.read_bytes()]
    with pytest.raises(NoSuchPackage) as caught:
        await lock(["nothing"], index=index)
    assert "secret" not in str(caught.value)


async def test_a_password_does_not_go_to_another_host(server: Server) -> None:
    other = Server()
    try:
        made = server.add("pack")
        name = "pack-1.0-py3-none-any.whl"
        other.content[f"/files/{name}"] = made
        server.files["pack"][name]["url"] = f"http://{other.host}/files/{name}"
        await lock(["pack"], index=packages.Index(f"http://me:secret@{server.host}/simple"))
        assert other.authorized == [None]
    finally:
        other.close()


async def test_files_of_other_schemes_are_not_there(server: Server) -> None:
    server.add("pack")
    for one in server.files["pack"].values():
        one["url"] = "file:///etc/passwd"
    with pytest.raises(NoSuchPackage):
        await lock(["pack"])


def test_the_index_is_the_one_that_pip_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://u:p@one.example/simple")
    assert packages.Index().url == "https://one.example/simple/"
    monkeypatch.delenv("PIP_INDEX_URL")
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex_url = https://two.example/a%20b\ncert = /x\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert packages.Index().url == "https://two.example/a%20b/"
    assert packages.Index("https://three.example").url == "https://three.example/"
    with pytest.raises(ValueError, match="not the url of an index"):
        packages.Index("ftp://me:secret@host/")


# -- locks as values ------------------------------------------------------------------------------


async def test_a_lock_survives_as_text_and_as_a_pickle(server: Server) -> None:
    server.add("pack", requires=["more"])
    server.add("more")
    found = await lock(["pack"])

    assert Lock.parse(found.dump()) == found == pickle.loads(pickle.dumps(found))
    assert Lock.parse(found.dump()).pins == found.pins
    assert json.loads(found.dump())["requirements"] == ["pack"]
    assert Lock.parse(Lock().dump()) == Lock() != found


PIN = {
    "name": "pack", "version": "1.0", "url": "https://x/pack.whl", "sha256": "a" * 64,
    "filename": "pack-1.0-py3-none-any.whl", "stripped": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "../x"}, {"sha256": "../../etc/passwd"}, {"sha256": "A" * 64},
        {"filename": "a/b.whl"}, {"filename": "x.tar.gz"}, {"stripped": 1}, {"version": None},
        {"extra": 1},
    ],
)  # fmt: skip
def test_a_text_that_no_lock_prints_as_is_not_parsed(changed: dict[str, Any]) -> None:
    said = {"version": 1, "requirements": [], "packages": [PIN]}
    assert Lock.parse(json.dumps(said)).pins[0].name == "pack"
    with pytest.raises(BadLock):
        Lock.parse(json.dumps(said | {"packages": [PIN | changed]}))
    with pytest.raises(BadLock, match="version 2"):
        Lock.parse(json.dumps(said | {"version": 2}))
    with pytest.raises(BadLock, match="each once"):
        Lock.parse(json.dumps(said | {"packages": [PIN, PIN]}))


def test_without_the_extra_the_error_says_what_to_install() -> None:
    program = """
import asyncio, sys
for name in ("packaging", "resolvelib"):
    sys.modules[name] = None
import facets
assert "httpx" not in sys.modules
try:
    asyncio.run(facets.packages.lock(["x"]))
except facets.errors.PackagesUnavailable as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "packaging, resolvelib" in said
    assert "pip install 'facets-runtime[packages]'" in said
