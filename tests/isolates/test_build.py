"""How the guest is built: once for its sources, by the same function everywhere."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facets.isolates import image
from facets.isolates.guest import build


def test_the_guest_is_current_after_it_was_built(guest: image.Image) -> None:
    assert build.is_current()


def test_the_builder_named_in_the_stamp_is_the_one_that_builds() -> None:
    project = tomllib.loads((Path(build.__file__).parents[3] / "pyproject.toml").read_text())

    assert build.BUILDER in project["build-system"]["requires"]


def test_a_changed_source_asks_for_a_new_guest(
    guest: image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(build, "sources_hash", lambda: "0" * 64)
    monkeypatch.setattr(build, "_componentize", lambda path: (made.append(path), path.touch()))
    target = build.HERE / "test.wasm"
    monkeypatch.setattr(build, "WASM", target)
    try:
        assert not build.is_current()
        assert build.build() == target
        assert build.is_current()
        build.build()
    finally:
        target.unlink(missing_ok=True)

    assert len(made) == 1


def test_the_build_hook_adds_the_guest_to_the_wheel(
    guest: image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = pytest.importorskip("facets.isolates.guest.hatch_hook")
    root = Path(build.__file__).parents[3]
    builder: Any = SimpleNamespace(display_info=lambda text: None)
    made = hook.CustomBuildHook(str(root), {}, None, None, str(root), "wheel", builder)
    data: dict[str, Any] = {"artifacts": []}

    made.initialize("standard", data)

    assert data == {"artifacts": ["facets/isolates/guest/python.wasm"]}
