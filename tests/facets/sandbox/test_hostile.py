"""Commands that want out of their box, or to outlive it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from facets.sandbox import Box, Sandbox


async def python(box: Box, code: str) -> str:
    return (await box.exec(["python3", "-c", textwrap.dedent(code)])).check().text


async def test_a_fork_bomb_ends_with_its_box(sandbox: Sandbox) -> None:
    async with sandbox.open() as box:
        with pytest.raises(TimeoutError):
            await box.exec(["bash", "-c", "b() { b | b & }; b; sleep 1000"], seconds=1)
        inside = (await box.exec(["true"])).code
    assert inside == 0
    assert leftovers() == []


def leftovers() -> list[str]:
    """Command lines of processes of a box, seen from outside."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode()
        except OSError:
            continue
        if "facets-broker" in line and str(os.getpid()) in owner(path.parent):
            found.append(line)
    return found


def owner(process: Path) -> str:
    return (process / "status").read_text().partition("PPid:")[2].splitlines()[0]


async def test_no_file_of_the_host_can_be_read(box: Box, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    tmp_path.chmod(0o755)
    places = [secret, Path(__file__), Path("/etc/shadow"), Path("/root"), Path("/var/lib"),
              Path("/sys/kernel"), Path("/proc/1/root/etc/shadow"), Path("/run"),
              Path(f"/proc/{os.getpid()}/environ")]  # fmt: skip
    code = f"""
        import os
        for path in {[str(one) for one in places]!r}:
            try:
                print(os.listdir(path) if os.path.isdir(path) else open(path).read())
            except OSError: pass
    """

    assert await python(box, code) == ""


async def test_nothing_of_the_host_can_be_written(box: Box) -> None:
    code = """
        import os
        for path in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/lib", "/proc/sys/kernel"):
            try:
                open(os.path.join(path, "mine"), "w"); print(path)
            except OSError: pass
        for path in ("/proc/sys/kernel/core_pattern", "/etc/passwd", "/usr/bin/env"):
            try:
                open(path, "r+"); print(path)
            except OSError: pass
    """

    assert await python(box, code) == ""


async def test_the_environment_of_the_host_does_not_leak(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "octopus")
    seen = (await box.exec(["sh", "-c", "env; tr '\\0' '\\n' < /proc/1/environ"])).text

    assert {line.partition("=")[0] for line in seen.splitlines()} <= {
        "HOME", "LANG", "PATH", "USER", "PWD", "SHLVL", "_", "OLDPWD",
    }  # fmt: skip


async def test_only_processes_of_the_box_are_there(box: Box) -> None:
    code = f"""
        import os
        print(*[one for one in os.listdir("/proc") if one.isdigit() and int(one) > 1] == [
            str(os.getpid())] and ["alone"])
        for pid in ({os.getpid()}, {os.getppid()}):
            try: os.kill(pid, 0); print("seen")
            except ProcessLookupError: pass
    """
    assert await python(box, code.replace("*[", "[")) == "['alone']\n"


async def test_there_is_no_network_but_the_own_loopback(box: Box) -> None:
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    code = f"""
        import socket
        for address in (("127.0.0.1", {port}), ("1.1.1.1", 53), ("169.254.169.254", 80)):
            try: socket.create_connection(address, 1); print(address)
            except OSError: pass
        try: print(socket.getaddrinfo("example.com", 80))
        except OSError: pass
        print(*[name for _, name in socket.if_nameindex()])
    """
    async with listening:
        assert await python(box, code) == "lo\n"


async def test_abstract_sockets_of_the_host_are_not_reached(box: Box) -> None:
    name = f"\0facets-{os.getpid()}"
    listening = await asyncio.start_unix_server(lambda *_: None, name)
    code = f"""
        import socket
        try: socket.socket(socket.AF_UNIX).connect({name!r}); print("connected")
        except ConnectionRefusedError: print("refused")
    """
    async with listening:
        assert await python(box, code) == "refused\n"


async def test_privileges_cannot_be_had(box: Box) -> None:
    status = (await box.exec(["cat", "/proc/self/status"])).text
    lines = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)

    assert {lines[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")
    for command in (["unshare", "-U", "true"], ["mount", "-t", "tmpfs", "x", "/tmp"],
                    ["/usr/sbin/chroot", "/tmp"], ["su", "-c", "true"]):  # fmt: skip
        assert (await box.exec(command)).code != 0, command


async def test_system_calls_around_the_walls_are_refused(box: Box) -> None:
    code = """
        import ctypes, errno, platform
        libc = ctypes.CDLL(None, use_errno=True)
        def errors(call, *args):
            return errno.errorcode[ctypes.get_errno()] if libc[call](*args) == -1 else "allowed"
        print(errors("unshare", 0x10000000), errors("ptrace", 0, 0, 0, 0), errors("setns", 0, 0))
        for family, protocol in ((40, 0), (40 | 1 << 32, 0), (38, 0), (17, 0), (16, 9), (44, 0)):
            args = [ctypes.c_long(one) for one in (family, 2, protocol)]
            print(errors("socket", *args), end=" ")
        print(errors("socket", 16, 3, 0), errors("socket", 2, 1, 0), errors("socket", 1, 1, 0))
        print(errors("memfd_create", b"x", 0), errors("shmget", 1, 4096, 0o1600),
              errors("syscall", 425, 1, 0) if platform.machine() == "x86_64" else "ENOSYS")
    """
    first, second, third = (await python(box, code)).splitlines()

    assert first == "EPERM EPERM EPERM"
    assert second.split()[:6] == ["EAFNOSUPPORT"] * 6
    assert second.split()[6:] == ["allowed"] * 3
    assert third == "ENOSYS EPERM ENOSYS"


async def test_the_broker_cannot_be_read_written_stopped_or_killed(box: Box) -> None:
    code = """
        import os, signal
        for path in ("mem", "environ", "maps", "fd/3", "root"):
            try: open(f"/proc/1/{path}", "rb"); print(path)
            except OSError: pass
        try: print(os.listdir("/proc/1/fd"))
        except OSError: pass
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGSTOP, signal.SIGKILL,
                       signal.SIGSEGV, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1):
            os.kill(1, number)
        print("done")
    """
    assert await python(box, code) == "done\n"
    assert (await box.exec(["echo", "on"])).text == "on\n"


async def test_a_command_inherits_nothing_that_is_open(box: Box) -> None:
    assert await python(box, "import os; print(os.listdir('/proc/self/fd'))") == (
        "['0', '1', '2', '3']\n"  # the last is of the listing itself
    )


async def test_a_command_that_kills_all_it_sees_does_not_kill_the_broker(box: Box) -> None:
    other = await box.start(["sleep", "1000"])
    assert (await box.exec(["sh", "-c", "kill -9 -1"])).code == 0
    assert await other.wait() == -9
    assert (await box.exec(["echo", "on"])).text == "on\n"


async def test_names_of_processes_and_files_cannot_confuse_the_broker(box: Box) -> None:
    code = r"""
        import ctypes, os
        ctypes.CDLL(None).prctl(15, b") R 1 1 1 (")
        os.mkdir(".output"); os.mkdir(".output/9x"); open(".output/zz", "w")
        for name in (b"\xff\xfe", b"new\nline", b"x" * 255): open(name, "w")
        os.mkfifo("pipe"); os.symlink("/dev/zero", "zero"); os.symlink("self", "self")
        print("x" * 100000)
    """
    done = await box.exec(["python3", "-c", textwrap.dedent(code)])

    assert (done.code, done.stdout_size) == (0, 100_001)


CHILD = """
import asyncio, sys
from facets.sandbox import Sandbox
async def main():
    async with Sandbox().open() as box:
        process = await box.start(["sh", "-c", "setsid sleep 4242 & sleep 4242"])
        await box.exec(["sh", "-c", "until [ $(pgrep -c sleep) = 2 ]; do :; done"])
        print("up", flush=True)
        await process.wait()
asyncio.run(main())
"""


def sleepers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\x004242\x00":
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.usefixtures("available")
async def test_nothing_outlives_a_host_that_was_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert await asyncio.to_thread(child.stdout.readline) == "up\n"
        assert len(sleepers()) == 2
        child.send_signal(signal.SIGKILL)
        await asyncio.to_thread(child.wait)
        async with asyncio.timeout(10):
            while sleepers():
                await asyncio.sleep(0.01)


EARLY = """
import asyncio, os, sys
from facets.sandbox import Sandbox, channel
start, begin = channel._start, channel.Channel._begin
def started(*args):
    process = start(*args)
    print(process.pid, flush=True)
    if when == "started":
        os._exit(0)
    return process
async def begun(*args):
    await begin(*args)
    if when == "ready":
        os._exit(0)
async def told(box):
    process = await box.start(["sh", "-c", "sleep 4242"])
    os._exit(0)
async def main():
    async with Sandbox().open() as box:
        await told(box)
channel._start, channel.Channel._begin = started, begun
for when in ["started", "ready", "told"] * 2:
    pid = os.fork()
    if not pid:
        asyncio.run(main())
    os.waitpid(pid, 0)
"""


@pytest.mark.usefixtures("available")
async def test_nothing_outlives_a_host_that_ends_while_it_starts() -> None:
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", EARLY], capture_output=True, text=True, check=True
    )
    boxes = [Path(f"/proc/{pid}") for pid in done.stdout.split()]

    assert len(boxes) == 6
    async with asyncio.timeout(10):
        while sleepers() or any(box.exists() for box in boxes):
            await asyncio.sleep(0.01)
