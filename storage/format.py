"""The format file: a directory is ours, and of this version."""

from __future__ import annotations

import shutil

from storage.catalogue import first_image
from storage.disk import Disk
from storage.errors import StateFormat
from storage.layout import Layout

FORMAT = "facets state 2\n"
_OURS = {"lock", "catalogue.db", "db", "journal", "format.new", "staging", "history", "objects"}


def check_format(layout: Layout, disk: Disk) -> None:
    """Make an empty directory ours; refuse one that is not. Staging is emptied."""
    path = layout.root / "format"
    if path.exists():
        found = path.read_text(errors="replace")
        if found != FORMAT:
            raise StateFormat(
                f"{layout.root} holds {found.strip()[:100]!r}, "
                f"this version reads {FORMAT.strip()!r}",
                path=str(layout.root),
                found=found,
            )
    else:
        _refuse_foreign(layout)
        _initialise(layout, disk)
    shutil.rmtree(layout.staging, ignore_errors=True)


def _refuse_foreign(layout: Layout) -> None:
    others = {one.name for one in layout.root.iterdir()} - _OURS
    used = [one for one in (layout.databases, layout.journal) if one.exists()]
    if others or any(any(one.iterdir()) for one in used):
        raise StateFormat(
            f"{layout.root} is not empty and not a state directory",
            hint="choose a new or empty directory",
            path=str(layout.root),
            found=", ".join(sorted(others)[:5]),
        )


def _initialise(layout: Layout, disk: Disk) -> None:
    """Lay out a new directory; the format file comes last and says that all is there."""
    root = layout.root
    layout.databases.mkdir(exist_ok=True)
    layout.journal.mkdir(exist_ok=True)
    disk.write_file(layout.path(0), first_image(), sync=True)
    new = root / "format.new"
    disk.write_file(new, FORMAT.encode(), sync=True)
    disk.sync_directory(root)
    disk.rename(new, root / "format")
    disk.sync_directory(root)
    disk.sync_directory(root.parent)
