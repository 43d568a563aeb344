"""Requests of a browser: each is answered here, through an exit of the egress.

Chromium has no network. The DevTools protocol pauses every request of the whole browser (pages,
frames, popups, workers, service workers, and each hop of a redirect); here it is asked for
through the `Exit`, so rules, checked addresses, credentials, budgets and the audit are those of any
egress, and the answer is handed to Chromium. What is not paused (WebSocket, WebRTC, lookups of
names) meets a network that is not there.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from actors.tasks import spawn
from facets.egress.egress import Exit
from facets.egress.errors import EgressDenied, EgressError
from facets.egress.messages import Request, Response

Send = Callable[[str, dict[str, Any]], Awaitable[Any]]
_AT_ONCE = 8
_SHOWN = re.compile(
    r"(text/.*|image/.*|audio/.*|video/.*|application/(.*\+)?(json|xml|javascript)|multipart/.*)?"
)
_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "upgrade-insecure-requests"}
)


@dataclass(frozen=True, slots=True)
class Download:
    """What a server gave to be kept, and not shown."""

    url: str
    name: str
    """What the server calls it: a name without folders."""
    content: bytes = field(repr=False)


class Gate:
    """The requests of one window."""

    def __init__(self, exit: Exit, send: Send, downloads: int) -> None:
        self._exit = exit
        self._send = send
        self._most = downloads
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.downloads: list[Download] = []
        self.unloaded: EgressError | None = None
        """Why a page or a frame was not loaded: the newest one."""

    async def open(self) -> None:
        """From here on every request comes here."""
        await self._send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})

    def paused(self, event: dict[str, Any]) -> None:
        """A request waits."""
        task = spawn(self._answer(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End the requests under way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _answer(self, event: dict[str, Any]) -> None:
        id, asked = event["requestId"], event["request"]
        try:
            async with self._turn:
                answer = await self._exit.fetch(_request(asked))
        except EgressError as error:
            if event.get("resourceType") == "Document":
                self.unloaded = error
            reason = "AccessDenied" if isinstance(error, EgressDenied) else "Failed"
            await self._tell("Fetch.failRequest", {"requestId": id, "errorReason": reason})
            return
        if event.get("resourceType") == "Document" and _is_download(answer):
            self._keep(asked["url"], answer)
            await self._tell("Fetch.failRequest", {"requestId": id, "errorReason": "Aborted"})
            return
        await self._tell("Fetch.fulfillRequest", {"requestId": id, **_fulfilled(answer)})

    async def _tell(self, order: str, what: dict[str, Any]) -> None:
        from playwright.async_api import Error

        try:
            await self._send(order, what)
        except Error:  # the page went away meanwhile, or the browser did
            return

    def _keep(self, url: str, answer: Response) -> None:
        if len(self.downloads) < self._most:
            self.downloads.append(Download(url, _name(url, answer), answer.body))


def _request(asked: dict[str, Any]) -> Request:
    """As the egress takes it; Chromium says which redirects are followed."""
    headers = tuple(
        (name, value) for name, value in asked["headers"].items() if name.lower() not in _OURS
    )
    entries = asked.get("postDataEntries") or ()
    body = b"".join(base64.b64decode(one.get("bytes", "")) for one in entries)
    url = asked["url"]  # a fragment is none of the server's business, and Chromium gives it apart
    return Request(asked["method"], url, headers, body, redirect="manual")


def _fulfilled(answer: Response) -> dict[str, Any]:
    return {
        "responseCode": answer.status,
        "responseHeaders": [{"name": name, "value": value} for name, value in answer.headers],
        "body": base64.b64encode(answer.body).decode(),
    }


def _is_download(answer: Response) -> bool:
    if 300 <= answer.status < 400:
        return False
    disposition = (answer.header("content-disposition") or "").strip().lower()
    kind = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    return disposition.startswith("attachment") or _SHOWN.fullmatch(kind) is None


def _name(url: str, answer: Response) -> str:
    message = Message()
    message["content-disposition"] = answer.header("content-disposition") or "attachment"
    name = message.get_filename() or url.partition("?")[0].rpartition("/")[2]
    name = re.sub(r"[\x00-\x1f/\\]+", "_", name).lstrip(".")[:200]
    return name or "download"
