"""The journal, read as far as it can be: recovery stops where this goes on to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.disk import Disk
from storage.doctor.report import Finding, JournalState, Severity
from storage.errors import JournalCorrupt
from storage.record import Record
from storage.recovery import Found, current
from storage.segment import START, intact_records, joined_records, read_header

_LOSS = "repair with loss accepted keeps what comes before, and sets the rest aside"


@dataclass(slots=True)
class Scan:
    """The segments of one journal."""

    chain: list[Found] = field(default_factory=list)
    """Those whose records would be kept, in order; the last one up to the damage, if any."""
    old: list[Path] = field(default_factory=list)
    """Those that a newer copy has replaced."""
    behind: list[Path] = field(default_factory=list)
    """Those with damage, or behind it; nothing in them joins what comes before, except for the
    records of the last of `chain`."""
    findings: list[Finding] = field(default_factory=list)
    newest: int = 0
    """The highest sequence seen anywhere."""
    epoch: int = 0
    """The highest seen anywhere."""
    torn: int = 0
    used: int = 0

    @property
    def records(self) -> list[Record]:
        """All that would be kept."""
        return [one for segment in self.chain for one in segment.records]

    @property
    def damaged(self) -> bool:
        """Whether recovery refuses this journal."""
        return bool(self.behind)

    @property
    def end(self) -> int:
        """The sequence behind the last one kept; 0 without a segment."""
        return self.chain[-1].header.first + len(self.chain[-1].records) if self.chain else 0

    def state(self) -> JournalState:
        """In short."""
        chain = self.chain
        return JournalState(
            segments=self.used,
            epoch=self.epoch,
            first=chain[0].header.first if chain else 0,
            last=self.end - 1 if chain else 0,
            torn=self.torn,
            damaged=self.damaged,
            lost=(self.end, self.newest if self.newest >= self.end else 0)
            if self.damaged
            else None,
        )


def scan(disk: Disk, folder: Path) -> Scan:
    """Read every segment file."""
    result = Scan()
    found: list[Found] = []
    cut: set[Path] = set()
    for path in sorted(folder.glob("*.seg")):
        data = disk.read_file(path)
        try:
            header = read_header(data, path)
        except JournalCorrupt as error:
            result.behind.append(path)
            result.findings.append(_error(path, error.message))
            continue
        if header is None:
            continue
        one = Found(path, header, joined_records(data, header))
        found.append(one)
        result.epoch = max(result.epoch, header.epoch)
        if _look_behind(result, data, one):
            cut.add(path)
    result.used = len(found) + len(result.behind)
    found.sort(key=lambda one: (one.header.first, one.header.epoch))
    _join(result, found, cut)
    return result


def _look_behind(result: Scan, data: bytes, one: Found) -> bool:
    """Whether something behind the kept records says that more was durable."""
    end = one.header.first + len(one.records)
    at = one.records[-1].end if one.records else START
    later = list(intact_records(data, at, one.header))
    result.newest = max([result.newest, end - 1, *(record.sequence for record in later)])
    if not any(record.durable_upto >= end for record in later):
        result.torn += later[-1].end - at if later else 0
        return False
    result.findings.append(_error(one.path, f"record {end} at byte {at} is damaged"))
    return True


def _join(result: Scan, found: Sequence[Found], cut: set[Path]) -> None:
    counting = current(found)
    result.old = [one.path for one in found if one not in counting]
    for i, one in enumerate(counting):
        if result.chain and not result.chain[-1].joins(one.header):
            end = result.end
            what = f"it begins with record {one.header.first}, and those from {end} on are missing"
            result.findings.append(_error(one.path, what))
            result.behind += [late.path for late in counting[i:]]
            return
        result.chain.append(one)
        if one.path in cut:
            result.behind += [late.path for late in counting[i:]]
            return


def _error(path: Path, what: str) -> Finding:
    return Finding(Severity.ERROR, f"journal/{path.name}", what, _LOSS)
