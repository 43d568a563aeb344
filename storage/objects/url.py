"""An object store by its url."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from storage.errors import ObjectStoreFailed, ObjectStoreUnknown
from storage.objects.folder import FolderStore
from storage.objects.remote import ObstoreStore
from storage.objects.store import ObjectStore

if TYPE_CHECKING:
    from obstore.store import ClientConfig
    from obstore.store import ObjectStore as Backend

_REMOTE = ("s3", "gs", "az", "memory")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def open_store(url: str) -> ObjectStore:
    """The store that a url names. No request is sent yet.

    file:///path               a local folder, made if need be; durable
    s3://bucket/prefix         credentials, region and endpoint as AWS_* variables say
    gs://bucket/prefix         credentials as GOOGLE_* variables say
    az://account/container     credentials as AZURE_STORAGE_* variables say
    memory://                  new and empty, gone with the process

    `ObjectStoreUnknown` for anything else, also for a url with credentials in it: urls are
    printed. `ObjectStoreFailed` if the store cannot be set up, or its extra is not installed.
    """
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
        hint = "put credentials into the environment"
        raise ObjectStoreUnknown(f"{shown} came with credentials", hint=hint, url=shown)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(parts.path) > 1:
        return FolderStore(unquote(parts.path))
    if parts.scheme in _REMOTE and (parts.netloc or parts.scheme == "memory"):
        return _remote(url, parts.scheme)
    raise ObjectStoreUnknown(f"{url!r} names no object store", url=url)


def _remote(url: str, scheme: str) -> ObstoreStore:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import MemoryStore, from_url
    except ImportError as error:
        raise ObjectStoreFailed(
            f"{url} needs obstore, which is not installed",
            hint="pip install facets-runtime[replica]",
            url=url,
            key="",
            cause=str(error),
        ) from error
    try:
        if scheme == "memory":
            return ObstoreStore(url, MemoryStore())
        options: ClientConfig = {}
        if scheme == "s3" and _plain_http():
            options["allow_http"] = True

        def urgent(seconds: float) -> Backend:
            # Connecting is where a store that is away shows, and it has to be tried again soon.
            limit = timedelta(seconds=seconds)
            patient: ClientConfig = {**options, "timeout": limit, "connect_timeout": limit / 2}
            return from_url(url, client_options=patient, retry_config={"max_retries": 0})

        return ObstoreStore(url, from_url(url, client_options=options), urgent)
    except (BaseError, OSError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        said = f"{url} cannot be used: {cause}"
        raise ObjectStoreFailed(said, url=url, key="", cause=cause) from error


def _plain_http() -> bool:
    """Whether the environment names an endpoint without TLS: whoever writes that means it."""
    for name in _ENDPOINTS:
        if os.environ.get(name):
            return os.environ[name].startswith("http://")
    return False
