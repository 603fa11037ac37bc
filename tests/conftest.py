"""What tests of all floors may use: S3 servers, started once for all processes of a test run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ahstore.testing.s3_servers import S3Server


@contextlib.contextmanager
def _shared_server(kind: str, shared: Path) -> Iterator[S3Server]:
    """Start the server of this test run, or join it; it ends with the run."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    place = shared / f"{kind}.server"
    with open(shared / f"{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            yield S3Server(place.read_text())
            return
        run = os.getppid() if parallel else os.getpid()
        keeper = subprocess.Popen(
            [sys.executable, "-m", "ahstore.testing.s3_servers", kind, str(run)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert keeper.stdout is not None
        endpoint = keeper.stdout.readline().strip()
        keeper.stdout.close()
        assert endpoint, f"{kind} did not start"
        place.write_text(endpoint)
        if parallel:
            keeper.returncode = 0  # it goes on for the others, and ends with the run
    try:
        yield S3Server(endpoint)
    finally:
        if not parallel:
            place.unlink()
            keeper.terminate()
            keeper.wait()


def _shared_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A SeaweedFS."""
    with _shared_server("seaweedfs", _shared_folder(tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="session")
def careless_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that ignores conditions, and has to be refused for writing."""
    with _shared_server("rclone", _shared_folder(tmp_path_factory)) as server:
        yield server


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with its credentials in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def s3_url(s3_environment: S3Server) -> str:
    """The URL of a store that is not there yet; its credentials are in the environment."""
    return s3_environment.url(f"stores/{secrets.token_hex(8)}")
