"""What the stores of others add: answers that are lost or mean two things, and their urls."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError

from storage.errors import ObjectMissing, ObjectStoreFailed, ObjectStoreUnknown
from storage.objects import FolderStore, ObstoreStore, SupportsUrgent, open_store
from storage.objects import remote as remote_module

# -- a network that loses answers -------------------------------------------------------


class Network(ThreadingHTTPServer):
    """Stands between client and service; loses the answers of as many PUTs as it is told."""

    daemon_threads = True

    def __init__(self, service: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.service = urlsplit(service).netloc
        self.lose = 0
        self.puts = 0


class Passing(BaseHTTPRequestHandler):
    server: Network

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        service = http.client.HTTPConnection(self.server.service)
        service.request(self.command, self.path, body, dict(self.headers))
        answer = service.getresponse()
        content = answer.read()
        service.close()
        self.close_connection = True
        if self.command == "PUT":
            self.server.puts += 1
            if self.server.lose:
                self.server.lose -= 1
                return  # the connection ends, and nobody says what has happened
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815 - as http.server asks for them


@pytest.fixture
def network(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    with Network(s3_environment) as network:
        thread = threading.Thread(target=network.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{network.server_port}")
        yield network
        network.shutdown()
        thread.join()


def test_a_create_whose_answer_was_lost_is_won(network: Network, bucket: str) -> None:
    store = open_store(f"s3://{bucket}")
    network.lose = 1
    assert store.create("key", b"mine") is True
    assert network.puts == 2
    assert store.get("key") == b"mine"


def test_a_create_whose_answer_was_lost_after_another_won_is_lost(
    network: Network, bucket: str
) -> None:
    store = open_store(f"s3://{bucket}")
    store.create("key", b"theirs")
    network.lose = 1
    assert store.create("key", b"mine") is False
    assert store.get("key") == b"theirs"


# -- answers that mean two things -------------------------------------------------------


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the next creates be refused although nothing is there, as S3 does in a race."""
    put = obstore.put
    left = 0

    def refusing(*args: Any, **named: Any) -> Any:
        nonlocal left
        if left and named.get("mode") == "create":
            left -= 1
            raise AlreadyExistsError("409: another request is at it")
        return put(*args, **named)

    def set_left(count: int) -> None:
        nonlocal left
        left = count

    monkeypatch.setattr(obstore, "put", refusing)
    return set_left


def test_a_create_refused_although_nothing_is_there_is_tried_again(
    refuse: Callable[[int], None],
) -> None:
    store = open_store("memory://")
    refuse(1)
    assert store.create("key", b"mine") is True
    assert store.get("key") == b"mine"


def test_a_store_that_always_refuses_and_never_has_it_is_an_error_in_the_end(
    refuse: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "_WAITS", (0.0, 0.0))
    store = open_store("memory://")
    refuse(1000)
    with pytest.raises(ObjectStoreFailed, match="exists, and that it does not"):
        store.create("key", b"mine")
    refuse(0)
    with pytest.raises(ObjectMissing):
        store.get("key")


# -- failures ---------------------------------------------------------------------------


def test_every_call_of_a_store_that_refuses_is_an_error_with_url_key_and_cause(
    s3_environment: str,
) -> None:
    store = open_store("s3://there-is-no-such-bucket")
    calls: list[Callable[[], object]] = [
        lambda: store.put("key", b""),
        lambda: store.create("key", b""),
        lambda: store.list("key"),
    ]
    for call in calls:
        with pytest.raises(ObjectStoreFailed) as caught:
            call()
        assert caught.value.url == "s3://there-is-no-such-bucket"
        assert caught.value.key == "key"
        assert caught.value.cause
        assert "\n" not in str(caught.value)


# -- urls -------------------------------------------------------------------------------


def test_a_file_url_is_a_durable_folder(tmp_path: Path) -> None:
    store = open_store((tmp_path / "with space").as_uri())
    assert isinstance(store, FolderStore)
    store.put("key", b"1")
    assert (tmp_path / "with space" / "key").read_bytes() == b"1"


def test_each_memory_url_is_a_store_of_its_own() -> None:
    first, second = open_store("memory://"), open_store("memory://")
    first.put("key", b"1")
    assert second.list("") == []


def test_the_prefix_of_a_url_is_no_part_of_the_keys(bucket: str) -> None:
    inner = open_store(f"s3://{bucket}/pre/fix")
    inner.put("a/key", b"1")
    assert inner.list("") == ["a/key"]
    assert open_store(f"s3://{bucket}").list("") == ["pre/fix/a/key"]
    assert open_store(f"s3://{bucket}/pre/fi").list("") == []


@pytest.mark.parametrize("url", ["gs://bucket/prefix", "s3://bucket", "s3://bucket/a/b"])
def test_a_url_of_a_service_needs_no_request_to_be_opened(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    store = open_store(url)
    assert isinstance(store, ObstoreStore)
    assert store.url == url


def test_an_azure_url_needs_an_account_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ObjectStoreFailed, match="Account"):
        open_store("az://container/prefix")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert isinstance(open_store("az://container/prefix"), ObstoreStore)


@pytest.mark.parametrize(
    "url",
    ["", "bucket", "/a/path", "ftp://host/x", "http://host/x", "s3://", "file://", "file:///"],
)
def test_a_url_of_no_object_store_is_a_value_error(url: str) -> None:
    with pytest.raises(ObjectStoreUnknown) as caught:
        open_store(url)
    assert caught.value.url == url
    assert isinstance(caught.value, ValueError)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(ObjectStoreUnknown) as caught:
        open_store("s3://name:SECRET@bucket/prefix")
    assert "SECRET" not in repr(caught.value) + str(caught.value) + caught.value.url
    assert "environment" in str(caught.value)


def test_obstore_is_imported_by_the_first_store_that_needs_it_and_not_before(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from storage.objects import open_store;"
        f"open_store({tmp_path.as_uri()!r}); assert 'obstore' not in sys.modules;"
        "open_store('memory://'); assert 'obstore' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_obstore_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ObjectStoreFailed, match=r"facets-runtime\[replica\]"):
        open_store("s3://bucket")


def test_an_urgent_store_gives_up_on_a_service_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            monkeypatch.setenv(name, "test")
        store = open_store("s3://bucket/prefix")
        assert isinstance(store, SupportsUrgent)

        with pytest.raises(ObjectStoreFailed):  # and without, it would be some minutes
            store.urgent(0.1).put("key", b"data")


def test_an_urgent_store_is_the_same_store(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/prefix")
    assert isinstance(store, SupportsUrgent)
    store.urgent(30).put("key", b"data")
    assert store.get("key") == b"data"
