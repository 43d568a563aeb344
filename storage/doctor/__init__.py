"""The doctor: what state a directory is in that nobody owns, and what can be done about it.

report      what it says              scan        the journal, damaged or not
examine     looks, changes nothing    repair      recovers, moves the rest aside, sweeps
"""

from storage.doctor.examine import examine as examine
from storage.doctor.repair import repair as repair
from storage.doctor.repair import sweep as sweep
from storage.doctor.report import Finding as Finding
from storage.doctor.report import JournalState as JournalState
from storage.doctor.report import Report as Report
from storage.doctor.report import Severity as Severity
from storage.doctor.report import Sizes as Sizes
