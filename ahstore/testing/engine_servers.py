"""A Slurm and a Ray for tests: a cluster of one node each, with a folder that goes with it.

``python -m ahstore.testing.engine_servers KIND PID [PROGRAMS]`` runs one until process PID is gone
(or it is told to end), and prints as JSON which variables lead to it. Nothing of it lies outside its
folder, so that a Slurm or a Ray of the machine's own is not disturbed. Slurm needs root and Debian's
``slurm-wlm`` and ``munge``; Ray the folder PROGRAMS with its ``ray``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

CPUS = 4
MEMORY_MB = 4000
SLURM_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")
_READY_SECONDS = 120.0
_STARTS = 3

_SLURM_CONF = """\
ClusterName=ahstore{number}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=20
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=86400
KillWait=5
DefMemPerCPU=100
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes={host} MaxTime=60 State=UP
"""


def why_no_slurm() -> str | None:
    """Return why this machine can have no Slurm for tests, None if it can."""
    if os.getuid() != 0:
        return "Slurm's daemons have to be started as root"
    missing = [name for name in SLURM_PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no {missing[0]}: Debian's slurm-wlm and munge bring it (make setup)"
    return None


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class Cluster:
    """Processes of a cluster in ``folder``. ``variables`` lead a client to it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.variables: dict[str, str] = {}
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a daemon; its log and its process number (``NAME.number``) are in the folder."""
        name = os.path.basename(command[0])
        with open(os.path.join(self.folder, f"{name}.out"), "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env={**os.environ, "PATH": _path(), **self.variables, **(environment or {})},
                start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        Path(self.folder, f"{name}.number").write_text(str(process.pid))

    def lives(self) -> bool:
        """Tell whether every daemon is still there."""
        return all(process.poll() is None for process in self._started)

    def stop(self) -> None:
        """Kill the daemons with all in their sessions."""
        for process in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def start_slurm(folder: str, _programs: str) -> Cluster:
    """Start munge, a controller and a node daemon on free ports."""
    cluster = Cluster(folder)
    # The daemons insist that nobody else may write on the way to their files.
    for name in ("state", "spool"):
        os.mkdir(os.path.join(folder, name), 0o755)
    os.chmod(folder, 0o755)
    key = os.path.join(folder, "munge.key")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as file:
        file.write(secrets.token_bytes(1024))
    host = socket.gethostname().partition(".")[0]
    ctld_port, d_port = free_port(), free_port()
    text = _SLURM_CONF.format(
        number=ctld_port, host=host, ctld_port=ctld_port, d_port=d_port, folder=folder, cpus=CPUS,
        memory=MEMORY_MB,
    )  # fmt: skip
    conf = Path(folder, "slurm.conf")
    conf.write_text(text)
    cluster.variables = {"SLURM_CONF": str(conf)}
    cluster.start(
        "munged", "--foreground", "--force", f"--socket={folder}/munge.socket",
        f"--key-file={key}", f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log",
        f"--seed-file={folder}/munge.seed", "--num-threads=2",
    )  # fmt: skip
    _wait_for(lambda: os.path.exists(f"{folder}/munge.socket"), cluster)
    cluster.start("slurmctld", "-D")
    cluster.start("slurmd", "-D", "-N", host)
    return cluster


def _slurm_is_ready(cluster: Cluster) -> bool:
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False,
        env={**os.environ, **cluster.variables},
    )  # fmt: skip
    return "idle" in done.stdout


def start_ray(folder: str, programs: str) -> Cluster:
    """Start a head, which is the only node, on free ports."""
    cluster = Cluster(folder)
    ports = [free_port() for _ in range(7)]
    first_worker = random.randrange(35_000, 55_000)
    cluster.variables = {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{ports[1]}"}
    names = (
        "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port",
        "node-manager-port", "object-manager-port",
    )  # fmt: skip
    cluster.start(
        os.path.join(programs, "ray"), "start", "--head", "--block",
        "--node-ip-address=127.0.0.1", f"--port={ports[0]}",
        "--dashboard-host=127.0.0.1", f"--dashboard-port={ports[1]}", "--include-dashboard=true",
        *(f"--{name}={port}" for name, port in zip(names, ports[2:], strict=True)),
        f"--min-worker-port={first_worker}", f"--max-worker-port={first_worker + 200}",
        f"--num-cpus={CPUS}", "--object-store-memory=100000000", f"--memory={MEMORY_MB << 20}",
        "--disable-usage-stats", f"--temp-dir={folder}/t",
        environment={"RAY_AUTH_MODE": "disabled"},
    )  # fmt: skip
    return cluster


def _ray_is_ready(cluster: Cluster) -> bool:
    address = cluster.variables["RAY_API_SERVER_ADDRESS"]
    try:
        with urllib.request.urlopen(address + "/api/version", timeout=5) as answer:
            return "ray_version" in json.load(answer)
    except (OSError, ValueError):
        return False


_KINDS: dict[str, tuple[Callable[[str, str], Cluster], Callable[[Cluster], bool]]] = {
    "slurm": (start_slurm, _slurm_is_ready),
    "ray": (start_ray, _ray_is_ready),
}


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(is_so: Callable[[], bool], cluster: Cluster) -> bool:
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end and cluster.lives():
        if is_so():
            return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def running(kind: str, programs: str = "") -> Iterator[Cluster]:
    """Run a cluster for the block; ``kind`` is ``slurm`` or ``ray``.

    Raises:
        RuntimeError: it does not start; the message has the end of its logs.
    """
    start, is_ready = _KINDS[kind]
    said = ""
    for _ in range(_STARTS):
        # Ray's sockets lie in it, and their paths must be short.
        folder = tempfile.mkdtemp(prefix=f"ah-{kind}-")
        cluster = None
        try:
            cluster = start(folder, programs)
            if _wait_for(lambda c=cluster: is_ready(c), cluster):  # type: ignore[misc]
                yield cluster
                return
            said = _logs(folder)
        finally:
            if cluster is not None:
                cluster.stop()
            shutil.rmtree(folder, ignore_errors=True)
    raise RuntimeError(f"{kind} does not start: {said}")


def _logs(folder: str) -> str:
    texts = [path.read_text(errors="replace")[-500:] for path in Path(folder).glob("*.out")]
    return " | ".join(" ".join(text.split()) for text in texts)


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def main(kind: str, pid: int, programs: str = "") -> None:
    """Run a cluster until process ``pid`` has gone, or this one is told to end."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with running(kind, programs) as cluster:
        sys.stdout.write(json.dumps({**cluster.variables, "FOLDER": cluster.folder}) + "\n")
        sys.stdout.flush()
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.5)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
