"""How the worker of an engine's job makes a run its own, or finds that it is not.

Engines start jobs twice: a node fails, someone requeues, an answer is lost. The run's record decides:
the worker that swaps it from ``Pending`` has the run, for ever; every other finds it taken or over,
and does nothing (docs/format/runs.md, "Claiming").
"""

from __future__ import annotations

import sys
from dataclasses import replace

from ahstore.errors import EngineError
from ahstore.hub.hub import Hub
from ahstore.jobs.environment import expand, folders_of_this_node
from ahstore.jobs.observer import Observer
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running.spawn import Orders
from ahstore.jobs.running.workspace import Workspace
from ahstore.storage.process import ProcessIdentity


def on_this_node(orders: Orders) -> Orders:
    """Return a worker's orders with the folders of the machine that it finds itself on."""
    if not orders.is_elsewhere:
        return orders
    runs_root, cache_root = folders_of_this_node()
    return replace(
        orders,
        runs_root=expand(orders.runs_root or runs_root),
        cache_root=expand(orders.cache_root or cache_root),
    )


def claim(hub: Hub, records: RunRecords, record: RunRecord, orders: Orders) -> RunRecord:
    """Take a run that no worker has begun; return its record, which names who has it.

    A run that another worker has, which is dead, is settled.

    Raises:
        EngineError: the record is none of an engine's run.
    """
    if record.job is None:
        raise EngineError(f"run {record.name} is none of an engine's")
    assert orders.runs_root is not None
    me = ProcessIdentity.current()
    workspace = Workspace.of(orders.runs_root, record.id)

    def edit(now: RunRecord) -> RunRecord | None:
        if not now.awaits_worker:
            return None
        started = hub.repo.storage.now()
        return replace(
            now, state="Running", started=started, supervisor=me, workspace=workspace.root
        )

    record = records.change(record, edit)
    if record.supervisor != me:
        sys.stderr.write(
            f"AH INFO: run {record.name} is {record.status.lower()}: nothing is left to do here\n"
        )
        Observer(hub, records).look(record)
    return record
