"""A server on loopback that speaks OpenAI's chat completions, and says what a test wants.

The same bytes as from a provider cross the same client: what a model's adapter makes of a rate
limit, a stream that breaks off or a response that is no JSON is tested as it is, and not imitated.

    async with ChatServer(Failure(429, retry_after=2), Answer("hello")) as server:
        provider = OpenAIProvider(base_url=server.url, api_key="none")
        Clerk.model = OpenAIChatModel("scripted", provider=provider)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

JSON, EVENTS = "application/json", "text/event-stream"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the model: text, and tools that it calls, by name."""

    text: str | None = None
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    """Arguments are JSON objects, or any text, which may be broken."""
    cut: bool = False
    """The connection ends after half of it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An HTTP error, as the provider words it."""

    status: int
    code: str | None = None
    retry_after: float | None = None
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A response of these bytes, which are said to be JSON."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Silence:
    """The connection stays open, and nothing comes; of a stream, nothing behind the first half."""

    answer: Answer = field(default_factory=Answer)


Reply = Answer | Failure | Raw | Silence


class ChatServer:
    """Serves on 127.0.0.1 while its block is open: one reply for each request, in order, the last
    one again and again."""

    def __init__(self, *replies: Reply) -> None:
        if not replies:
            raise ValueError("a server has to have something to say")
        self._replies = list(replies)
        self._open: set[asyncio.Task[None]] = set()
        self.requests: list[dict[str, Any]] = []
        """The bodies of the requests that came."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}/v1"
        """What a client takes as its `base_url`."""
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - streams are served by tasks
        self._open.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                request = await _read(reader)
                self.requests.append(request)
                async for piece in self._answered(request):
                    writer.write(piece)
                    await writer.drain()
        finally:
            self._open.discard(task)
            writer.close()

    async def _answered(self, request: dict[str, Any]) -> AsyncIterator[bytes]:
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        match reply:
            case Failure():
                yield _failed(reply)
            case Raw(body):
                yield _head(200, JSON, len(body)) + body
            case Silence(answer):
                if request.get("stream"):
                    for piece in _half(list(_streamed(request, answer))):
                        yield piece
                await asyncio.Event().wait()
            case Answer():
                pieces = list(
                    _streamed(request, reply) if request.get("stream") else _whole(request, reply)
                )
                for piece in _half(pieces) if reply.cut else pieces:
                    yield piece


async def _read(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(":", 1) for line in head.split("\r\n")[1:] if ":" in line)
    request: dict[str, Any] = json.loads(await reader.readexactly(int(fields["content-length"])))
    return request


def _head(status: int, kind: str, length: int | None, **more: str) -> bytes:
    """One response for each connection; a stream ends with a chunk of no bytes, or has broken."""
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-type: {kind}", size]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode()


def _failed(reply: Failure) -> bytes:
    said = {"message": HTTPStatus(reply.status).phrase, "type": None, "param": None}
    body = json.dumps({"error": {**said, "code": reply.code}}).encode()
    more = {} if reply.retry_after is None else {"retry_after": f"{reply.retry_after:g}"}
    return _head(reply.status, JSON, len(body), **more) + body


def _half(pieces: list[bytes]) -> list[bytes]:
    """A response of one piece is cut within it."""
    if len(pieces) > 1:
        return pieces[: len(pieces) // 2 + 1]
    return [pieces[0][:-10]]


def _named(request: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 0, "model": request.get("model")}


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{at}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": args if isinstance(args, str) else json.dumps(args),
            },
        }
        for at, (name, args) in enumerate(answer.calls)
    ]


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def _whole(request: dict[str, Any], answer: Answer) -> Iterator[bytes]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.calls:
        message["tool_calls"] = _calls(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    whole = {**_named(request, "chat.completion"), "choices": [choice], "usage": USAGE}
    body = json.dumps(whole).encode()
    yield _head(200, JSON, len(body)) + body


def _streamed(request: dict[str, Any], answer: Answer) -> Iterator[bytes]:
    yield _head(200, EVENTS, None)
    for delta in _deltas(answer):
        yield _event(request, [{"index": 0, "delta": delta, "finish_reason": None}])
    yield _event(request, [{"index": 0, "delta": {}, "finish_reason": _finish(answer)}])
    if (request.get("stream_options") or {}).get("include_usage"):
        yield _event(request, [], usage=USAGE)
    yield _chunk(b"data: [DONE]\n\n")
    yield _chunk(b"")


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    """Text word by word; of a call first its name, then its arguments in two pieces."""
    yield {"role": "assistant", "content": ""}
    for word in (answer.text or "").split(" ") if answer.text else ():
        yield {"content": f"{word} "}
    for at, call in enumerate(_calls(answer)):
        function = call["function"]
        arguments = function["arguments"]
        yield {"tool_calls": [{"index": at, **call, "function": {**function, "arguments": ""}}]}
        for piece in (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
            yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}


def _event(request: dict[str, Any], choices: list[dict[str, Any]], **more: Any) -> bytes:
    said = {**_named(request, "chat.completion.chunk"), "choices": choices, **more}
    return _chunk(b"data: " + json.dumps(said).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
