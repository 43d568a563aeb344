"""Places outside the database: where large contents and the replica live."""

from storage.objects.store import ObjectStore as ObjectStore
