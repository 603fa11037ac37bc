"""Who is alive: told by process, boot and start time, never by a clock."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ahstore.errors import CorruptError
from ahstore.storage.process import ProcessIdentity


@pytest.fixture
def child() -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_this_process_is_alive() -> None:
    me = ProcessIdentity.current()
    assert me == ProcessIdentity.find(os.getpid())
    assert me.is_here()
    assert me.is_alive()
    assert ProcessIdentity.from_value(me.to_value()) == me


def test_a_killed_process_is_dead_at_once(child: int) -> None:
    identity = ProcessIdentity.find(child)
    assert identity
    assert identity.is_alive()
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    # A zombie does nothing any more: a run whose supervisor is one would be "Running" for ever.
    assert not identity.is_alive()
    os.waitpid(child, 0)
    assert not identity.is_alive()
    assert ProcessIdentity.find(child) is None


def test_a_stopped_process_is_alive(child: int) -> None:
    identity = ProcessIdentity.find(child)
    assert identity
    os.kill(child, signal.SIGSTOP)
    assert identity.is_alive()


def test_a_number_used_again_is_another_process() -> None:
    assert not replace(ProcessIdentity.current(), start=1).is_alive()


def test_a_child_is_not_its_parent() -> None:
    parent = ProcessIdentity.current()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ProcessIdentity.current() != parent else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_what_this_machine_can_not_tell() -> None:
    # To declare a live run dead for being in a container would kill its work.
    me = ProcessIdentity.current()
    for other in (
        replace(me, host="another", start=1),
        replace(me, host="", start=1),
        replace(me, namespace="pid:[1]", start=1),
        replace(me, boot="", start=1),
    ):
        assert not other.is_here()
        assert other.is_alive()


def test_before_the_last_boot_is_dead() -> None:
    before = replace(ProcessIdentity.current(), boot="another boot")
    assert before.is_here()
    assert not before.is_alive()


@pytest.mark.parametrize(
    "change", [{"pid": "1"}, {"host": None}, {"start": 1.0}, {"pid": True}, {"boot": b"x"}]
)
def test_what_is_no_identity(change: dict) -> None:
    with pytest.raises(CorruptError):
        ProcessIdentity.from_value({**ProcessIdentity.current().to_value(), **change})
    with pytest.raises(CorruptError):
        ProcessIdentity.from_value([])
