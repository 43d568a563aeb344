"""The lock: one live process owns a state directory."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from storage import Store
from storage.errors import StateFormat, StateInUse
from storage.lock import Lock

HOLD = """
import sys
from pathlib import Path
from storage.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def holder(root: Path) -> subprocess.Popen[str]:
    """Another process that has the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    process.wait()


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    with pytest.raises(StateInUse) as caught:
        Lock(tmp_path)
    assert (caught.value.pid, caught.value.path) == (os.getpid(), str(tmp_path))
    lock.release()
    Lock(tmp_path).release()


def test_another_process_is_named_by_its_pid_and_command(tmp_path: Path) -> None:
    process = holder(tmp_path)
    with pytest.raises(StateInUse) as caught:
        Lock(tmp_path)
    assert caught.value.pid == process.pid
    assert str(process.pid) in str(caught.value)
    assert caught.value.command
    assert pickle.loads(pickle.dumps(caught.value)).pid == process.pid
    end(process)
    Lock(tmp_path).release()


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    end(process)
    Lock(tmp_path).release()


def test_releasing_twice_lets_go_once(tmp_path: Path) -> None:
    first = Lock(tmp_path)
    first.release()
    second = Lock(tmp_path)  # very likely the same descriptor
    first.release()
    with pytest.raises(StateInUse):
        Lock(tmp_path)
    second.release()


def test_the_file_stays_because_removing_it_would_race(tmp_path: Path) -> None:
    Lock(tmp_path).release()
    inode = (tmp_path / "lock").stat().st_ino
    lock = Lock(tmp_path)
    assert (tmp_path / "lock").stat().st_ino == inode
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.release()


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff\xfe", b"null"])
def test_an_owner_that_has_not_said_its_name_is_unknown(tmp_path: Path, said: bytes) -> None:
    lock = Lock(tmp_path)
    (tmp_path / "lock").write_bytes(said)
    with pytest.raises(StateInUse) as caught:
        Lock(tmp_path)
    assert (caught.value.pid, caught.value.command) == (0, "unknown")
    lock.release()


def test_a_lock_that_cannot_be_signed_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        Lock(tmp_path)
    monkeypatch.undo()
    Lock(tmp_path).release()


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    lock.release()
    Lock(tmp_path).release()
    assert child.stdin is not None
    child.stdin.close()
    child.wait()


def test_a_store_has_its_directory_until_it_is_closed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state")
    with pytest.raises(StateInUse):
        Store.open(tmp_path / "state")
    store.close()
    Store.open(tmp_path / "state").close()


def test_a_store_that_cannot_be_opened_does_not_keep_the_directory(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir()
    (root / "something").write_text("of somebody else")
    for _ in range(2):
        with pytest.raises(StateFormat):
            Store.open(root)
    (root / "something").unlink()
    Store.open(root).close()
