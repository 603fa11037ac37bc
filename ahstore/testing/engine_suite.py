"""The contract of engines as tests, which every engine passes.

An engine joins by subclassing ``EngineSuite`` in a test module and giving it three methods:

    class TestMyEngine(EngineSuite):
        def make(self, tmp_path): ...
        def stranger(self, engine, tmp_path): ...
        def unreachable(self, tmp_path): ...

Whether a job ran, was told to end, or lives is seen from files that the job itself writes and from
its process, not from what the engine says. Jobs run on this machine, or one that shares ``tmp_path``.
"""

# ruff: noqa: D102  (the names of tests say what they test)
from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ahstore.errors import EngineError, EngineUnreachableError, InvalidInputError
from ahstore.jobs.engines.contract import Engine, Job, JobRequest, JobStatus
from ahstore.jobs.resources import Resources
from ahstore.storage.process import ProcessIdentity

WAIT_SECONDS = 120.0

_STUBBORN = """
import os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def told(*_):
    (folder / "told").touch()
    if sys.argv[2] == "heed":
        sys.exit(9)
signal.signal(signal.SIGTERM, told)
(folder / "pid.new").write_text(str(os.getpid()))
(folder / "pid.new").rename(folder / "pid")
time.sleep(300)
time.sleep(300)
"""


