"""Starting a supervisor that outlives whoever starts it.

The supervisor is forked off twice and told what to do over a pipe, in two steps: it first says who
it is, so that the run's record names it from its first version on; only when that record is written
is it sent its orders. A caller who dies between leaves a supervisor that gets no orders and ends.
Orders (with the secrets that a repository's URL, variables and the storage's options may hold) never stand on
a command line or on disk. Credentials in the environment reach the supervisor by inheritance.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahstore.errors import CorruptError, StorageError
from ahstore.ids import RunId
from ahstore.jobs.environment import caller_environment
from ahstore.jobs.running.workspace import Workspace
from ahstore.storage.process import ProcessIdentity

SUPERVISOR_MODULE = "ahstore.jobs.running.supervisor"
SUPERVISOR_LOG = "supervisor.log"
SPAWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What a supervisor needs to know beside what the run's record says."""

    store_url: str
    cache_root: str | None
    user: str
    model: str
    secret_url: str | None
    storage_options: Mapping[str, Any] | None = None
    at_once: int | None = None
    cache_size: int | None = None
    hidden: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the line that goes over the pipe."""
        return json.dumps(
            {name: getattr(self, name) for name in Orders.__dataclass_fields__}, sort_keys=True
        )

    @staticmethod
    def from_json(text: str) -> Orders:
        """Return what ``to_json`` wrote."""
        return Orders(**json.loads(text))

    def __repr__(self) -> str:
        return f"Orders(store_url={self.store_url!r}, model={self.model!r})"


class WaitingSupervisor:
    """A supervisor that waits for its orders. As a context manager it is sent off without them."""

    def __init__(self, identity: ProcessIdentity, pipe: Any) -> None:
        self.identity = identity
        self._pipe = pipe

    def send(self, orders: Orders) -> None:
        """Give the orders and let it go; it is nobody's child any more.

        Raises:
            StorageError: it has died meanwhile.
        """
        try:
            self._pipe.write(orders.to_json().encode())
            self._pipe.close()
        except OSError as error:
            raise StorageError("the run's supervisor died before it began") from error

    def __enter__(self) -> WaitingSupervisor:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._pipe.close()


def spawn_supervisor(run: RunId, workspace: Workspace) -> WaitingSupervisor:
    """Start a supervisor for a run whose workspace exists.

    Raises:
        StorageError: it can't be started.
    """
    log = os.path.join(workspace.logs, SUPERVISOR_LOG)
    try:
        with open(log, "ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", SUPERVISOR_MODULE, run],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                cwd="/", env=_environment(), start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise StorageError(f"can't start the run's supervisor: {error}") from error
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout as answers:
        answer = answers.readline()
    try:
        # What was started has forked off the supervisor and ends at once.
        process.wait(SPAWN_SECONDS)
        identity = ProcessIdentity.from_value(json.loads(answer))
    except (subprocess.TimeoutExpired, ValueError, CorruptError) as error:
        process.kill()
        process.wait()
        process.stdin.close()
        raise StorageError(f"the run's supervisor did not start: see {log}", path=log) from error
    return WaitingSupervisor(identity, process.stdin)


def _environment() -> dict[str, str]:
    """Return the caller's environment, in which this very ahstore is found."""
    environment = caller_environment()
    root = str(Path(__file__).resolve().parents[3])
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    # The supervisor works elsewhere: a relative folder would mean another there.
    path = [root, *(os.path.abspath(folder) for folder in given if folder)]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    return environment
