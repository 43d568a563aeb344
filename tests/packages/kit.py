"""Wheels made for a test, and an index on loopback that serves them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/vnd.pypi.simple.v1+json"
Content = str | bytes


def metadata(name: str, version: str, requires: tuple[str, ...] = (), more: str = "") -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    return "\n".join([*lines, *(f"Requires-Dist: {one}" for one in requires)]) + f"\n{more}\n"


def record(files: Mapping[str, bytes], path: str) -> str:
    lines = [f"{path},,"]
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    return "\n".join(lines) + "\n"


def wheel(
    name: str,
    version: str = "1.0",
    files: Mapping[str, Content] | None = None,
    requires: tuple[str, ...] = (),
    **replaced: Content,
) -> bytes:
    """A wheel; `replaced` are METADATA, WHEEL and RECORD as they should not be."""
    info = f"{name}-{version}.dist-info"
    given = {f"{name}.py": f"version = {version!r}\n"} if files is None else dict(files)
    given[f"{info}/METADATA"] = replaced.get("METADATA", metadata(name, version, requires))
    given[f"{info}/WHEEL"] = replaced.get("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
    content = {k: v.encode() if isinstance(v, str) else v for k, v in given.items()}
    path = f"{info}/RECORD"
    listed = replaced.get("RECORD", record(content, path))
    return packed(content | {path: listed.encode() if isinstance(listed, str) else listed})


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


class Server:
    """An index. `add` releases to it; `asked` is what was requested, in order."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, dict[str, Any]]] = {}
        self.content: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.authorized: list[str | None] = []
        self.as_html = False
        self.pages: dict[str, tuple[int, str, bytes]] = {}
        """Answers given instead, by path: status, type, content."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/simple/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self,
        name: str,
        version: str = "1.0",
        tag: str = "py3-none-any",
        *,
        content: bytes | None = None,
        separate: bool = False,
        **said: Any,
    ) -> bytes:
        """A wheel of this package; with `separate`, its metadata can be had alone."""
        files = said.pop("files", None)
        requires = tuple(said.pop("requires", ()))
        made = wheel(name, version, files, requires) if content is None else content
        filename = f"{name}-{version}-{tag}.whl"
        entry = self._entry(name, filename, made, **said)
        if separate:
            text = metadata(name, version, requires).encode()
            self.content[f"/files/{filename}.metadata"] = text
            entry["core-metadata"] = {"sha256": hashlib.sha256(text).hexdigest()}
        return made

    def add_source(self, name: str, version: str = "1.0") -> None:
        self._entry(name, f"{name}-{version}.tar.gz", b"not looked at")

    def _entry(self, name: str, filename: str, content: bytes, **said: Any) -> dict[str, Any]:
        self.content[f"/files/{filename}"] = content
        hashes = {"sha256": hashlib.sha256(content).hexdigest()}
        entry = {"filename": filename, "url": f"../../files/{filename}", "hashes": hashes, **said}
        self.files.setdefault(name.replace("_", "-"), {})[filename] = entry
        return entry

    def answer(self, path: str) -> tuple[int, str, bytes]:
        if path in self.pages:
            return self.pages[path]
        if path in self.content:
            return 200, "application/octet-stream", self.content[path]
        files = self.files.get(path.removeprefix("/simple/").rstrip("/"))
        if files is None:
            return 404, "text/plain", b""
        if self.as_html:
            return 200, "text/html; charset=utf-8", _html(files.values()).encode()
        page = {"meta": {"api-version": "1.1"}, "name": path, "files": list(files.values())}
        return 200, JSON, json.dumps(page).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16

            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.authorized.append(self.headers.get("Authorization"))
                status, kind, content = server.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        return Handler


def _html(files: Any) -> str:
    lines = []
    for one in files:
        python = one.get("requires-python", "").replace(">", "&gt;")
        lines.append(
            f'<a href="{one["url"]}#sha256={one["hashes"]["sha256"]}"'
            f' data-requires-python="{python}"'
            f"{' data-yanked=bad' if one.get('yanked') else ''}>{one['filename']}</a><br>"
        )
    return "<!DOCTYPE html><html><body>" + "\n".join(lines) + "</body></html>"
