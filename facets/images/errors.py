"""Errors of images.

FacetsError
└── ImageError
    ├── ImageMissing         nothing was built under that name on this machine (LookupError)
    ├── BuildFailed          the packages could not be imported, or not in time
    └── BuilderUnavailable   the extra that builds images is not installed (ImportError)
"""

from __future__ import annotations

from storage.errors import FacetsError


class ImageError(FacetsError):
    """Something about an image."""


class ImageMissing(ImageError, LookupError):
    """No image of that name, or one made for another version of the guest. Field: `name`."""


class BuildFailed(ImageError):
    """A module did not import while the image was built. Fields: `name`; `output`, its end."""

    output: str = ""


class BuilderUnavailable(ImageError, ImportError):
    """What builds images is not installed, or another version of it."""

    hint = "pip install 'facets-runtime[images]'"
