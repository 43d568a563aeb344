"""Object stores of others: S3, Google Cloud, Azure, and memory for a trial, through obstore.

obstore is imported when a store is made, not before: it is the extra `replica`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from storage.errors import ObjectMissing, ObjectStoreFailed
from storage.objects.keys import check_key, check_prefix

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend

_WAITS = (0.02, 0.1, 0.5, 1.0)
"""Seconds between attempts at a `create` that was refused although nothing is there."""


class ObstoreStore:
    """An `ObjectStore` over one store of obstore; as durable as what stands behind it.

    `url` names it in errors. Retries of failed requests, and how long they go on, are obstore's.
    """

    def __init__(
        self, url: str, backend: Backend, urgent: Callable[[float], Backend] | None = None
    ) -> None:
        """`urgent(seconds)` makes a backend of the same store that gives up after so long."""
        import obstore

        self.url = url
        self._urgent = urgent
        self._backend = backend
        self._obstore = obstore
        self._refused = obstore.exceptions.AlreadyExistsError
        self._errors = (obstore.exceptions.BaseError, OSError)

    def urgent(self, seconds: float) -> ObstoreStore:
        """The same store, whose requests fail after so long, and are not repeated; itself where
        that cannot be had."""
        return self if self._urgent is None else ObstoreStore(self.url, self._urgent(seconds))

    def get(self, key: str) -> bytes:
        """The object; `ObjectMissing` if there is none."""
        found = self._read(check_key(key))
        if found is None:
            raise ObjectMissing(f"{self.url} has no {key}", url=self.url, key=key)
        return found

    def put(self, key: str, data: bytes) -> None:
        """Make or replace the object; a large one in several parts, visible at the end."""
        try:
            self._obstore.put(self._backend, check_key(key), data)
        except self._errors as error:
            self._fail(key, error)

    def create(self, key: str, data: bytes) -> bool:
        """Make the object only if there is none: whether it holds these very bytes on return.

        "Already exists" is no answer yet. The client repeats a request whose answer was lost,
        and then meets its own object; and S3 says the same while another writer is at it
        and nothing is there. So it is read back, and tried again while there is nothing.
        """
        check_key(key)
        for wait in (*_WAITS, None):
            if self._create(key, data):
                return True
            found = self._read(key)
            if found is not None:
                return found == data
            if wait is not None:
                time.sleep(wait)
        said = f"{self.url} says that {key} exists, and that it does not"
        raise ObjectStoreFailed(said, url=self.url, key=key, cause="contradiction")

    def list(self, prefix: str, after: str = "") -> list[str]:
        """Keys that begin with `prefix` and sort behind `after`, in order."""
        # obstore takes a prefix for a folder, and sorts only where the service does.
        folder = check_prefix(prefix)
        try:
            pages = self._obstore.list(
                self._backend, folder or None, offset=after or None, chunk_size=1000
            )
            keys = [one["path"] for page in pages for one in page]
        except self._errors as error:
            self._fail(prefix, error)
        return sorted(key for key in keys if key.startswith(prefix) and key > after)

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""
        try:
            self._obstore.delete(self._backend, check_key(key))
        except FileNotFoundError:
            return
        except self._errors as error:
            self._fail(key, error)

    def _create(self, key: str, data: bytes) -> bool:
        try:
            # In one piece: the parts of a large upload are not conditional.
            self._obstore.put(self._backend, key, data, mode="create", use_multipart=False)
        except self._refused:
            return False
        except self._errors as error:
            self._fail(key, error)
        return True

    def _read(self, key: str) -> bytes | None:
        try:
            return self._obstore.get(self._backend, key).bytes().to_bytes()
        except FileNotFoundError:
            return None
        except self._errors as error:
            self._fail(key, error)

    def _fail(self, key: str, error: Exception) -> NoReturn:
        # The first line says it; behind it obstore prints its own structures.
        cause = str(error).partition("\n")[0]
        said = f"{self.url} failed at {key or 'its root'}: {cause}"
        raise ObjectStoreFailed(said, url=self.url, key=key, cause=cause) from error
