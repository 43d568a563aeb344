"""Parts for tests of what is built on actors, and of runtimes.

memory        a runtime whose state lives as long as the object, with a clock that a test moves
crashing      the end of a process, now or at any operation on the disk
scratch       directories in memory
chat          a server on loopback that speaks as a provider of models does, and fails as one
conformance   what every runtime must do, as tests to run on yours
history       what clients did and were told, and whether one order of events explains it

With `VirtualClock` come `Fault` and the rest of `storage.testing`: disks that fail, tear, forget.
"""

from actors.testing import VirtualClock as VirtualClock
from facets.testing.crashing import Crashed as Crashed
from facets.testing.crashing import crash as crash
from facets.testing.crashing import die_everywhere as die_everywhere
from facets.testing.history import History as History
from facets.testing.history import HistoryBroken as HistoryBroken
from facets.testing.history import Ledger as Ledger
from facets.testing.memory import MemoryRuntime as MemoryRuntime
from storage.testing import Effect as Effect
from storage.testing import Fault as Fault
from storage.testing import FaultyDisk as FaultyDisk
from storage.testing import Killed as Killed
from storage.testing import Outcome as Outcome
