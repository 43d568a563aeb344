"""Builds the guest when a wheel is made, or the project installed in place."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Makes `python.wasm` if it is missing or its sources changed; the wheel takes it along."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel's files are collected; `version` is "standard" or "editable"."""
        del version
        # By path: the build environment has hatchling and componentize-py, not this project.
        spec = importlib.util.spec_from_file_location(
            "guest_build", Path(__file__).with_name("build.py")
        )
        if spec is None or spec.loader is None:
            raise ImportError("build.py is missing beside the build hook")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.app.display_info("building the Python guest (about 20 s the first time)")
        wasm: Path = module.build()
        build_data["artifacts"].append(wasm.relative_to(self.root).as_posix())
