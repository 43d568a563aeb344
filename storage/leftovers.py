"""Files that a crash left without anybody to name them.

A graft gives its files their final names before the record that says that they count. So it first
writes which: `staging/graft-RANDOM.names`, a path a line, relative to the directory. The note goes
when the record is durable, or when the graft was called off. An opening removes what notes name and
the catalogue does not, and then everything in `staging`. A note is not synced: if a power loss
takes it, `facets doctor --repair` moves aside what it named.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage.disk import Disk
from storage.layout import Layout, remove

if TYPE_CHECKING:
    from storage.store import Store

_FILE = re.compile(r"db/[0-9a-f]{2}/([0-9]+)(?:\.([0-9]+))?\.db")


def note(disk: Disk, layout: Layout, paths: Sequence[Path]) -> Path:
    """Write down that these files are about to get their names; the note."""
    path = layout.staging / f"graft-{secrets.token_hex(8)}.names"
    names = "".join(f"{one.relative_to(layout.root)}\n" for one in paths)
    disk.write_file(path, names.encode(), sync=False)
    return path


def clear(store: Store) -> None:
    """Remove what earlier processes left. For an opening: the journal is recovered, and nothing
    else goes on yet."""
    layout = store.layout
    for one in layout.staging.glob("graft-*.names"):
        for name in one.read_text(errors="replace").splitlines():
            found = _FILE.fullmatch(name)
            if found is not None and not _counts(store, int(found[1]), int(found[2] or 1)):
                with contextlib.suppress(OSError):  # it takes room, and that is all
                    remove(store.disk, layout.path(int(found[1]), int(found[2] or 1)))
    shutil.rmtree(layout.staging, ignore_errors=True)


def _counts(store: Store, uid: int, generation: int) -> bool:
    try:
        row = store.catalogue.row(uid)
    except LookupError:
        return False
    return bool(row.file) and row.generation == generation
