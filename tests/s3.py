"""An S3 service of the tests' own: moto's, in a process, on a free port of the loopback."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

SERVER = """
import sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()   # ends with the process that started this one, however that ends
"""
PAGE = 20
"""Keys that the service lists at a time; Amazon's is 1,000 and takes long to fill."""


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The url of the service."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
        text=True,
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "moto's server did not start"
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture(scope="session")
def s3_environment(s3_server: str) -> Iterator[str]:
    """The service, as the environment tells obstore of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", s3_server)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_REGION", "us-east-1")
        yield s3_server


@pytest.fixture
def bucket(s3_environment: str, request: pytest.FixtureRequest) -> str:
    """A new bucket for one test."""
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    connection = http.client.HTTPConnection(urlsplit(s3_environment).netloc)
    connection.request("PUT", f"/{name}")
    assert connection.getresponse().status == 200
    connection.close()
    return name
