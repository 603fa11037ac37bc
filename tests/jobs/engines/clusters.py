"""A Slurm and a Ray for the tests of this folder, started once for all processes of a test run."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ahstore.testing.engine_servers import why_no_slurm
from ahstore.testing.s3_servers import S3Server

RAY_REQUIREMENTS = Path(__file__).parent / "ray-requirements.txt"
INSTALL_SECONDS = 600


@contextlib.contextmanager
def shared_cluster(kind: str, shared: Path, programs: str = "") -> Iterator[Mapping[str, str]]:
    """Start the cluster of this test run, or join it; it ends with the run."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    place = shared / f"{kind}.cluster"
    keeper = None
    with open(shared / f"{kind}.cluster.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            run = os.getppid() if parallel else os.getpid()
            keeper = subprocess.Popen(
                [sys.executable, "-m", "ahstore.testing.engine_servers", kind, str(run), programs],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
                # A cluster's nodes have credentials of their own: those of all our S3 servers.
                env={**os.environ, **S3Server("").environment()},
            )  # fmt: skip
            assert keeper.stdout is not None
            answer = keeper.stdout.readline()
            keeper.stdout.close()
            assert answer, f"{kind} did not start"
            place.write_text(answer)
    try:
        yield json.loads(place.read_text())
    finally:
        if keeper is not None and parallel:
            keeper.returncode = 0  # it goes on for the others, and ends with the run
        elif keeper is not None:
            place.unlink()
            keeper.terminate()
            keeper.wait()


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def need_slurm() -> None:
    """Skip, and say why, where there can be no Slurm."""
    why = why_no_slurm()
    if why is not None:
        pytest.skip(f"no Slurm: {why}")


def need_ray() -> str:
    """Return the folder of Ray's programs; installed once, in an environment kept by its versions.

    Skips, and says why, where it can't be installed.
    """
    wanted = RAY_REQUIREMENTS.read_bytes() + sys.version.encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ahstore-tests")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"ray-{hashlib.sha256(wanted).hexdigest()[:16]}"
    with open(cache / "ray.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            why = _install(folder)
            if why is not None:
                shutil.rmtree(folder, ignore_errors=True)
                pytest.skip(f"no Ray: it can't be installed here: {why}")
            (folder / "whole").touch()
    return str(folder / "bin")


def _install(folder: Path) -> str | None:
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [
            str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet",
            "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes", "--no-deps",
            "--retries=1", "-r", str(RAY_REQUIREMENTS),
        ],
    ):  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"not within {INSTALL_SECONDS} s"
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return lines[-1][:300] if lines else f"status {done.returncode}"
    return None
