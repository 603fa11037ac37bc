"""What a run gets of the machine it is on: what its spec asks for, as variables and limits.

In an engine's job the engine has chosen the processors and accelerators; here this module does.
Threads are kept to the processors either way, and so are time and memory to what was asked for.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ahstore.errors import RunFailedError
from ahstore.jobs.environment import caller_environment
from ahstore.jobs.records import RunRecord
from ahstore.jobs.running.devices import DEVICES_FOLDER, VISIBLE_GPUS, Devices, list_gpus

WAIT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Allotment:
    """``variables`` for the code's environment; ``cpus`` it is kept to, None for any.

    ``began`` is when it could begin, by the monotonic clock.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    cpus: frozenset[int] | None = None
    began: float = field(default_factory=time.monotonic)

    def seconds_left(self, record: RunRecord) -> float | None:
        """Return how long the code may take: its time-out, or what is left of the run's time."""
        asked = record.spec.resources.time
        left = None if asked is None else max(0.0, asked - (time.monotonic() - self.began))
        limits = [seconds for seconds in (record.spec.timeout, left) if seconds is not None]
        return min(limits, default=None)

    def is_used_up(self, record: RunRecord) -> bool:
        """Tell whether the time that the run asked for is over."""
        asked = record.spec.resources.time
        return asked is not None and time.monotonic() - self.began >= asked


@contextlib.contextmanager
def allot(
    record: RunRecord, workspace_root: str, *, wait: Callable[[str], None]
) -> Iterator[Allotment]:
    """Have for the block what a run asks for.

    ``wait`` is called with what is waited for, again and again while accelerators are others'.

    Raises:
        RunFailedError: the machine has fewer than it asks for.
        StorageError: the folder for runs can't be written.
    """
    asked = record.spec.resources
    variables = asked.thread_variables()
    if record.job is not None or not (asked.cpus or asked.gpus is not None):
        yield Allotment(variables)
        return
    with Devices(os.path.join(os.path.dirname(workspace_root), DEVICES_FOLDER)) as devices:
        if asked.gpus is not None:
            variables[VISIBLE_GPUS] = ",".join(_gpus(devices, asked.gpus, wait))
        cpus = frozenset(devices.take_cpus(asked.cpus)) if asked.cpus else None
        yield Allotment(variables, cpus)


def _gpus(devices: Devices, count: int, wait: Callable[[str], None]) -> list[str]:
    names = list_gpus(caller_environment())
    if len(names) < count:
        raise RunFailedError(f"the run asks for {count} GPU(s); this machine has {len(names)}")
    while True:
        taken = devices.take_gpus(names, count)
        if taken is not None:
            return taken
        wait(f"waits for {count} GPU(s) that other runs have")
        time.sleep(WAIT_SECONDS)
