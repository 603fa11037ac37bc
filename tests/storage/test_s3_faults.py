"""What becomes of requests whose answers are lost, refused, cut or late."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ahstore.errors import CorruptError, OutcomeUnknownError, StorageError
from ahstore.storage.cells import Cell, CellConflictError, Cells
from ahstore.storage.contract import (
    AlreadyThereError,
    MissingError,
    Range,
    Storage,
    UnsettledError,
)
from ahstore.storage.leases import Lease
from ahstore.storage.open import open_storage
from ahstore.storage.paths import version_name
from ahstore.storage.s3 import writer as s3_writer
from ahstore.testing.fault_proxy import Fault, FaultProxy, Request, Script
from ahstore.testing.s3_servers import S3Server
from tests.storage.s3_session import shared_session

CELL = Cell("ref", ("One", "main"))
PACK = "packs/data/ab/" + "ab" * 16
DONE_UNANSWERED = [Fault.ERROR_AFTER, Fault.RESET_AFTER]
NOT_DONE = [Fault.BUSY, Fault.CONFLICT]
LOST = [Fault.ERROR_BEFORE, Fault.RESET_BEFORE, *DONE_UNANSWERED]


@pytest.fixture
def proxy(s3_environment: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(s3_environment.endpoint) as proxy:
        yield proxy


@pytest.fixture
def storage(
    proxy: FaultProxy,
    s3_environment: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Storage]:
    prefix = f"faults/{tmp_path.name}-{time.time_ns()}"
    url = f"s3://{s3_environment.bucket}/{prefix}?endpoint_url={proxy.endpoint}&writers=many"
    with open_storage(url, storage_options={"session": shared_session()}) as storage:
        monkeypatch.setattr(storage, "_fit", True)
        storage.replace("hints/warm", b"")
        proxy.clear()
        yield storage


def creations(request: Request) -> bool:
    return request.is_conditional


def strike(
    proxy: FaultProxy, *faults: Fault | None, at: Callable[[Request], bool] = creations
) -> Script:
    script = Script(at, faults)
    proxy.plan = script
    return script


def operation(*names: str) -> Callable[[Request], bool]:
    return lambda request: request.operation in names


# a cell's version


@pytest.mark.parametrize("fault", LOST)
def test_a_lost_answer_about_a_version_is_no_failure(
    storage: Storage, proxy: FaultProxy, fault: Fault
) -> None:
    # "Failed" for what was done: the caller commits a second time.
    script = strike(proxy, fault, fault)  # aiohttp may send a first one again
    key = CELL.folder + version_name(0)
    with pytest.raises((UnsettledError, AlreadyThereError)) as caught:
        storage.create(key, b"body")
    assert script.struck
    if isinstance(caught.value, AlreadyThereError):
        assert fault is Fault.RESET_AFTER
        assert storage.read(key) == b"body"


@pytest.mark.parametrize("fault", [*LOST, Fault.LATE])
def test_a_swap_finds_out_what_became_of_it(
    storage: Storage, proxy: FaultProxy, fault: Fault
) -> None:
    script = strike(proxy, fault)
    cells = Cells(storage)
    assert cells.swap(CELL, -1, {"a": 1}).number == 0
    assert script.struck
    proxy.plan = None
    assert cells.swap(CELL, 0, {"a": 2}).number == 1
    assert [version.value["a"] for version in Cells(storage).history(CELL)] == [2, 1]


@pytest.mark.parametrize("fault", [*LOST, Fault.LATE])
def test_a_lost_answer_never_hides_that_another_won(
    storage: Storage, proxy: FaultProxy, fault: Fault
) -> None:
    # False success: an acknowledged commit that nobody can reach.
    Cells(storage).swap(CELL, -1, {"by": "other"})
    strike(proxy, fault)
    with pytest.raises(CellConflictError):
        Cells(storage).swap(CELL, -1, {"by": "me"})
    assert Cells(storage).read(CELL).value == {"by": "other"}


@pytest.mark.parametrize("fault", NOT_DONE)
def test_what_was_not_done_is_sent_again(storage: Storage, proxy: FaultProxy, fault: Fault) -> None:
    strike(proxy, fault, fault, fault)
    storage.create(CELL.folder + version_name(0), b"body")
    assert [request.operation for request in proxy.requests] == ["Put"] * 4
    assert storage.read(CELL.folder + version_name(0)) == b"body"


@pytest.mark.parametrize("fault", NOT_DONE)
def test_it_is_sent_again_a_bounded_number_of_times(
    storage: Storage, proxy: FaultProxy, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahstore.storage.s3.client.nap", lambda tries: 0.0)
    strike(proxy, *[fault] * 100)
    with pytest.raises(StorageError) as caught:
        storage.create(CELL.folder + version_name(0), b"body")
    assert not isinstance(caught.value, UnsettledError)
    assert len(proxy.requests) == 7
    assert "ref/~one/main" in str(caught.value)


def test_a_server_that_answers_no_more(
    storage: Storage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahstore.storage.s3.client.nap", lambda tries: 0.0)
    cells = Cells(storage, pause=lambda _seconds: None)
    strike(proxy, *[Fault.RESET_AFTER] * 1000, at=lambda request: True)
    with pytest.raises(OutcomeUnknownError):
        cells.swap(CELL, -1, {"a": 1})
    proxy.plan = None
    assert Cells(storage).read(CELL).value == {"a": 1}


def test_a_lie_that_the_number_is_taken(storage: Storage, proxy: FaultProxy) -> None:
    strike(proxy, Fault.TAKEN)
    cells = Cells(storage)
    with pytest.raises(CellConflictError):
        cells.swap(CELL, -1, {"a": 1})
    assert Cells(storage).read(CELL).number == -1


@pytest.mark.parametrize("fault", [*LOST, Fault.LATE, Fault.TAKEN])
def test_a_lease_is_taken_and_held(storage: Storage, proxy: FaultProxy, fault: Fault) -> None:
    # A version 0 sent twice could raise a lease from the dead.
    script = strike(proxy, fault)
    cells = Cells(storage)
    with Lease.take(cells, [CELL]) as lease:
        assert script.struck
        proxy.plan = None
        lease.check()
    numbers = [r.key for r in proxy.requests if r.is_conditional and r.key.endswith("f" * 12)]
    if fault in (Fault.ERROR_BEFORE, Fault.ERROR_AFTER):
        assert len(numbers) == len(set(numbers))


# other files


@pytest.mark.parametrize("fault", [*LOST, Fault.LATE, Fault.TAKEN, *NOT_DONE])
def test_other_files_are_settled_here(storage: Storage, proxy: FaultProxy, fault: Fault) -> None:
    # A pack whose answer is lost must not fail a commit, nor pass for another's.
    strike(proxy, fault, fault)
    with storage.new_file(PACK) as writer:
        writer.write(b"body")
        writer.commit()
    assert storage.read(PACK) == b"body"
    strike(proxy, fault)
    with pytest.raises(AlreadyThereError):
        storage.create(PACK, b"else")


# in parts


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    size = 5 * 2**20
    monkeypatch.setattr(s3_writer, "PART_BYTES", size)
    return size


BIG = os.urandom(1 << 20) * 12 + b"end"


def write_big(storage: Storage) -> None:
    with storage.new_file(PACK) as writer:
        for at in range(0, len(BIG), 700_001):
            writer.write(memoryview(BIG)[at : at + 700_001])
        assert writer.tell() == len(BIG)
        writer.commit()


def uploads(storage: Storage) -> int:
    return storage.clean_leftovers(storage.now() + 3600)


@pytest.mark.usefixtures("small_parts")
def test_a_large_file_goes_in_parts(storage: Storage, proxy: FaultProxy) -> None:
    write_big(storage)
    assert storage.read(PACK) == BIG
    counts = proxy.counts()
    assert counts == {
        "CreateMultipartUpload": 1, "UploadPart": 3, "CompleteMultipartUpload": 1, "Get": 1,
    }  # fmt: skip
    with pytest.raises(AlreadyThereError):
        write_big(storage)
    assert uploads(storage) == 0


@pytest.mark.parametrize("fault", [*LOST, Fault.BUSY])
@pytest.mark.parametrize("at", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.usefixtures("small_parts")
def test_parts_survive_faults(storage: Storage, proxy: FaultProxy, fault: Fault, at: str) -> None:
    strike(proxy, fault, fault, at=operation(at))
    write_big(storage)
    proxy.plan = None
    assert storage.read(PACK) == BIG


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_can_not_be_sent(
    storage: Storage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahstore.storage.s3.client.nap", lambda tries: 0.0)
    strike(proxy, *[Fault.BUSY] * 1000, at=operation("UploadPart"))
    with pytest.raises(StorageError):
        write_big(storage)
    proxy.plan = None
    assert not storage.exists(PACK)
    assert uploads(storage) == 0


@pytest.mark.usefixtures("small_parts")
def test_what_is_given_up_leaves_nothing(storage: Storage) -> None:
    with storage.new_file(PACK) as writer:
        writer.write(BIG)
    assert not storage.exists(PACK)
    assert uploads(storage) == 0


# reading


@pytest.mark.parametrize("fault", [*LOST, Fault.CUT, Fault.BUSY])
def test_reading_goes_on(storage: Storage, proxy: FaultProxy, fault: Fault) -> None:
    body = os.urandom(300_000)
    storage.create(PACK, body)
    strike(proxy, fault, fault, at=operation("Get", "Head", "ListObjects"))
    assert storage.read(PACK) == body
    strike(proxy, None, fault, fault, at=operation("Get"))
    ranges = [Range(PACK, at, 1000) for at in range(0, 100_000, 1000)]
    assert b"".join(storage.read_ranges(ranges)) == body[:100_000]
    strike(proxy, fault, at=operation("Head"))
    assert storage.exists(PACK)
    strike(proxy, fault, at=operation("ListObjects"))
    assert list(storage.list("packs/")) == [PACK]


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET_AFTER])
def test_reading_large_ranges_goes_on(storage: Storage, proxy: FaultProxy, fault: Fault) -> None:
    """A body that broke off in the middle is read anew, from its start."""
    body = os.urandom(3 * 2**20)
    storage.create(PACK, body)
    ranges = [Range(PACK, 5, 2**20), Range(PACK, 2**20, 2**21)]
    strike(proxy, fault, fault, at=operation("Get"))
    first, second = storage.read_ranges(ranges)
    assert (first, second) == (body[5 : 2**20 + 5], body[2**20 :])
    with pytest.raises(CorruptError, match="truncated"):
        list(storage.read_ranges([Range(PACK, 2**20, 2**21 + 1)]))


def test_errors_name_the_place_and_what_to_do(s3_environment: S3Server, tmp_path: Path) -> None:
    server = s3_environment
    url = f"s3://no-such-bucket-here/x?endpoint_url={server.endpoint}"
    with open_storage(url) as storage, pytest.raises(Exception, match="no bucket no-such-bucket"):
        storage.read("store.json")
    wrong = {"key": server.access_key, "secret": "not the secret key"}
    with open_storage(server.url("x"), storage_options=wrong) as storage:
        with pytest.raises(StorageError, match="secret key does not fit") as caught:
            storage.read("store.json")
        assert "not the secret key" not in repr(caught.value)


def test_a_server_that_is_not_there(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahstore.storage.s3.client.nap", lambda tries: 0.0)
    url = "s3://bucket/x?endpoint_url=http://127.0.0.1:9"
    with open_storage(url) as storage:
        with pytest.raises(StorageError, match=r"127\.0\.0\.1:9"):
            storage.read("store.json")
        # Surely not sent: no doubt about it.
        with pytest.raises(StorageError) as caught:
            storage.create(CELL.folder + version_name(0), b"")
        assert not isinstance(caught.value, UnsettledError)


def test_requests_of_each_operation(storage: Storage, proxy: FaultProxy) -> None:
    def cost(action: Callable[[], object]) -> dict[str, int]:
        proxy.clear()
        action()
        return dict(proxy.counts())

    key = CELL.folder + version_name(0)
    cells = Cells(storage)
    assert cost(lambda: storage.create(key, b"body")) == {"Put": 1}
    assert cost(lambda: storage.read(key)) == {"Get": 1}
    assert cost(lambda: storage.read_range(key, 1, 2)) == {"Get": 1}
    assert cost(lambda: storage.exists(key)) == {"Head": 1}
    assert cost(lambda: storage.stat(key)) == {"Head": 1}
    assert cost(lambda: storage.newest_version(CELL.folder)) == {"ListObjects": 1}
    assert cost(lambda: storage.newest_version(CELL.folder, at_least=0)) == {"ListObjects": 1}
    assert cost(lambda: list(storage.list("cells/"))) == {"ListObjects": 1}
    assert cost(lambda: list(storage.list_folders("cells/"))) == {"ListObjects": 1}
    assert cost(lambda: storage.replace("hints/a", b"")) == {"Put": 1}
    assert cost(lambda: storage.delete("hints/a")) == {"Delete": 1}
    assert cost(storage.now) == {}
    other = Cell("ref", ("One", "other"))
    assert cost(lambda: cells.swap(other, -1, {})) == {"Put": 1}
    # What was written or read here once is not fetched again, but looked whether it still holds.
    assert cost(lambda: cells.read(other)) == {"ListObjects": 1}
    elsewhere = Cells(storage)
    assert cost(lambda: elsewhere.read(other)) == {"ListObjects": 1, "Get": 1}
    assert cost(lambda: elsewhere.read(other)) == {"ListObjects": 1}
    cells.swap(other, 0, {"a": [1]})
    assert elsewhere.read(other).value == cells.read(other).value == {"a": [1]}
    lease = Cell("lease", ("12345678-1234-4234-8234-123456789abc",))
    cells.swap(lease, -1, {}, durable=False)
    assert cost(lambda: cells.read(lease)) == {"ListObjects": 1, "Get": 1}


def test_a_storage_goes_on_after_a_fork(storage: Storage) -> None:
    # The loop, its thread and its connections stay behind with the parent.
    storage.create("hints/a", b"parent")
    code = 1
    child = os.fork()
    if child == 0:
        try:
            ok = storage.read("hints/a") == b"parent"
            storage.create("hints/b", b"child")
            code = 0 if ok else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert storage.read("hints/b") == b"child"


def test_a_program_that_does_not_close_ends_quickly_and_in_silence(
    s3_environment: S3Server, s3_url: str
) -> None:
    program = (
        "import sys; from ahstore.storage.open import open_storage\n"
        "storage = open_storage(sys.argv[1]); storage.create('hints/a', b'')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, s3_url],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_missing_is_told_from_trouble(storage: Storage, proxy: FaultProxy) -> None:
    strike(proxy, Fault.ERROR_BEFORE, at=operation("Get"))
    with pytest.raises(MissingError):
        storage.read(PACK)
