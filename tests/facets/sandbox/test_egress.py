"""The way out of a box: by the rules of an Egress, and no other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trustme

from facets import Actor, Egress, Rule
from facets.egress import Attempt, Budget
from facets.errors import NoSuchCommand
from facets.sandbox import Box, Done, Sandbox
from facets.testing import MemoryRuntime

FETCH = """
import sys, urllib.request as r, urllib.error
request = r.Request(sys.argv[1], data=sys.argv[2].encode() or None)
try:
    answer = r.urlopen(request, timeout=20)
    print(answer.status, len(answer.read()))
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode().strip())
except Exception as error:
    print(type(error).__name__, error)
"""


@dataclass
class Site:
    """Answers every request with `body`, over https or http."""

    port: int = 0
    body: bytes = b"octopus"
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split("\r")[0] or 0)
        body = await reader.readexactly(length)
        secret = "authorization: secret" in head.lower()
        self.asked.append(f"{head.split()[0]} {head.split()[1]} {body.decode()} {secret}")
        writer.write(b"HTTP/1.1 200 x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
                     % len(self.body) + self.body)  # fmt: skip
        await writer.drain()
        writer.close()


@pytest.fixture
def trusted() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def site(trusted: trustme.CA) -> AsyncIterator[Site]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trusted.issue_cert("site.test").configure_cert(context)
    found = Site()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


async def resolve(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.fixture
def attempts() -> list[Attempt]:
    return []


@pytest.fixture
def sandbox(available: None, site: Site, trusted: trustme.CA, attempts: list[Attempt]) -> Sandbox:
    client = ssl.create_default_context()
    trusted.configure_trust(client)
    rule = Rule("site.test", port=site.port, private=True, paths=["/open/**"],
                methods=["GET", "POST"], response_size=8 << 20,
                credentials={"authorization": "secret"})  # fmt: skip
    hidden = Rule("hidden.test", port=site.port)
    egress = Egress([rule, hidden], tls=client, resolver=resolve, audit=attempts.append,
                    budget=Budget(requests=6))  # fmt: skip
    return Sandbox(egress=egress)


@pytest.fixture
async def box(sandbox: Sandbox) -> AsyncIterator[Box]:
    async with sandbox.open() as box:
        yield box


async def fetch(box: Box, url: str, data: str = "") -> str:
    return (await box.exec(["python3", "-c", FETCH, url, data])).check().text.strip()


async def test_a_program_asks_over_https_with_credentials_it_never_sees(
    box: Box, site: Site
) -> None:
    site.body = b"x" * 3_000_000

    assert await fetch(box, f"https://site.test:{site.port}/open/a") == "200 3000000"
    assert await fetch(box, f"https://site.test:{site.port}/open/b", "sent") == "200 3000000"
    assert site.asked == ["GET /open/a  True", "POST /open/b sent True"]
    seen = await box.exec(["sh", "-c", "env; cat /etc/*.pem; cat /proc/*/environ"])
    assert "secret" not in seen.text
    assert "PRIVATE KEY" not in seen.text


@pytest.mark.parametrize(
    "command",
    [
        ["curl", "-sSf"],
        ["wget", "-qO-"],
        ["git", "ls-remote"],
        ["python3", "-m", "pip", "download"],
    ],
    ids=lambda command: command[0],
)
async def test_programs_find_their_way_by_themselves(
    box: Box, site: Site, command: list[str]
) -> None:
    url = f"https://site.test:{site.port}/open/a-1.0-py3-none-any.whl"
    try:
        done = await box.exec([*command, url])
    except NoSuchCommand:
        pytest.skip(f"{command[0]} is not installed")
    if b"No module named pip" in done.stderr:
        pytest.skip("pip is not installed")

    assert site.asked, done.stderr
    assert all(line.startswith("GET /open/a-1.0") for line in site.asked)


async def test_what_no_rule_allows_is_answered_with_the_reason_and_not_asked(
    box: Box, site: Site
) -> None:
    for url, why in (
        (f"https://site.test:{site.port}/closed", "does not allow the path"),
        (f"https://other.test:{site.port}/open/", "no rule names this host"),
        (f"http://site.test:{site.port}/open/", "does not allow the scheme"),
        (f"https://hidden.test:{site.port}/", "leads to a loopback address"),
        ("http://169.254.169.254/latest", "no rule names this host"),
    ):
        said = await fetch(box, url)
        assert said.startswith("403 "), said
        assert why in said, said
    assert site.asked == []


async def test_there_is_no_way_out_beside_the_proxy(box: Box, site: Site) -> None:
    code = f"""
import socket
for address in (("127.0.0.1", {site.port}), ("192.0.2.1", 80)):
    try: socket.create_connection(address, 1); print("connected", address)
    except OSError: pass
def ask(data):
    with socket.create_connection(("127.0.0.1", 3128)) as s:
        s.sendall(data); s.settimeout(5)
        try: return s.recv(100).decode("latin-1").partition("\\r")[0]
        except OSError as error: return ""
for data in (b"\\0" * 1000, b"GET / HTTP/1.1\\r\\nHost: site.test\\r\\n\\r\\n",
             b"CONNECT nonsense HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n",
             b"CONNECT :1 HTTP/1.1\\r\\n\\r\\n",
             b"GET http://a.test/ HTTP/1.1\\r\\nHost: a\\r\\n" + b"X: y\\r\\n" * 100000,
             b"GET file:///etc/passwd HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"):
    print(ask(data) or "closed")
"""
    said = (await box.exec(["python3", "-c", code])).check().text.splitlines()

    assert set(said) <= {"closed", "HTTP/1.1 403 "}
    assert said[1] == said[5] == "HTTP/1.1 403 "
    assert await fetch(box, f"https://site.test:{site.port}/open/a") == "200 7"


async def test_a_box_has_a_budget_of_its_own(sandbox: Sandbox, site: Site) -> None:
    url = f"https://site.test:{site.port}/open/a"
    loop = ["sh", "-c", 'for n in $(seq 7); do python3 -c "$0" "$1" ""; done', FETCH, url]
    for _ in range(2):
        async with sandbox.open() as box:
            said = (await box.exec(loop)).text.splitlines()
        assert [line[:3] for line in said] == ["200"] * 6 + ["429"]


class Fetcher(Actor):
    async def get(self, url: str) -> Done:
        return await HOLD["sandbox"].run(self, ["python3", "-c", FETCH, url, ""])


HOLD: dict[str, Sandbox] = {}


async def test_requests_of_an_actor_carry_its_name(
    sandbox: Sandbox, site: Site, attempts: list[Attempt]
) -> None:
    HOLD["sandbox"] = sandbox
    async with MemoryRuntime() as runtime:
        done = await runtime.get(Fetcher, "one").get(f"https://site.test:{site.port}/open/a")

    assert done.text == "200 7\n"
    assert [one.who for one in attempts] == ["Fetcher:one: sandbox"]


async def test_without_an_egress_there_is_no_proxy(available: None) -> None:
    async with Sandbox().open() as box:
        said = await fetch(box, "http://site.test/")

    assert said.startswith("URLError")
