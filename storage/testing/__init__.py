"""Parts for tests, ours and yours.

fault         what goes wrong with a disk, when, and with which end
disk, vfs     a disk that follows such a script, under storage's own files and under SQLite's
power         a disk that knows what is on the platter, and what a power loss may leave
rules         the durability rules, each as a switch that turns it off
objects       object stores that forget, fail and pause when told to
conformance   what every object store must do, as tests to run on yours
"""

from storage.testing.disk import FaultyDisk as FaultyDisk
from storage.testing.fault import Effect as Effect
from storage.testing.fault import Fault as Fault
from storage.testing.fault import Killed as Killed
from storage.testing.fault import Outcome as Outcome
from storage.testing.power import PowerLossDisk as PowerLossDisk
