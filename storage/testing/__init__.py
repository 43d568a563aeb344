"""Disks for tests of what must survive: one that fails on request, one that loses its power.

fault     what goes wrong, when, and with which end; the script that counts operations
disk      a disk that follows such a script, under storage's own files and under SQLite's
vfs       the SQLite half of it
power     a disk that knows what is really on the platter, and what a power loss may leave
rules     the durability rules, each as a switch that turns it off
"""

from storage.testing.disk import FaultyDisk as FaultyDisk
from storage.testing.fault import Effect as Effect
from storage.testing.fault import Fault as Fault
from storage.testing.fault import Killed as Killed
from storage.testing.fault import Outcome as Outcome
from storage.testing.power import PowerLossDisk as PowerLossDisk
