"""What runs first in a sandbox, as its PID 1: starts commands, carries files, enforces limits.

The host reads this file as text and runs it inside, so it imports only the standard library and
nothing of this project. It holds one end of a socket pair; a frame there is the length of a JSON
header, the length of what follows it, then both.

That it is PID 1 ends what dies with its host: the socket's other end closes, this process returns,
and the kernel kills all others of the namespace. It starts nothing before the host's first frame,
so no moment is left in which a program runs and nobody watches (bwrap's own --die-with-parent
leaves such a moment). Programs have the same user as this process: it is not dumpable, so they can
read neither its memory nor its descriptors, and the kernel drops signals that they send to PID 1.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import resource
import selectors
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

HEAD = struct.Struct("!II")
PIECE = 1 << 18
SETTLED = 100_000_000
"""Nanoseconds after which a file that changes again has other times."""
TICK = 0.2
"""Seconds between two looks at memory, time and files."""
PATIENCE = 1.0
"""Seconds that output may follow the end of a command which left others behind."""


Order = dict[str, Any]
"""A header as it comes from the host: what it says is right."""


class Mark(NamedTuple):
    """What a path was when it was looked at; equal `kind`, `mode` and `content`: unchanged."""

    kind: str
    mode: int = 0
    content: str = ""
    """Of a file, a hash; of a link, its target."""
    stamp: tuple[int, int, int] = (0, 0, 0)
    looked: int = 0

    def same(self, other: Mark | None) -> bool:
        return other is not None and self[:3] == other[:3]


class Running:
    """One command: its pipes, and what came out of them."""

    def __init__(self, broker: Broker, order: Order, pid: int, pipes: tuple[int, int, int]) -> None:
        self.broker = broker
        self.id = order["id"]
        self.pid = pid
        self.shown = order["shown"]
        self.most = order["output"]
        self.stdin = pipes[0]
        self.pending = b""
        self.closing = False
        self.open = {pipes[1]: "stdout", pipes[2]: "stderr"}
        self.sizes = {"stdout": 0, "stderr": 0}
        self.spilled: dict[str, tuple[str, int]] = {}
        self.status: int | None = None
        self.cut = 0.0

    def came(self, stream: str, data: bytes) -> None:
        """Tell the host of the first bytes, keep the others in a file."""
        before = self.sizes[stream]
        self.sizes[stream] += len(data)
        if sum(self.sizes.values()) > self.most:
            self.broker.tell({"id": self.id, "limit": "output", "most": self.most})
            self.kill()
            return
        shown = data[: max(0, self.shown - before)] if self.shown >= 0 else data
        if shown:
            self.broker.tell({"id": self.id, "stream": stream}, shown)
        if len(shown) < len(data):
            self.spill(stream, data[len(shown) :])

    def spill(self, stream: str, data: bytes) -> None:
        if stream not in self.spilled:
            self.spilled[stream] = self.broker.spill_file(stream)
        fd = self.spilled[stream][1]
        while data:
            data = data[os.write(fd, data) :]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Its group, and all that descends from it now."""
        for pid in {self.pid, *descendants(self.pid)}:
            with contextlib.suppress(OSError):
                os.kill(pid, number)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, number)

    def over(self) -> bool:
        """Whether it ended, and its output too, or what it left behind has had its time."""
        return self.status is not None and (not self.open or time.monotonic() > self.cut)


