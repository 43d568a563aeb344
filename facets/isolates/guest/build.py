"""Builds the Python guest. Imports nothing of the project: the build hook loads this file alone.

    python facets/isolates/guest/build.py

`python.wasm` is rebuilt when it is missing or when the hash of its sources and of the builder's
version differs from the one at its end, in a custom section. The version is written here, not
asked of the environment: whoever only wants to know whether the guest is current need not have
the builder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WASM = HERE / "python.wasm"
BUILDER = "componentize-py==0.25.1"
"""What builds it; the same line stands in pyproject.toml's build requirements."""
_SECTION = b"facets-sources"


def sources_hash() -> str:
    """What the guest is made of: its sources, its interface, and the builder's version."""
    digest = hashlib.sha256(BUILDER.encode())
    made_of = [HERE / "isolate.wit", HERE / "immortal.py"]
    for folder in ("flat", "app"):
        made_of += sorted((HERE / folder).rglob("*.py"))
    for path in made_of:
        digest.update(f"\0{path.relative_to(HERE).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Whether `python.wasm` was made from the sources as they are now."""
    if not WASM.exists():
        return False
    stamp = _stamp()
    with WASM.open("rb") as file:
        file.seek(-len(stamp), os.SEEK_END)
        return file.read() == stamp


def _stamp() -> bytes:
    """A custom section (id 0, size, name, content) that says what the guest was made from."""
    content = bytes([len(_SECTION)]) + _SECTION + sources_hash().encode()
    return bytes([0, len(content)]) + content


def build() -> Path:
    """Make `python.wasm` if it is missing or its sources changed; where it is. Takes about 10 s."""
    if not is_current():
        stamp = _stamp()
        with tempfile.TemporaryDirectory(dir=HERE) as folder:
            made = Path(folder) / "python.wasm"
            _componentize(made)
            with made.open("ab") as file:
                file.write(stamp)
            made.replace(WASM)
    return WASM


def bake(made: Path, folder: Path, seconds: float) -> None:
    """Make a guest that has packages, at `made`; `baked.py` of the guest says what is in `folder`.

    Their modules run, inside WebAssembly. Raises RuntimeError with what was said if that fails,
    TimeoutError if it takes longer than `seconds`.
    """
    try:
        _componentize(made, folder, seconds)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"importing the packages takes more than {seconds} s") from None


def _componentize(made: Path, folder: Path | None = None, seconds: float | None = None) -> None:
    # In a process of its own: the builder takes 1 GB, and the package has no `__main__`.
    command = [sys.executable, "-c", "from componentize_py import script; script()"]
    command += ["-d", str(HERE / "isolate.wit"), "-w", "isolate"]
    command += ["componentize", "-p", str(HERE / "app"), *(["-p", str(folder)] if folder else [])]
    command += ["app", "-o", str(made)]
    done = subprocess.run(  # noqa: S603 - our own
        command, capture_output=True, text=True, check=False, timeout=seconds
    )
    if done.returncode:
        raise RuntimeError(f"componentize-py failed:\n{done.stdout}{done.stderr}")
    _beside("immortal").make_immortal(made)
    _beside("flat").flatten(made)


def _beside(name: str) -> Any:
    # By path, as this file is: the build environment does not have the package.
    path = HERE / name
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    spec = importlib.util.spec_from_file_location(f"guest_{name}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is missing beside build.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    build()
