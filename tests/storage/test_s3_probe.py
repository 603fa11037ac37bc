"""A server is tried out before the first write; one that ignores conditions is refused."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from ahstore.client.store import Store
from ahstore.errors import UnsupportedError
from ahstore.storage.contract import AlreadyThereError
from ahstore.storage.open import open_storage
from ahstore.testing.fault_proxy import Fault, FaultProxy, Script
from ahstore.testing.s3_servers import S3Server, plain_client


@pytest.fixture
def careless(careless_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in careless_server.environment().items():
        monkeypatch.setenv(name, value)
    return careless_server


def test_a_server_that_ignores_conditions_is_refused(careless: S3Server, tmp_path: Path) -> None:
    # Two writers would both be told that they won: one's acknowledged commit is gone.
    url = careless.url("refused")
    with open_storage(url, scratch=str(tmp_path)) as storage:
        for write in (lambda: storage.create("hints/a", b""), lambda: storage.delete("hints/a")):
            with pytest.raises(UnsupportedError, match=r"If-None-Match.*writers=one"):
                write()
        assert list(storage.list("")) == []
    assert not (tmp_path / "s3-probes").exists()
    with pytest.raises(UnsupportedError):
        Store.open(url, cache_dir=tmp_path)


def test_what_is_there_can_be_read(careless: S3Server, tmp_path: Path) -> None:
    plain_client(careless).put_object(Bucket=careless.bucket, Key="readable/hints/a", Body=b"body")
    with open_storage(careless.url("readable"), scratch=str(tmp_path)) as storage:
        assert storage.read("hints/a") == b"body"
        assert list(storage.list("")) == ["hints/a"]


def test_one_writer_by_the_users_word(careless: S3Server, tmp_path: Path) -> None:
    url = careless.url(f"one/{secrets.token_hex(4)}", writers="one")
    with Store.open(url, cache_dir=tmp_path, user="me") as store:
        assert not store.core.repo.storage.capabilities.shared_writers
        store.create("model/f")
        store.create("model/f/a")
        (tmp_path / "x").write_text("x")
        assert store.commit("model/f/a", "one", add=[f"{tmp_path}/x"])
        storage = store.core.repo.storage
        assert "writers=one" in storage.url
        storage.create("hints/a", b"first")
        with pytest.raises(AlreadyThereError):
            storage.create("hints/a", b"second")
        assert storage.read("hints/a") == b"first"
        with storage.new_file("index/1") as writer:
            writer.write(b"x")
            writer.commit()


def test_who_reads_does_not_probe_and_who_writes_does_so_once(
    s3_environment: S3Server, tmp_path: Path
) -> None:
    server = s3_environment
    with FaultProxy(server.endpoint) as proxy:
        base = f"s3://{server.bucket}/probe/{secrets.token_hex(4)}?endpoint_url={proxy.endpoint}"
        with open_storage(base, scratch=str(tmp_path)) as storage:
            assert not storage.exists("hints/a")
            assert list(storage.list("")) == []
            assert proxy.counts() == {"Head": 1, "ListObjects": 1}
            proxy.clear()
            storage.create("hints/a", b"")
            probing = proxy.counts()
            # The race, one who comes late, a look at what won, the removal; then the file.
            assert probing["Put"] == 4
            assert probing["Delete"] == 1
            assert sum(probing.values()) <= 7
            proxy.clear()
            storage.create("hints/b", b"")
            assert proxy.counts() == {"Put": 1}
            assert list(storage.list("hints/")) == ["hints/a", "hints/b"]
        # The next process remembers it, of this server alone.
        with open_storage(base, scratch=str(tmp_path)) as storage:
            proxy.clear()
            storage.create("hints/c", b"")
            assert proxy.counts() == {"Put": 1}
    with (
        FaultProxy(server.endpoint) as proxy,
        open_storage(
            f"s3://{server.bucket}/probe/x?endpoint_url={proxy.endpoint}", scratch=str(tmp_path)
        ) as storage,
    ):
        storage.create(f"hints/{secrets.token_hex(4)}", b"")
        assert proxy.counts()["Put"] == 4


@pytest.mark.parametrize("fault", [Fault.ERROR_AFTER, Fault.RESET_AFTER, Fault.CONFLICT])
def test_a_probe_that_meets_trouble_neither_refuses_nor_trusts(
    s3_environment: S3Server, fault: Fault
) -> None:
    script = Script(lambda request: request.is_conditional, [fault, fault])
    server = s3_environment
    with FaultProxy(server.endpoint, script) as proxy:
        url = f"s3://{server.bucket}/p/{secrets.token_hex(4)}?endpoint_url={proxy.endpoint}"
        with open_storage(url) as storage:
            storage.create("hints/a", b"")
        assert script.struck
