"""Servers, names and exits for tests of egress."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from facets.egress import Attempt, Egress, Rule
from tests.facets.egress.server import Names, Server

Make = Callable[..., Egress]
Api = Callable[..., Rule]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server


@pytest.fixture
def attempts() -> list[Attempt]:
    return []


@pytest.fixture
def names() -> Names:
    return Names(api_test=[["127.0.0.1"]], other_test=[["127.0.0.2"]])


@pytest.fixture
async def make(attempts: list[Attempt], names: Names) -> AsyncIterator[Make]:
    """`make(rules, ...)` is an Egress whose attempts are collected and that is closed."""
    async with AsyncExitStack() as stack:

        def make(*rules: Rule, **options: Any) -> Egress:
            options = {"audit": attempts.append, "resolver": names} | options
            egress = Egress(rules, **options)
            stack.push_async_callback(egress.close)
            return egress

        yield make


@pytest.fixture
def api(server: Server) -> Api:
    """`api(...)` is a rule for http://api.test on the server."""

    def rule(host: str = "api.test", **options: Any) -> Rule:
        options = {"scheme": "http", "port": server.port, "private": True} | options
        return Rule(host, **options)

    return rule
