"""The format file: a directory is ours, and of this version."""

from __future__ import annotations

from collections.abc import Callable

from storage.catalogue import first_image
from storage.disk import Disk
from storage.errors import StateFormat
from storage.layout import Layout

FORMAT = "facets state 3\n"
FILLING = "filling"
"""There while a new directory is filled: databases without a format are to be expected."""
_OURS = {
    "lock", "catalogue.db", "db", "journal", "format.new", "staging", "history", "objects",
    "lost+found", FILLING,
}  # fmt: skip
Fill = Callable[[Layout, Disk], bool]


def check_format(layout: Layout, disk: Disk, fill: Fill | None = None) -> None:
    """Make an empty directory ours; refuse one that is not.

    `fill` may put databases into a new directory, and says whether it did.
    """
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
        # Who wrote it may have been killed before its name was durable.
        disk.sync_directory(layout.root)
    else:
        _refuse_foreign(layout)
        _initialise(layout, disk, fill)


def _refuse_foreign(layout: Layout) -> None:
    others = {one.name for one in layout.root.iterdir()} - _OURS
    folders = [one for one in (layout.databases, layout.journal) if one.exists()]
    used = any(any(one.iterdir()) for one in folders)
    if others or (used and not (layout.root / FILLING).exists()):
        raise StateFormat(
            f"{layout.root} is not empty and not a state directory",
            hint="choose a new or empty directory",
            path=str(layout.root),
            found=", ".join(sorted(others)[:5]),
        )


def _initialise(layout: Layout, disk: Disk, fill: Fill | None) -> None:
    """Lay out a new directory; the format file comes last and says that all is there."""
    root = layout.root
    layout.databases.mkdir(exist_ok=True)
    layout.journal.mkdir(exist_ok=True)
    filling = root / FILLING
    disk.write_file(filling, b"", sync=True)
    disk.sync_directory(root)
    if fill is None or not fill(layout, disk):
        disk.write_file(layout.path(0), first_image(), sync=True)
    new = root / "format.new"
    disk.write_file(new, FORMAT.encode(), sync=True)
    disk.sync_directory(root)
    disk.rename(new, root / "format")
    disk.unlink(filling)
    disk.sync_directory(root)
    disk.sync_directory(root.parent)
