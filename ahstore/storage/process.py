"""Which process on which machine: enough to tell later whether it is alive, by no clock.

A process is known by the machine, its boot, the namespace that numbers processes, its number and
its start time there (numbers are used again). Read from ``/proc``; nothing is decided here.
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError

_ENDED_STATES = (b"Z", b"X", b"x")
_START_TIME_FIELD = 19  # the 22nd of /proc/<pid>/stat, counted behind the command's name


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, for all time.

    Attributes:
        host: a digest of the machine's id and name; empty if it has none.
        boot: the id of the kernel's boot.
        namespace: the namespace of process numbers: containers on one kernel differ in it.
        pid: the number in that namespace.
        start: the start time in clock ticks since the boot.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    start: int

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        return _identity(os.getpid())

    @classmethod
    def find(cls, pid: int) -> ProcessIdentity | None:
        """Return the identity of a running process of this machine; None if there is none."""
        start = _start_time(pid)
        if start is None:
            return None
        return cls(_host(), _boot(), _namespace(), pid, start)

    def is_here(self) -> bool:
        """Tell whether this machine can say for sure if the process is alive."""
        if not self.host or self.host != _host() or not self.boot or not _boot():
            return False
        return self.boot != _boot() or self.namespace == _namespace()

    def is_alive(self) -> bool:
        """Tell whether the process may be alive: False only if it surely is not.

        Of a process elsewhere (``not is_here()``) nothing is known, so it may be. A zombie is
        dead: nobody has collected its exit status, but it does nothing any more.
        """
        if not self.is_here():
            return True
        return self.boot == _boot() and _start_time(self.pid) == self.start

    def to_value(self) -> dict[str, Value]:
        """Return the form that documents store."""
        return {
            "boot": self.boot,
            "host": self.host,
            "namespace": self.namespace,
            "pid": self.pid,
            "start": self.start,
        }

    @classmethod
    def from_value(cls, value: Value) -> ProcessIdentity:
        """Return the identity stored as ``value``.

        Raises:
            CorruptError: it is none.
        """
        if isinstance(value, dict):
            texts = [value.get(name) for name in ("host", "boot", "namespace")]
            numbers = [value.get(name) for name in ("pid", "start")]
            if all(type(text) is str for text in texts) and all(type(n) is int for n in numbers):
                return cls(*texts, *numbers)  # type: ignore[arg-type]
        raise CorruptError("not the identity of a process")


@functools.lru_cache(maxsize=4)
def _identity(pid: int) -> ProcessIdentity:
    return ProcessIdentity(_host(), _boot(), _namespace(), pid, _start_time(pid) or 0)


@functools.cache
def _host() -> str:
    machine = _read("/etc/machine-id") or _read("/var/lib/dbus/machine-id")
    name = os.uname().nodename
    if not machine and name in ("", "localhost"):
        return ""
    return hashlib.sha256(f"{machine}\n{name}".encode()).hexdigest()[:32]


@functools.cache
def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _start_time(pid: int) -> int | None:
    """Return when the process started, in clock ticks since the boot; None if it has ended."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(fd, 4096)
    except OSError:  # it ended meanwhile
        return None
    finally:
        os.close(fd)
    fields = line[line.rfind(b")") + 2 :].split()
    if len(fields) <= _START_TIME_FIELD or fields[0] in _ENDED_STATES:
        return None
    return int(fields[_START_TIME_FIELD])
