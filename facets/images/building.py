"""Building an image: the guest with packages in it, imported before its snapshot is taken.

What the packages do when they are imported, they do while the image is built, inside WebAssembly
and without a network; every isolate of the image begins with what they left. So an image trusts
its packages as far as a program trusts what it imports, and no further: it is still a sandbox.
What they drew at random or took from a clock then is the same in every isolate.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from facets.images import names
from facets.images.errors import BuilderUnavailable, BuildFailed
from facets.images.names import Built
from facets.isolates import native, sweeping
from facets.isolates.folder import replace as put
from facets.isolates.guest import build as guest
from facets.packages import locking
from facets.packages.bundle import Bundle
from facets.packages.errors import BadLock
from facets.packages.pins import Lock

SECONDS = 300.0
"""How long a build may take; without packages it takes about 20."""
LONGEST = 4000
"""Characters of a failed build's output that its error carries."""


async def build(
    name: str, *, packages: Sequence[str] | Lock = (), modules: Iterable[str] = ()
) -> Built:
    """Build an image, for isolates with `image=name`; returns at once if it is there already.

    Takes 20 s and more, and 10-20 s to compile, once for the same packages on a machine. Runs in
    a process of its own; if the caller is cancelled it goes on, and the next call finds it done.

    name: lower-case letters, digits, `-` and `_`. A name can be built again with other packages.
    packages: requirements, or a `packages.Lock`. Their top modules are imported if they can be.
    modules: what else is to be imported; a build in which one of these fails is no image.

    Raises BuildFailed, BuilderUnavailable, and what `packages.lock` does.
    """
    lock = packages if isinstance(packages, Lock) else await locking.lock(packages)
    bundle = await locking.load(lock)
    if not isinstance(bundle, Bundle):
        raise BadLock("this is a lock of packages for JavaScript, and images run Python")
    wanted = tuple(sorted(set(modules)))
    return await locking.on_thread(
        lambda: _build(Built(name, _key(lock, wanted), lock, wanted, 0), bundle)
    )


def _key(lock: Lock, modules: tuple[str, ...]) -> str:
    content = [names.guest_hash(), lock.hash, modules]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _build(wanted: Built, bundle: Bundle) -> Built:
    from facets.isolates import image

    with native.locked(wanted.path, lambda _phase, _seconds: None):
        if not wanted.path.exists():
            _check_builder()
            put(wanted.path, _baked(wanted, bundle))
            sweeping.sweep(wanted.path, wanted.path.parent.glob("*.wasm"), sweeping.IMAGES)
        sweeping.use(wanted.path)
    built = replace(wanted, memory=image.load(wanted.path).smallest)
    names.keep(built)
    return built


def _check_builder() -> None:
    project, _, wanted = guest.BUILDER.partition("==")
    try:
        found = version(project)
    except PackageNotFoundError:
        raise BuilderUnavailable(f"images need {guest.BUILDER}") from None
    if found != wanted:
        raise BuilderUnavailable(f"images need {guest.BUILDER}, and there is {found}")


def _baked(built: Built, bundle: Bundle) -> bytes:
    with tempfile.TemporaryDirectory(prefix="facets-image-") as made:
        folder, wasm = Path(made) / "baked", Path(made) / "guest.wasm"
        _lay_out(folder, built, bundle)
        try:
            guest.bake(wasm, folder, SECONDS)
        except (RuntimeError, TimeoutError, ValueError) as error:
            raise _failed(built, str(error)) from None
        return wasm.read_bytes()


def _failed(built: Built, said: str) -> BuildFailed:
    """The builder prints the traceback inside, the exception as the cause, and its own stack."""
    said = said.partition("\nStack backtrace:")[0].strip()
    last = said.rpartition("\n")[2].strip()
    return BuildFailed(
        f"image {built.name!r} cannot be built: {last[:300]}",
        hint="what the build printed is in `output`",
        name=built.name,
        output=said[-LONGEST:],
    )


def _lay_out(folder: Path, built: Built, bundle: Bundle) -> None:
    """Write what the guest takes in while it is built."""
    for path, content in bundle.tree.files.items():
        target = folder / "files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "files").mkdir(parents=True, exist_ok=True)
    names = {"must": built.modules, "may": sorted(bundle.tree.tops)}
    (folder / "modules.json").write_text(json.dumps(names))
