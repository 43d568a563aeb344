"""Places outside the database: where large contents and the replica live.

store    what an object store can do
keys     which keys every store can hold
folder   a folder of a local disk, durable by its own syncs
remote   S3, Google Cloud, Azure and memory, through obstore (extra `replica`)
url      a store by its url
"""

from storage.objects.folder import FolderStore as FolderStore
from storage.objects.remote import ObstoreStore as ObstoreStore
from storage.objects.store import ObjectStore as ObjectStore
from storage.objects.store import SupportsUrgent as SupportsUrgent
from storage.objects.url import open_store as open_store
