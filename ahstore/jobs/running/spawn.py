"""What a run's worker is started with: its command, and its orders.

The worker is the same program everywhere. On this machine it reads its orders from a pipe, since
they may hold secrets (of a repository's URL, of variables, of the storage's options), which never stand on a
command line or on disk; credentials in the environment reach it by inheritance. In an engine's job
its orders are an argument and hold no secret: the node has to have them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ahstore.ids import RunId
from ahstore.jobs.engines.contract import JobRequest
from ahstore.jobs.environment import ahstore_path, caller_environment
from ahstore.jobs.resources import Resources
from ahstore.jobs.running.workspace import Workspace

SUPERVISOR_MODULE = "ahstore.jobs.running.supervisor"
SUPERVISOR_LOG = "supervisor.log"


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker needs to know beside what the run's record says.

    Attributes:
        store_url: the store; without secrets.
        cache_root: where it keeps what can be made again.
        user: whose run it is.
        model: whose record it is.
        secret_url: the repository's URL, if it holds a secret.
        storage_options: how the store is opened; may hold secrets.
        cache_size: most bytes that it keeps of a store far away.
        hidden: values of the code's variables that are recorded nowhere.
        at_once: how many queued runs may work at once on its machine.
        is_elsewhere: it is an engine's job: it has to claim the run, and makes its workspace in
            ``runs_root``; folders that are None are those of its node.
        runs_root: see there.
    """

    store_url: str
    cache_root: str | None
    user: str
    model: str
    secret_url: str | None
    storage_options: Mapping[str, Any] | None = None
    at_once: int | None = None
    cache_size: int | None = None
    hidden: Mapping[str, str] = field(default_factory=dict)
    is_elsewhere: bool = False
    runs_root: str | None = None

    def to_json(self) -> str:
        """Return the line that the worker gets."""
        return json.dumps(
            {name: getattr(self, name) for name in Orders.__dataclass_fields__}, sort_keys=True
        )

    @staticmethod
    def from_json(text: str) -> Orders:
        """Return what ``to_json`` wrote."""
        return Orders(**json.loads(text))

    def __repr__(self) -> str:
        return f"Orders(store_url={self.store_url!r}, model={self.model!r})"


def request_here(
    run: RunId, workspace: Workspace, orders: Orders, resources: Resources
) -> JobRequest:
    """Return the worker of a run as a job of this machine."""
    return JobRequest(
        job_name(run),
        (sys.executable, "-m", SUPERVISOR_MODULE, run),
        os.path.join(workspace.logs, SUPERVISOR_LOG),
        variables={"PYTHONPATH": ahstore_path(caller_environment())},
        resources=resources,
        secret_input=orders.to_json().encode(),
    )


def request_elsewhere(
    run: RunId, orders: Orders, resources: Resources, *, python: str, log: str
) -> JobRequest:
    """Return the worker of a run as a job of an engine; ``python`` is the node's."""
    is_this_python = python == sys.executable
    return JobRequest(
        job_name(run),
        (python, "-m", SUPERVISOR_MODULE, run, orders.to_json()),
        log,
        # Another Python has an ahstore of its own.
        variables={"PYTHONPATH": ahstore_path(caller_environment())} if is_this_python else {},
        resources=resources,
    )


def job_name(run: RunId) -> str:
    """Return the name of a run's job in whatever engine: unique, as the run is."""
    return f"ahstore-{run}"