def wait_until(is_so: Callable[[], Any]) -> None:
    """Wait for a condition; a test that waits too long has failed."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class EngineSuite(ABC):
    """What every engine has to pass.

    Attributes:
        takes_secrets: a job can be given secret input.
        refuses_too_much: a job that can never run is refused, and not left to wait.
    """

    takes_secrets = False
    refuses_too_much = True

    @abstractmethod
    def make(self, tmp_path: Path) -> Engine:
        """Return the engine."""

    @abstractmethod
    def stranger(self, engine: Engine, tmp_path: Path) -> Job:
        """Return a job that the engine would know if there had ever been one."""

    @abstractmethod
    def unreachable(self, tmp_path: Path) -> tuple[Engine, Job]:
        """Return an engine that does not answer, and a job of it."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Engine:
        """The engine."""
        return self.make(tmp_path)

    def request(self, tmp_path: Path, *argv: str, **more: Any) -> JobRequest:
        """Return a job of these words."""
        name = f"suite-{secrets.token_hex(8)}"
        return JobRequest(name, argv, str(tmp_path / "log" / f"{name}.log"), **more)

    def submit(self, engine: Engine, request: JobRequest) -> Job:
        """Submit a job, and return it as it was announced and completed."""
        announced: list[Job] = []
        job = engine.submit(request, announced.append)
        assert len(announced) == 1
        assert (announced[0].engine, announced[0].name) == (engine.name, request.name)
        assert announced[0].place == job.place
        assert job.id
        return job

    def end(self, engine: Engine, job: Job) -> JobStatus:
        """Wait until the engine says that a job is over."""
        wait_until(lambda: engine.status(job).is_over)
        return engine.status(job)

    def test_a_job_runs_as_it_was_asked_for(self, engine: Engine, tmp_path: Path) -> None:
        # A shell somewhere on the way would change words, or run what stands in them.
        words = ["two words", "it's", '"$HOME"', "`touch x`", "$(touch y)", "a\\b", "ä", "-n", ""]
        code = (
            "import os, sys\n"
            "open(sys.argv[1], 'w').write(repr((sys.argv[2:], os.environ['AH_OF_SUITE'])))\n"
            "print('printed')\n"
        )
        out = tmp_path / "out"
        request = self.request(
            tmp_path, sys.executable, "-c", code, str(out), *words,
            variables={"AH_OF_SUITE": "one 'two' $three"},
        )  # fmt: skip
        job = self.submit(engine, request)
        status = self.end(engine, job)
        assert (status.state, status.exit_code) == ("ended", 0)
        assert out.read_text() == repr((words, "one 'two' $three"))
        assert "printed" in engine.log(job)

    def test_a_job_is_known_to_whoever_has_its_record(self, engine: Engine, tmp_path: Path) -> None:
        job = self.submit(engine, self.request(tmp_path, "sh", "-c", "echo said >&2; exit 3"))
        process = job.process
        found = Job.from_value(job.to_value())
        assert found.name == job.name
        again = self.make(tmp_path)
        if process is None:
            job = found
        status = self.end(again, job)
        assert (status.state, status.exit_code) == ("ended", 3)
        assert "said" in again.log(job)
        assert again.find(job) == job

    def test_a_job_that_is_killed(self, engine: Engine, tmp_path: Path) -> None:
        job = self.submit(engine, self.request(tmp_path, "sh", "-c", "kill -9 $$"))
        status = self.end(engine, job)
        assert status.state == "ended"
        assert status.exit_code == -signal.SIGKILL

    def test_a_program_that_is_not_there(self, engine: Engine, tmp_path: Path) -> None:
        job = self.submit(engine, self.request(tmp_path, "/nowhere/at-all"))
        status = self.end(engine, job)
        assert status.state == "ended"
        assert status.exit_code not in (0, None)
        assert "/nowhere/at-all" in engine.log(job)

    def test_no_job_begins_before_it_is_announced(self, engine: Engine, tmp_path: Path) -> None:
        # It would find no record of its run, and end; or publish for one that nobody knows.
        flag = tmp_path / "begun"

        def announce(_job: Job) -> None:
            time.sleep(1.5)
            assert not flag.exists()

        job = engine.submit(self.request(tmp_path, "touch", str(flag)), announce)
        self.end(engine, job)
        assert flag.exists()

    def test_nothing_begins_if_the_announcement_fails(self, engine: Engine, tmp_path: Path) -> None:
        flag, announced = tmp_path / "begun", []

        def announce(job: Job) -> None:
            announced.append(job)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            engine.submit(self.request(tmp_path, "touch", str(flag)), announce)
        job = announced[0]
        if job.process is None:
            assert engine.find(job) is None
        else:
            wait_until(lambda: engine.status(job).is_over)
        time.sleep(1)
        assert not flag.exists()

    @pytest.mark.parametrize("how", ["heed", "ignore"])
    def test_cancel(self, engine: Engine, tmp_path: Path, how: str) -> None:
        request = self.request(tmp_path, sys.executable, "-c", _STUBBORN, str(tmp_path), how)
        job = self.submit(engine, request)
        wait_until((tmp_path / "pid").exists)
        process = ProcessIdentity.find(int((tmp_path / "pid").read_text()))
        assert process is not None
        wait_until(lambda: engine.status(job).state == "running")
        engine.cancel(job)
        status = self.end(engine, job)
        assert status.state == "ended"
        wait_until(lambda: not process.is_alive())
        assert (tmp_path / "told").exists()
        engine.cancel(job)
        assert engine.status(job).state == "ended"

    def test_a_job_it_never_had_is_lost(self, engine: Engine, tmp_path: Path) -> None:
        stranger = self.stranger(engine, tmp_path)
        assert engine.status(stranger).state == "lost"
        assert engine.status(stranger).exit_code is None
        engine.cancel(stranger)
        assert engine.log(stranger) == ""

    def test_secrets_go_to_the_job_alone_or_nowhere(self, engine: Engine, tmp_path: Path) -> None:
        out = tmp_path / "out"
        request = self.request(
            tmp_path, "sh", "-c", 'cat > "$0"', str(out), secret_input=b"c4n4ry"
        )  # fmt: skip
        if not self.takes_secrets:
            with pytest.raises(EngineError, match="secrets"):
                engine.submit(request, lambda job: pytest.fail(f"{job} was announced"))
            return
        job = self.submit(engine, request)
        self.end(engine, job)
        assert out.read_bytes() == b"c4n4ry"
        assert "c4n4ry" not in repr(job) + engine.log(job)

    def test_more_than_there_is(self, engine: Engine, tmp_path: Path) -> None:
        request = self.request(tmp_path, "true", resources=Resources(cpus=1 << 16))
        if self.refuses_too_much:
            with pytest.raises((EngineError, InvalidInputError)):
                engine.check(request)
        else:
            job = self.submit(engine, request)
            assert engine.status(job).state == "pending"
            engine.cancel(job)

    def test_an_engine_that_does_not_answer(self, tmp_path: Path) -> None:
        # To take silence for the end of a job would end runs that are well.
        engine, job = self.unreachable(tmp_path)
        with pytest.raises(EngineUnreachableError):
            engine.status(job)
        with pytest.raises(EngineUnreachableError):
            engine.cancel(job)
        assert os.path.isdir(tmp_path)
