"""The lease of a host: which incarnation of it may serve.

Each start of a host claims the next number, its token, by creating `leases/HOST/TOKEN`: of all
that try, one wins. While it lives it overwrites its heartbeat; its time runs from the *start* of
the last renewal that came back, and it stops a margin early. An observer counts it dead when the
heartbeat has not changed for the whole time on the observer's own clock, which began later than
the holder's did. So where both clocks run about equally fast, the old one has stopped serving
before the new one starts. A holder that nobody can follow, as it has the only disk, may go on
when the lease lapsed, and `resume` it when the store is back.

That keeps stale *reads* apart. That no two incarnations acknowledge *writes* rests on
`storage.replica.log` alone, and on no clock.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from storage.errors import LeaseLapsed, LeaseLost, ObjectMissing, ReplicaCorrupt
from storage.objects.keys import check_part
from storage.objects.store import ObjectStore, SupportsUrgent
from storage.record import now
from storage.replica import names

Clock = Callable[[], float]
"""Seconds since some moment. It must not be one that people or the network set."""

TTL = 10.0
"""Seconds without a heartbeat after which a host counts as dead."""
MARGIN = 0.2
"""Part of the ttl by which a holder stops early: as much may clocks run apart."""
FORMAT = 1


def boottime() -> float:
    """Seconds since boot, also those that the machine slept: a lease runs out meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


Content = TypeVar("Content")


class Claim(msgspec.Struct, frozen=True):
    """Content of a claim."""

    format: int
    host: str
    token: int
    nonce: str
    ttl: float


class Heartbeat(msgspec.Struct, frozen=True):
    """Content of a heartbeat; each one differs from the one before."""

    nonce: str
    count: int
    released: bool = False
    time: int = 0
    """When, by the holder's wall clock, in microseconds since 1970: to be told, never to decide."""
    lag: float = 0.0
    """Seconds for which the oldest record had waited then to be uploaded; 0 if none did."""


class Lease:
    """The right of this incarnation to serve. Thread-safe; renew it about every `ttl / 3`.

    Once lost it stays lost. Once lapsed it stays lapsed until `resume`: a lease that ran out is
    not revived by a late answer.
    """

    def __init__(self, store: ObjectStore, claim: Claim, start: float, clock: Clock) -> None:
        """Use `Lease.claim`."""
        self.host = claim.host
        self.token = claim.token
        self.nonce = bytes.fromhex(claim.nonce)
        """Random; tells objects of this incarnation from those of any other."""
        self.ttl = claim.ttl
        self._store = store.urgent(claim.ttl / 4) if isinstance(store, SupportsUrgent) else store
        self._clock = clock
        self._term = claim.ttl * (1 - MARGIN)
        self._deadline = start + self._term
        self._newest = start
        self._lost = ""
        self._lapsed = ""
        self._beats = 0
        self.lag: Callable[[], float] = _no_lag
        """What heartbeats say of the records that wait."""
        self._lock = threading.Lock()
        self._renewing = threading.Lock()

    @classmethod
    def claim(
        cls, store: ObjectStore, host: str, *, ttl: float = TTL, clock: Clock = boottime
    ) -> Lease:
        """Become the newest incarnation of the host. Blocks.

        It does not ask whether another one lives: that is `LeaseObserver`'s, and not a matter of
        safety. `host` is one part of a key, `ttl` is in seconds. `LeaseLost` if another
        claimant was faster; `ObjectStoreFailed` if the store failed, and then the token may be
        spent without a holder, which does no harm.
        """
        token = newest_token(store, check_part(host)) + 1
        claim = Claim(FORMAT, host, token, secrets.token_hex(16), ttl)
        start = clock()
        if not store.create(names.claim_key(host, token), msgspec.json.encode(claim)):
            said = f"another incarnation of {host} claimed token {token} first"
            raise LeaseLost(said, host=host, token=token)
        return cls(store, claim, start, clock)

    def check(self) -> float:
        """The time now, if the lease holds; else `LeaseLost` or `LeaseLapsed`. No I/O."""
        with self._lock:
            now = self._clock()
            if not self._lapsed and now < self._newest:
                self._lapsed = "the clock went back, so nobody knows how much time has passed"
            elif not self._lapsed and now >= self._deadline:
                self._lapsed = "it was not renewed in time"
            self._newest = now
            if self._lost or self._lapsed:
                raise self._error()
            return now

    def renew(self) -> None:
        """Hold the lease for another `ttl`, counted from the start of this call. Blocks.

        `LeaseLost` if it ran out meanwhile or a newer incarnation has claimed;
        `ObjectStoreFailed` leaves it as it is, to be tried again.
        """
        with self._renewing:
            start = self.check()
            self._beat(released=False)
            newest = newest_token(self._store, self.host)
            if newest > self.token:
                raise self.lose(f"token {newest} has been claimed")
            # Whoever looked meanwhile and saw no heartbeat may have counted us dead: an answer
            # behind the old deadline must not move it.
            self.check()
            self._deadline = start + self._term

    def resume(self) -> None:
        """Hold the lease again after it lapsed, counted from the start of this call. Blocks.

        Only for who may serve without it. `LeaseLost` if a newer incarnation has claimed; one
        that claims later seals the log, and no acknowledgement comes back from behind a seal.
        """
        with self._renewing:
            start = self._clock()
            self._beat(released=False)
            newest = newest_token(self._store, self.host)
            if newest > self.token:
                raise self.lose(f"token {newest} has been claimed")
            with self._lock:
                if self._lost:
                    raise self._error()
                self._lapsed, self._newest = "", start
                self._deadline = start + self._term

    def keep(self) -> None:
        """Hold the lease while getting ready to serve, which may take longer than it lasts.

        Blocks if it is time for a renewal. Nobody has been answered yet, so one that lapsed may
        be taken up again; errors as of `resume`.
        """
        if self._clock() > self._deadline - self._term / 2 or self._lapsed:
            self.resume()

    def release(self) -> None:
        """Let the next incarnation in without waiting. Blocks. Idempotent; the lease is over."""
        with self._renewing:
            try:
                self.check()
            except LeaseLost:
                return
            self.lose("it was released")
            self._beat(released=True)

    def lose(self, why: str) -> LeaseLost:
        """Count the lease as lost from now on; the error to raise."""
        with self._lock:
            self._lost = self._lost or why
            return self._error()

    @contextmanager
    def first_suspect(self) -> Iterator[None]:
        """Within it, `ReplicaCorrupt` is raised only while the lease holds.

        A newer incarnation deletes what it no longer needs. Whoever still reads there without
        knowing of it has lost the lease, and must not cry damage.
        """
        try:
            yield
        except ReplicaCorrupt:
            self.renew()
            raise

    def _error(self) -> LeaseLost:
        kind, why = (LeaseLost, self._lost) if self._lost else (LeaseLapsed, self._lapsed)
        said = f"{self.host} lost its lease, token {self.token}: {why}"
        return kind(said, host=self.host, token=self.token)

    def _beat(self, *, released: bool) -> None:
        self._beats += 1
        beat = Heartbeat(self.nonce.hex(), self._beats, released, now(), self.lag())
        self._store.put(names.heartbeat_key(self.host, self.token), msgspec.json.encode(beat))


