"""The whole of a replica on a real S3 service: two hosts, a compaction, a restore."""

from __future__ import annotations

import pytest

from storage.errors import LeaseLost
from storage.objects import open_store
from storage.replica import Compactor, LeaseObserver
from tests.storage.replica.kit import HOST, Clock, Files, Host, created, restored, wrote


def test_a_host_s_life_and_its_successor_s_on_s3(bucket: str) -> None:
    url, clock = f"s3://{bucket}/replica", Clock()
    old, files = Host(open_store(url), clock), Files()
    old.lease.renew()
    old.log.append([files.commit(created(1), wrote(1, 2, {1: b"a", 2: b"b"}))])
    one = Compactor(open_store(url), old.lease, old.log, grace=5, clock=clock)
    one.compact(files.image)
    one.collect()
    clock.move(5)
    assert one.collect() == 2
    old.log.append([files.commit(wrote(1, 2, {1: b"c"}))])

    observer = LeaseObserver(open_store(url), HOST, clock=clock)
    assert not observer.dead()
    new = Host(open_store(url))
    assert new.tail.sequence == 2
    with pytest.raises(LeaseLost):
        old.log.append([(3, b"never")])
    new.log.append([files.commit(wrote(1, 1, {1: b"d"}))])
    new.lease.release()
    assert observer.dead()
    assert restored(open_store(url)) == files.living()
