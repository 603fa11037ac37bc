"""Running user code within its limits: started, watched, ended with all that descends from it.

To be used by a process that does nothing else (the supervisor): it becomes a subreaper, reaps every
child, and what is below it when a run ends is killed.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ahstore.errors import StorageError
from ahstore.jobs.running import launch
from ahstore.jobs.running.processes import (
    become_subreaper,
    descendants,
    end_descendants,
    resident_bytes,
)
from ahstore.jobs.running.usage import folder_usage, unlinked_usage

TICK_SECONDS = 0.1
USAGE_SECONDS = 0.25
USAGE_SHARE = 4
DRAIN_SECONDS = 2.0
READ_BYTES = 64 << 10
READS_A_TICK = 64

EndedBy = Literal["exit", "volume", "timeout", "memory", "stop"]


@dataclass(frozen=True, slots=True)
class Limits:
    """``volume`` bytes for everything under ``folders``; ``timeout`` in seconds or None.

    ``memory``: bytes that all its processes may have resident together; ``cpus``: the processors
    that they are kept to.
    """

    volume: int
    folders: tuple[str, ...]
    timeout: float | None = None
    memory: int | None = None
    cpus: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How user code ended. ``status`` is the exit status, negative for a signal's number.

    ``usage`` is the size in bytes of what it left; ``peak_memory`` the most bytes that its processes
    had resident together, as sampled, or that the kernel says one of them had, if that is more (None: it was
    over too soon to be seen); ``clean`` is False when a process could not be ended (it hangs in the kernel).
    """

    status: int
    by: EndedBy
    usage: int
    peak_memory: int | None = None
    clean: bool = True


class UserProcess:
    """One command with its limits. ``on_output`` gets what it prints, ``should_stop`` is asked often."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: str,
        environment: Mapping[str, str],
        limits: Limits,
        on_output: Callable[[bytes], None],
        should_stop: Callable[[], bool] = lambda: False,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._argv = list(argv)
        self._folder = folder
        self._environment = dict(environment)
        self._limits = limits
        self._on_output = on_output
        self._should_stop = should_stop
        self._on_tick = on_tick
        self._status: int | None = None
        self._pid = 0
        self._peak_memory = 0
        self._next_sample = 0.0
        self._largest_reaped = 0

    def run(self) -> Ending:
        """Run to the end, which no descendant outlives.

        Raises:
            StorageError: the process can't be started.
        """
        if not become_subreaper():
            raise StorageError("this system can't keep track of a run's processes (no subreaper)")
        reading = self._start()
        with os.fdopen(reading, "rb", buffering=0) as pipe, selectors.DefaultSelector() as selector:
            os.set_blocking(reading, False)
            selector.register(pipe, selectors.EVENT_READ)
            ended_by: EndedBy = "exit"
            try:
                ended_by = self._watch(reading, selector)
            finally:
                clean = end_descendants(self._reap)
                self._drain(reading)
        usage = folder_usage(self._limits.folders)
        status = self._status if self._status is not None else -signal.SIGKILL
        if ended_by == "exit" and self._outgrown(status, usage):
            ended_by = "volume"
        return Ending(status, ended_by, usage, self._peak(), clean)

    def _start(self) -> int:
        reading, writing = os.pipe()
        script = os.path.abspath(launch.__file__)
        supervisor = str(os.getpid())
        cpus = ",".join(map(str, sorted(self._limits.cpus or ()))) or "all"
        argv = [
            sys.executable,
            "-I",
            "-S",
            script,
            str(self._limits.volume),
            cpus,
            supervisor,
            "--",
        ]
        try:
            process = subprocess.Popen(
                [*argv, *self._argv],
                stdin=subprocess.DEVNULL, stdout=writing, stderr=writing,
                cwd=self._folder, env=self._environment, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            os.close(reading)
            raise StorageError(f"can't start {self._argv[0]!r}: {error}") from error
        finally:
            os.close(writing)
        self._pid = process.pid
        process.returncode = 0  # This module reaps it; Popen need not wait for it.
        return reading

    def _watch(self, reading: int, selector: selectors.BaseSelector) -> EndedBy:
        started = time.monotonic()
        next_usage = started
        is_open = True
        while True:
            self._reap()
            if self._status is not None:
                return "exit"
            if is_open and selector.select(TICK_SECONDS):
                is_open = self._read(reading)
            elif not is_open:
                time.sleep(TICK_SECONDS)
            self._on_tick()
            if self._sample_memory():
                return "memory"
            if self._should_stop():
                return "stop"
            now = time.monotonic()
            if self._limits.timeout is not None and now - started > self._limits.timeout:
                return "timeout"
            if now >= next_usage:
                if self._measure() > self._limits.volume:
                    return "volume"
                done = time.monotonic()
                next_usage = done + max(USAGE_SECONDS, USAGE_SHARE * (done - now))

    def _peak(self) -> int | None:
        # A child starts out as this process: of less than what that had the kernel says nothing.
        floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        exact = self._largest_reaped if self._largest_reaped > floor else 0
        return max(self._peak_memory, exact) or None

    def _sample_memory(self) -> bool:
        """Look now and then how much memory the run has; tell whether it is too much."""
        now = time.monotonic()
        if now < self._next_sample:
            return False
        self._next_sample = now + TICK_SECONDS
        resident = resident_bytes(descendants(os.getpid()))
        self._peak_memory = max(self._peak_memory, resident)
        return self._limits.memory is not None and resident > self._limits.memory

    def _measure(self) -> int:
        device = os.stat(self._folder).st_dev if os.path.isdir(self._folder) else -1
        return folder_usage(self._limits.folders, stop_above=self._limits.volume) + unlinked_usage(
            descendants(os.getpid()), device
        )

    def _outgrown(self, status: int, usage: int) -> bool:
        """Tell whether the limit is why it ended: over it, or stopped at it by the kernel."""
        hit_limit = status in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
        return (
            usage > self._limits.volume
            or hit_limit
            or (status != 0 and usage >= self._limits.volume)
        )

    def _reap(self) -> bool:
        """Collect the children that have ended; False when the kernel says there are none left."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self._largest_reaped = max(self._largest_reaped, used.ru_maxrss << 10)
            if pid == self._pid:
                self._status = os.waitstatus_to_exitcode(status)

    def _read(self, reading: int) -> bool:
        """Hand on what was printed; False once everyone has closed the pipe."""
        for _ in range(READS_A_TICK):
            try:
                data = os.read(reading, READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._on_output(data)
        return True

    def _drain(self, reading: int) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            try:
                data = os.read(reading, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            self._on_output(data)
