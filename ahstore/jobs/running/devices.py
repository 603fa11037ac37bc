"""Which processors and accelerators of this machine a run has to itself.

Each is a file in the folder for runs that a run locks while it works; a process that dies lets go of
its locks. Processors are shared out among runs that ask for them, and twice only when there are not
enough: then they are slow, and right. An accelerator is one run's alone: a run waits for it.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

from ahstore.errors import StorageError
from ahstore.jobs.environment import caller_environment

DEVICES_FOLDER = ".devices"
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
DRIVER_SECONDS = 10.0


def list_gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the accelerators that may be used, as ``CUDA_VISIBLE_DEVICES`` names them.

    Those which that variable lists already, else all that NVIDIA's tool knows.
    """
    given = environment.get(VISIBLE_GPUS)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    question = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            question, stdin=subprocess.DEVNULL, capture_output=True, env=dict(environment),
            timeout=DRIVER_SECONDS, check=False, text=True, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip().isdigit()]


def count_gpus() -> int:
    """Return how many accelerators a run on this machine may use."""
    return len(list_gpus(caller_environment()))


class Devices:
    """What a run holds in ``folder``, until the end of the block. It has nothing at first."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._held: list[int] = []

    def take_cpus(self, count: int) -> set[int]:
        """Return ``count`` processors, free ones first; all there are if there are not more.

        Raises:
            StorageError: the folder can't be written.
        """
        allowed = sorted(os.sched_getaffinity(0))
        mine = self._take("cpu", map(str, allowed), count)
        rest = [number for number in allowed if str(number) not in mine]
        return {int(name) for name in mine} | set(rest[: max(0, count - len(mine))])

    def take_gpus(self, names: Sequence[str], count: int) -> list[str] | None:
        """Return ``count`` of these accelerators that nobody holds; None if there are too few now.

        Raises:
            StorageError: the folder can't be written.
        """
        before = len(self._held)
        mine = self._take("gpu", names, count)
        if len(mine) == count:
            return mine
        while len(self._held) > before:
            os.close(self._held.pop())
        return None

    def _take(self, kind: str, names: Iterable[str], count: int) -> list[str]:
        taken: list[str] = []
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            for name in names:
                if len(taken) == count:
                    break
                path = os.path.join(self._folder, f"{kind}-{name.replace('/', '_')}")
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(fd)
                    continue
                self._held.append(fd)
                taken.append(name)
        except OSError as error:
            raise StorageError(
                f"can't share out the machine in {self._folder}: {error.strerror}"
            ) from error
        return taken

    def __enter__(self) -> Devices:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._held:
            os.close(self._held.pop())