class LeaseObserver:
    """Watches a host from elsewhere. One thread; look more often than once a `ttl`."""

    def __init__(self, store: ObjectStore, host: str, *, clock: Clock = boottime) -> None:
        self._store = store
        self._host = check_part(host)
        self._clock = clock
        self._seen: tuple[int, bytes | None] = (0, None)
        self._since = 0.0
        self._ttl = 0.0
        self._released = False

    @property
    def token(self) -> int:
        """The newest incarnation that was seen; 0 if none was."""
        return self._seen[0]

    def dead(self) -> bool:
        """Whether the newest incarnation has stopped serving, as far as clocks can tell. Blocks.

        True at once for a host that never was, or released its lease. A wrong answer costs a
        needless takeover, and no data.
        """
        before = self._clock()
        token = newest_token(self._store, self._host)
        if not token:
            return True
        seen = (token, self._heartbeat(token))
        if seen == self._seen and before >= self._since:
            return self._released or before - self._since > self._ttl
        if token != self._seen[0]:
            self._ttl = read_claim(self._store, self._host, token).ttl
        self._seen = seen
        self._released = self._is_released(*seen)
        self._since = self._clock()  # after the read: not earlier than the holder's own start
        return self._released

    def _heartbeat(self, token: int) -> bytes | None:
        try:
            return self._store.get(names.heartbeat_key(self._host, token))
        except ObjectMissing:
            return None  # it has claimed, and not yet renewed

    def _is_released(self, token: int, heartbeat: bytes | None) -> bool:
        key = names.heartbeat_key(self._host, token)
        return heartbeat is not None and _decode(key, heartbeat, Heartbeat).released


def last_heartbeat(store: ObjectStore, host: str) -> Heartbeat | None:
    """What the newest incarnation that gave a sign of life said last; None if none did."""
    for token in reversed(tokens(store, host)):
        key = names.heartbeat_key(host, token)
        try:
            return _decode(key, store.get(key), Heartbeat)
        except ObjectMissing:
            continue
    return None


def newest_token(store: ObjectStore, host: str) -> int:
    """The newest token of a host; 0 if it never was."""
    found = tokens(store, host)
    return found[-1] if found else 0


def tokens(store: ObjectStore, host: str) -> list[int]:
    """All tokens of a host, in order."""
    return [names.number_of(key) for key in store.list(names.claims(host))]


def read_claim(store: ObjectStore, host: str, token: int) -> Claim:
    """Who claimed a token; `ReplicaCorrupt` if that cannot be read."""
    key = names.claim_key(host, token)
    return _decode(key, store.get(key), Claim)


def _no_lag() -> float:
    return 0.0


def _decode(key: str, data: bytes, kind: type[Content]) -> Content:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ReplicaCorrupt(f"{key} is damaged: {error}", key=key) from error
