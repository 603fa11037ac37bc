"""A store on a real SFTP server: the contract for one writer, and the life of a store.

The client (paramiko, through fsspec) can't serve two threads at once: one reads the answer that
another waits for, and both stay for ever. So this is also the test of taking turns.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import paramiko
import pytest
from fsspec.implementations.local import LocalFileSystem

from ahstore.client.store import Store
from ahstore.storage.contract import Storage
from ahstore.storage.open import open_storage
from ahstore.testing.storage_suite import StorageSuite

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(frozen=True, slots=True)
class Sftp:
    """A server that shows this machine's files, with a folder for tests."""

    address: str
    folder: Path
    options: dict[str, Any]

    def url(self, name: str) -> str:
        return f"{self.address}{self.folder}/{name}?writers=one"


@pytest.fixture(scope="module")
def sftp() -> Iterator[Sftp]:
    """OpenSSH's server, on a free port, for whoever runs the tests."""
    if SSHD is None:
        pytest.skip("there is no sshd (Debian: openssh-server)")
    folder = Path(tempfile.mkdtemp(prefix="ahstore-sftp-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for key in ("host", "user"):
        paramiko.ECDSAKey.generate().write_private_key_file(str(folder / key))
    user = paramiko.ECDSAKey.from_private_key_file(str(folder / "user"))
    (folder / "known").write_text(f"{user.get_name()} {user.get_base64()}\n")
    lines = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "known", "PasswordAuthentication": "no",
        "StrictModes": "no", "PermitRootLogin": "yes", "UsePAM": "no",
        "PidFile": "none", "Subsystem": "sftp internal-sftp",
    }  # fmt: skip
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [SSHD, "-D", "-f", folder / "config", "-E", folder / "log"], stdin=subprocess.DEVNULL
    )
    try:
        _wait_for(process, port)
        name = pwd.getpwuid(os.geteuid()).pw_name
        options = {"username": name, "key_filename": str(folder / "user"), "look_for_keys": False}
        yield Sftp(f"sftp://127.0.0.1:{port}", folder, options)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "sshd did not start"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)


class TestSftp(StorageSuite):
    """Each test makes a connection of its own."""

    race_threads = 1  # for one writer at a time
    race_rounds = 2

    @pytest.fixture(autouse=True)
    def _server(self, sftp: Sftp) -> None:
        self.server = sftp

    def make(self, tmp_path: Path) -> Storage:
        name = secrets.token_hex(8)
        self.folder = self.server.folder / name
        return open_storage(self.server.url(name), storage_options=self.server.options)

    def plant(self, storage: Storage, key: str, data: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def peek(self, storage: Storage, key: str) -> bytes | None:
        path = self.folder / key
        return path.read_bytes() if path.exists() else None


def test_the_life_of_a_store(sftp: Sftp, tmp_path: Path) -> None:
    url, options = sftp.url(secrets.token_hex(8)), sftp.options
    data = tmp_path / "data"
    data.mkdir()
    for number in range(30):
        (data / f"{number}.bin").write_bytes(os.urandom(5000))
    (data / "large.bin").write_bytes(os.urandom(9 << 20))
    with Store.open(url, cache_dir=tmp_path / "c", user="me", storage_options=options) as store:
        store.create("dataset/f")
        asset = store.create("dataset/f/a")
        store.commit("dataset/f/a", "first", add=[str(data)])
        store.download("dataset/f/a", save_dir=tmp_path / "out")
        asset.create_branch("b")
        store.commit("dataset/f/a:b", "second", delete=["data/1.bin"])
        store.merge("dataset/f/a:b")
        assert store.fsck(read_data=True).damages == []
        store.gc(now=True)
    for path in data.iterdir():
        assert (tmp_path / "out" / "data" / path.name).read_bytes() == path.read_bytes()
    # A client without a cache reads what the other wrote.
    plain = url.partition("?")[0]
    with Store.open(plain, cache_dir=tmp_path / "d", user="me", storage_options=options) as store:
        assert len(store.list("dataset/f/a")) == 30


class OneAtATime(LocalFileSystem):  # type: ignore[misc]
    """A file system with one connection, as those of SFTP, FTP and SMB are."""

    protocol = "oneatatime"
    inside = threading.Lock()

    def cat_file(self, path: str, **options: int) -> bytes:
        assert self.inside.acquire(blocking=False), "two threads at once"
        try:
            time.sleep(0.001)
            return bytes(super().cat_file(path, **options))
        finally:
            self.inside.release()


def test_threads_take_turns_where_there_is_one_connection(tmp_path: Path) -> None:
    # Without turns two threads of a download wait for each other's answers, for ever.
    fsspec.register_implementation("oneatatime", OneAtATime, clobber=True)
    url = f"fsspec+oneatatime://{tmp_path}/store?writers=one"
    with open_storage(url) as storage:
        storage.create("hints/a", b"content")
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(lambda _: storage.read("hints/a"), range(64))) == {b"content"}
