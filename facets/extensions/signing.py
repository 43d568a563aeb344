"""Who vouches for an extension: keys that check a signature of its hash."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Protocol

from facets.extensions.errors import BadSignature


class Key(Protocol):
    """Checks signatures."""

    def verify(self, digest: str, signature: bytes) -> bool:
        """Whether this is the signature of that hash (`Manifest.hash`) by this key."""
        ...


class SharedKey:
    """HMAC-SHA-256 with a secret that signer and host both have; 16 bytes at least."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("a shared key has 16 bytes at least")
        self._secret = secret

    def sign(self, digest: str) -> bytes:
        """The signature of a hash."""
        return hmac.digest(self._secret, digest.encode(), "sha256")

    def verify(self, digest: str, signature: bytes) -> bool:
        """In the same time whatever differs."""
        return hmac.compare_digest(self.sign(digest), signature)


class PublicKey:
    """Ed25519, of 32 raw bytes; the private half stays with who signs, over the hash as ASCII
    text. Needs `cryptography`."""

    def __init__(self, raw: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        self._key = Ed25519PublicKey.from_public_bytes(raw)

    def verify(self, digest: str, signature: bytes) -> bool:
        """Whether the private half made it."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, digest.encode())
        except InvalidSignature:
            return False
        return True


def signer_of(keys: Mapping[str, Key], digest: str, signature: bytes | None) -> str:
    """The name of the key that made the signature; "" without one, `BadSignature` if none did."""
    if signature is None:
        return ""
    for name, key in keys.items():
        if key.verify(digest, signature):
            return name
    raise BadSignature(f"no key here made this signature of {digest[:12]}")
