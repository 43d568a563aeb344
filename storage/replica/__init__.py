"""The replica: a host's history in an object store, from which any node can go on.

names       keys, and places in the log
lease       which incarnation of a host may serve; the only part that reads a clock
slot        one slot of the log as an object
log         appending: an acknowledgement is a create that won
reader      reading the log over all incarnations
takeover    sealing the logs of older incarnations
manifest    from what, and from where in the log, a restore begins
snapshot    one whole database as an object
contents    what files spilled, by incarnation
compactor   snapshots in place of older slots, and what may be deleted
entries     what the log's bytes mean to the journal
restore     the databases of a host from all of this

A host starts with `Lease.claim`, `take_over`, a `Restoration` if its disk is gone, a `LogWriter`
at the tail, a `Compactor`; it renews the lease and compacts from threads of its own.
"""

from storage.replica.compactor import Compactor as Compactor
from storage.replica.compactor import seed as seed
from storage.replica.contents import Contents as Contents
from storage.replica.entries import pack as pack
from storage.replica.lease import Lease as Lease
from storage.replica.lease import LeaseObserver as LeaseObserver
from storage.replica.log import LogWriter as LogWriter
from storage.replica.log import StagedSlot as StagedSlot
from storage.replica.manifest import Manifest as Manifest
from storage.replica.names import Tail as Tail
from storage.replica.reader import LogReader as LogReader
from storage.replica.restore import Restoration as Restoration
from storage.replica.restore import RestoredFile as RestoredFile
from storage.replica.snapshot import Image as Image
from storage.replica.takeover import take_over as take_over
