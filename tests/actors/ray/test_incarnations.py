"""Of two incarnations of a host only the newer one counts, whichever answers."""

from __future__ import annotations

import pickle
from concurrent.futures import Future
from typing import Any

import pytest

from actors.ray.errors import HostLost
from actors.ray.link import Link
from actors.ray.parcels import pack_arguments, pack_value


class Answer:
    """As Ray's reference to one."""

    def __init__(self, data: bytes) -> None:
        self._data: Future[bytes] = Future()
        self._data.set_result(data)

    def future(self) -> Future[bytes]:
        return self._data


class Handle:
    """As Ray's handle of a host, behind which incarnations answer in turn."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = iter(tokens)
        self.exchange = self

    def remote(self, request: bytes) -> Answer:
        messages = pickle.loads(request)[-1]
        token = next(self._tokens)
        said = [("done", one[1], pack_value(token, "")) for one in messages if one[0] == "call"]
        return Answer(pickle.dumps((token, said)))


async def test_a_reply_of_an_incarnation_before_the_newest_does_not_count() -> None:
    handle = Handle("0000000002-a", "0000000001-z", "0000000003-a")

    async def seek() -> Any:
        return handle

    link = Link("host-0", lambda: handle, seek)
    call = (("Kind", "name", 0, ""), "method", pack_arguments((), {}))
    assert await link.call(*call) == "0000000002-a"
    with pytest.raises(HostLost):
        await link.call(*call)
    assert await link.call(*call) == "0000000003-a"
