"""How much memory a guest begins with."""

from __future__ import annotations

from facets.isolates.guest.flat.binary import sections, unsigned

PAGE = 1 << 16
_CORE_MODULE, _MEMORY = 1, 5


def initial(component: bytes) -> int:
    """Bytes of the first memory that a module of the component defines; 0 if there is none."""
    for section, start, end in sections(component, 8, len(component)):
        if section == _CORE_MODULE:
            for inner, at, _ in sections(component, start + 8, end):
                if inner == _MEMORY:
                    pages, _ = unsigned(component, unsigned(component, at)[1] + 1)
                    return pages * PAGE
    return 0