class Broker:
    """Reads orders, serves pipes, counts."""

    def __init__(self, sock: socket.socket, workspace: str) -> None:
        self.sock = sock
        self.workspace = workspace
        self.selector = selectors.DefaultSelector()
        self.selector.register(sock, selectors.EVENT_READ, self.orders)
        self.running: dict[int, Running] = {}
        self.buffer = bytearray()
        self.limits: Order = {}
        self.marks: dict[str, Mark] = {}
        self.wake, signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(self.wake, selectors.EVENT_READ, self.reaped)

    def tell(self, header: Order, payload: bytes = b"") -> None:
        """One frame to the host, which always reads."""
        text = json.dumps(header).encode()
        self.sock.sendall(HEAD.pack(len(text), len(payload)) + text + payload)

    def serve(self) -> None:
        """Until the host goes away."""
        while True:
            events = self.selector.select(TICK if self.watching() else None)
            for key, _ in events:
                key.data(key.fileobj)
            if self.watching():
                self.watch()
            self.finish()

    def watching(self) -> bool:
        """Whether anything runs but this process."""
        return bool(self.running) or len(processes()) > 1

    # -- orders ----------------------------------------------------------------------------

    def orders(self, sock: socket.socket) -> None:
        data = sock.recv(PIECE)
        if not data:
            os._exit(0)
        self.buffer += data
        while len(self.buffer) >= HEAD.size:
            header, payload = HEAD.unpack_from(self.buffer)
            end = HEAD.size + header + payload
            if len(self.buffer) < end:
                return
            order = json.loads(self.buffer[HEAD.size : HEAD.size + header])
            content = bytes(self.buffer[HEAD.size + header : end])
            del self.buffer[:end]
            getattr(self, "do_" + order["do"])(order, content)

    def do_limits(self, order: Order, content: bytes) -> None:
        self.limits = order["limits"]
        self.tell({"ready": True})

    def do_put(self, order: Order, content: bytes) -> None:
        """A file, or the next piece of one; a link; a directory."""
        path = self.place(order["path"])
        try:
            if order["kind"] == "directory":
                os.makedirs(path, order["mode"] | 0o700, exist_ok=True)
            elif order["kind"] == "link":
                os.symlink(order["target"], path)
            else:
                write(path, order, content)
        except OSError as error:
            self.tell({"id": order["id"], "errno": error.errno, "path": order["path"]})
            return
        if order.get("last", True):
            self.tell({"id": order["id"], "end": True})

    def do_read(self, order: Order, content: bytes) -> None:
        try:
            with open(self.place(order["path"]), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise OSError(errno.EINVAL, "not a file")
                file.seek(order["offset"])
                data = file.read(order["size"])
        except OSError as error:
            self.tell({"id": order["id"], "errno": error.errno, "path": order["path"]})
            return
        for start in range(0, len(data), PIECE):
            self.tell({"id": order["id"]}, data[start : start + PIECE])
        self.tell({"id": order["id"], "end": True})

    def do_mark(self, order: Order, content: bytes) -> None:
        """What is here now is what the host has."""
        self.marks = {path: self.mark(path, None) for path in self.tree()}
        self.tell({"id": order["id"], "end": True})

    def do_changes(self, order: Order, content: bytes) -> None:
        """What is not as it was at the last mark, which this is the next of."""
        before, self.marks = self.marks, {}
        for path in self.tree():
            self.marks[path] = self.mark(path, before.get(path))
        gone = {
            path
            for path, mark in before.items()
            if path not in self.marks or self.marks[path].kind != mark.kind
        }
        self.tell({"id": order["id"], "gone": sorted(gone, reverse=True)})
        for path, mark in sorted(self.marks.items()):
            if path in gone or not mark.same(before.get(path)):
                self.changed(order, path)
        self.tell({"id": order["id"], "end": True})

    def do_exec(self, order: Order, content: bytes) -> None:
        try:
            pid, pipes = start(order, self.place(order["cwd"]), self.limits)
        except OSError as error:
            self.tell({"id": order["id"], "errno": error.errno})
            return
        one = self.running[order["id"]] = Running(self, order, pid, pipes)
        for fd in one.open:
            self.selector.register(fd, selectors.EVENT_READ, self.output)
        self.feed(one, content, order["eof"])
        self.tell({"id": order["id"], "pid": pid})

    def do_stdin(self, order: Order, content: bytes) -> None:
        one = self.running.get(order["id"])
        if one is not None:
            self.feed(one, content, order["eof"])

    def do_kill(self, order: Order, content: bytes) -> None:
        one = self.running.get(order["id"])
        if one is not None:
            one.kill(order["signal"])

    # -- pipes -------------------------------------------------------------------------------

    def output(self, fd: int) -> None:
        one = next(one for one in self.running.values() if fd in one.open)
        data = os.read(fd, PIECE)
        if data:
            try:
                one.came(one.open[fd], data)
            except OSError as error:  # no room for the file it spills into
                self.tell({"id": one.id, "limit": "disk", "errno": error.errno})
                one.kill()
            return
        self.drop(one, fd)

    def drop(self, one: Running, fd: int) -> None:
        self.selector.unregister(fd)
        os.close(fd)
        del one.open[fd]

    def feed(self, one: Running, data: bytes, eof: bool) -> None:
        """Bytes for its standard input, as fast as it takes them."""
        if one.stdin < 0:
            return
        waiting = bool(one.pending) or one.closing
        one.pending += data
        one.closing = one.closing or eof
        if not waiting and (one.pending or one.closing):
            self.selector.register(one.stdin, selectors.EVENT_WRITE, self.input)

    def input(self, fd: int) -> None:
        one = next(one for one in self.running.values() if one.stdin == fd)
        try:
            one.pending = one.pending[os.write(fd, one.pending[:PIECE]) :] if one.pending else b""
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            one.pending, one.closing = b"", True
        if one.pending:
            return
        self.selector.unregister(fd)
        if one.closing:
            os.close(fd)
            one.stdin = -1

    def reaped(self, fd: int) -> None:
        """Wait for whatever ended: commands, and orphans that PID 1 inherits."""
        os.read(fd, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for one in self.running.values():
                if one.pid == pid:
                    one.status = os.waitstatus_to_exitcode(status)
                    one.cut = time.monotonic() + PATIENCE

    def finish(self) -> None:
        """Tell of the commands that are over."""
        for one in [one for one in self.running.values() if one.over()]:
            for fd in [*one.open]:
                self.drop(one, fd)
            if one.stdin >= 0:
                if one.pending or one.closing:
                    self.selector.unregister(one.stdin)
                os.close(one.stdin)
            del self.running[one.id]
            spilled = {stream: path for stream, (path, _) in one.spilled.items()}
            for _, fd in one.spilled.values():
                os.close(fd)
            self.tell({"id": one.id, "code": one.status, "sizes": one.sizes, "spilled": spilled})

    # -- limits --------------------------------------------------------------------------------

    def watch(self) -> None:
        """End everything that runs when all of it together takes too much."""
        used = {"memory": memory(self.limits["memory"]), "cpu": cpu(), "files": self.files()}
        for name, amount in used.items():
            if amount > self.limits[name]:
                most = self.limits[name]
                self.tell({"over": name, "most": most, "used": amount})
                everyone(signal.SIGKILL)

    def files(self) -> int:
        """Entries of all file systems that can be written here."""
        found = 0
        for path in (self.workspace, "/tmp", "/dev/shm"):
            room = os.statvfs(path)
            found += room.f_files - room.f_ffree
        return found

    # -- files -----------------------------------------------------------------------------------

    def place(self, path: str) -> str:
        return os.path.join(self.workspace, path)

    def spill_file(self, stream: str) -> tuple[str, int]:
        """A new file for what is not shown, `.output/N.stdout`: its path, and it, open."""
        os.makedirs(self.place(".output"), exist_ok=True)
        for number in itertools.count(1):
            path = f".output/{number}.{stream}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with contextlib.suppress(FileExistsError):
                return path, os.open(self.place(path), flags, 0o644)
        raise AssertionError

    def tree(self) -> Iterator[str]:
        """Relative paths of everything below the workspace that is a file, link or directory."""
        todo = [""]
        while todo:
            folder = todo.pop()
            try:
                entries = [*os.scandir(self.place(folder))]
            except OSError:
                continue
            for entry in entries:
                path = os.path.join(folder, entry.name)
                kind = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(kind):
                    todo.append(path)
                if stat.S_ISDIR(kind) or stat.S_ISREG(kind) or stat.S_ISLNK(kind):
                    yield path

    def mark(self, path: str, before: Mark | None) -> Mark:
        """What a path is now; a file that has its old times is not read again."""
        try:
            found = os.lstat(self.place(path))
        except OSError:
            return Mark("gone")
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISDIR(found.st_mode):
            return Mark("directory", mode)
        if stat.S_ISLNK(found.st_mode):
            return Mark("link", content=os.readlink(self.place(path)))
        stamp = (found.st_ino, found.st_size, found.st_ctime_ns)
        # A change within the same tick of the kernel's clock would not be seen by its time.
        if before is not None and before.stamp == stamp and before.looked - stamp[2] > SETTLED:
            return before
        looked = time.time_ns()
        return Mark("file", mode, digest_of(self.place(path)), stamp, looked)

    def changed(self, order: Order, path: str) -> None:
        kind, mode, text = self.marks[path][:3]
        if kind == "gone":
            return
        about = {"id": order["id"], "path": path, "kind": kind, "mode": mode}
        if kind == "link":
            about["target"] = text
        if kind != "file":
            self.tell(about)
            return
        try:
            fd = os.open(self.place(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return
        with open(fd, "rb") as file:
            while data := file.read(PIECE):
                self.tell({**about, "more": True}, data)
        self.tell(about)


def write(path: str, order: Order, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (0 if order["offset"] else os.O_TRUNC)
    fd = os.open(path, flags, 0o600)
    try:
        done = 0
        while done < len(content):
            done += os.pwrite(fd, content[done:], order["offset"] + done)
        os.fchmod(fd, order["mode"] | 0o600)
    finally:
        os.close(fd)


def digest_of(path: str) -> str:
    import hashlib  # a third of what all other imports take, and most boxes have no files

    found = hashlib.blake2b(digest_size=20)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return "unreadable"
    with open(fd, "rb") as file:
        while data := file.read(PIECE):
            found.update(data)
    return found.hexdigest()


# -- processes -------------------------------------------------------------------------------------


def start(order: Order, cwd: str, limits: Order) -> tuple[int, tuple[int, int, int]]:
    """Fork and exec; the pid, and the host's ends of its pipes. OSError if it cannot run."""
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
    failure, told = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        become(order, cwd, limits, (pipes[0][0], pipes[1][1], pipes[2][1]), told)
    for fd in (pipes[0][0], pipes[1][1], pipes[2][1], told):
        os.close(fd)
    ends = (pipes[0][1], pipes[1][0], pipes[2][0])
    with open(failure, "rb") as file:
        number = file.read()
    if number:
        for fd in ends:
            os.close(fd)
        raise OSError(int(number), os.strerror(int(number)))
    os.set_blocking(ends[0], False)
    return pid, ends


def become(order: Order, cwd: str, limits: Order, pipes: tuple[int, int, int], told: int) -> None:
    """Of the child: what it may take, then the command in its place."""
    try:
        os.setsid()
        for number, fd in enumerate(pipes):
            os.dup2(fd, number)
        for name, most in limits["each"].items():
            number = getattr(resource, "RLIMIT_" + name)
            resource.setrlimit(number, (most, most + (name == "CPU")))
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(cwd)
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        os.write(told, str(error.errno).encode())
    finally:
        os._exit(127)


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def everyone(number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(-1, number)


def fields(pid: int) -> list[str] | None:
    """What /proc/PID/stat says behind the name: state, parent, ..."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def descendants(root: int) -> set[int]:
    """The processes below one, as far as their parents live."""
    parents = {pid: int(found[1]) for pid in processes() if (found := fields(pid))}
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return below - {root}


def memory(most: int) -> int:
    """Bytes that all processes but this one have; shared pages once, if that could matter."""
    page = resource.getpagesize()
    pids = [pid for pid in processes() if pid != 1]
    total = sum(int(found[21]) * page for pid in pids if (found := fields(pid)) is not None)
    return total if total <= most else sum(map(proportional, pids))


def proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


def cpu() -> float:
    """Processor seconds of everything that ran here, this process left out."""
    tick = os.sysconf("SC_CLK_TCK")
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    live = 0
    for pid in processes():
        found = fields(pid) if pid != 1 else None
        live += sum(map(int, found[11:15])) if found else 0
    return ended.ru_utime + ended.ru_stime + live / tick


def hand_out(fd: int, port: int) -> None:
    """Listen on the loopback of the box, and give that socket to the host: it serves it."""
    with socket.socket(fileno=fd) as door, socket.socket() as listening:
        listening.bind(("127.0.0.1", port))
        listening.listen(64)
        socket.send_fds(door, [b"x"], [listening.fileno()])


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    os.umask(0o022)
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    if len(sys.argv) > 3:
        hand_out(int(sys.argv[3]), int(sys.argv[4]))
    Broker(sock, sys.argv[2]).serve()


if __name__ == "__main__":
    main()
