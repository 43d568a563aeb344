"""An extension as one file: manifest, source and signature.

    {"format": 1, "manifest": {...}, "source": "...", "signature": "base64, or nothing"}

JSON, so that whoever is asked can read it. A signature is of the hash of manifest and source: a
file that was changed on its way is signed by nobody.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from facets.extensions.checking import SOURCE
from facets.extensions.errors import BadManifest
from facets.extensions.manifest import Manifest, manifest_of

SIZE = 4 * SOURCE
"""Bytes of a file that are read at most."""


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One version of an extension, on its way from one actor to another.

    file.write_bytes(extensions.export("words").data())
    await other.install(Package.of(file.read_bytes()))
    """

    format: Literal[1] = 1
    manifest: Manifest
    source: str
    signature: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> Package:
        """The package in this file; `BadManifest` if it is none."""
        try:
            if len(data) > SIZE:
                raise ValueError(f"the package has more than {SIZE} bytes")
            found = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, ValueError) as error:
            _, _, path = str(error).partition(" - at ")
            raise BadManifest(f"no package: {error}", path=path.strip("`")) from error
        manifest_of(found.manifest)
        return found

    def data(self) -> bytes:
        """The file."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=1)
