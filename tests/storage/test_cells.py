"""Cells: compare-and-swap, lost replies, damage, and what reading one costs."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.codec.canonical import decode
from ahstore.codec.envelope import unseal
from ahstore.errors import CorruptError, InvalidInputError, OutcomeUnknownError, StorageError
from ahstore.storage.cell_version import decode_version, encode_version
from ahstore.storage.cells import NEVER_MADE, Cell, CellConflictError, Cells, CellState, CellVersion
from ahstore.storage.contract import MissingError, UnsettledError
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.paths import version_name
from ahstore.storage.recording import RecordingStorage

CELL = Cell("ref", ("One", "main"))


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage(MemoryStorage())


@pytest.fixture
def cells(storage: FaultyStorage) -> Cells:
    return Cells(storage, pause=lambda _seconds: None)


def fresh(storage: FaultyStorage) -> Cells:
    """Another process's view."""
    return Cells(storage.inner)


# the life of a cell


def test_a_cell_that_was_never_made(cells: Cells) -> None:
    assert cells.read(CELL) == NEVER_MADE
    assert list(cells.history(CELL)) == []
    with pytest.raises(MissingError):
        cells.read_version(CELL, 0)


def test_one_look_is_one_reading(cells: Cells, storage: FaultyStorage) -> None:
    cells.swap(CELL, -1, {"a": 1})
    counted = RecordingStorage(storage)
    looking = Cells(counted)
    other = Cell("ref", ("One", "other"))
    with looking.one_look():
        first = looking.read(CELL)
        with looking.one_look():
            assert looking.read(other) == NEVER_MADE
        cells.swap(CELL, 0, {"a": 2})
        assert looking.read(CELL) == first
        assert looking.read(other) == NEVER_MADE
        assert counted.count("newest_version") == 2
        # What it wrote itself it sees, and other threads look for themselves.
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(looking.read, CELL).result().value == {"a": 2}
        own = looking.swap(CELL, 1, {"a": 3})
        assert looking.read(CELL) == own
    # A look that never ended would hide all that others commit.
    cells.swap(CELL, 2, {"a": 4})
    assert looking.read(CELL).value == {"a": 4}
    with pytest.raises(KeyError), looking.one_look():
        raise KeyError
    cells.swap(CELL, 3, {"a": 5})
    assert looking.read(CELL).value == {"a": 5}


def test_numbers_count_up(cells: Cells, storage: FaultyStorage) -> None:
    first = cells.swap(CELL, -1, {"a": 1})
    second = cells.swap(CELL, first.number, {"a": 2})
    assert (first.number, second.number) == (0, 1)
    assert cells.read(CELL) == fresh(storage).read(CELL) == second
    assert cells.read_version(CELL, 0) == first
    assert list(cells.history(CELL)) == [second, first]
    assert first.nonce != second.nonce
    assert first.state is CellState.LIVE


def test_the_slow_one_loses(cells: Cells, storage: FaultyStorage) -> None:
    cells.swap(CELL, -1, {"by": "me"})
    fresh(storage).swap(CELL, 0, {"by": "other"})
    with pytest.raises(CellConflictError) as caught:
        cells.swap(CELL, 0, {"by": "me"})
    assert (caught.value.cell, caught.value.number) == (CELL, 1)
    assert cells.read(CELL).value == {"by": "other"}
    with pytest.raises(CellConflictError):
        cells.kill(CELL, -1)


def test_death_and_new_life_go_on_counting(cells: Cells) -> None:
    # Were numbers to start again, a slow writer would win one that had been taken.
    cells.swap(CELL, -1, {"a": 1})
    dead = cells.kill(CELL, 0)
    assert (dead.state, dead.value, dead.number) == (CellState.DEAD, {}, 1)
    with pytest.raises(CellConflictError):
        cells.swap(CELL, 0, {"late": True})
    assert cells.swap(CELL, 1, {"a": 2}).number == 2
    assert cells.read(CELL).state is CellState.LIVE


def test_a_fence_changes_nothing_but_the_number(cells: Cells, storage: FaultyStorage) -> None:
    cells.swap(CELL, -1, {"a": 1})
    fence = fresh(storage).fence(CELL)
    assert (fence.number, fence.state, fence.value) == (1, CellState.LIVE, {"a": 1})
    with pytest.raises(CellConflictError):
        cells.swap(CELL, 0, {"late": True})
    cells.kill(CELL, 1)
    assert cells.fence(CELL).state is CellState.DEAD


def test_a_fence_before_the_cell_was_made(cells: Cells, storage: FaultyStorage) -> None:
    fence = fresh(storage).fence(CELL)
    assert (fence.number, fence.state) == (0, CellState.ABSENT)
    with pytest.raises(CellConflictError):
        cells.swap(CELL, -1, {"late": True})
    assert cells.swap(CELL, 0, {"a": 1}).state is CellState.LIVE  # the name is not taken


def test_a_fence_that_loses_is_as_good(cells: Cells, storage: FaultyStorage) -> None:
    cells.swap(CELL, -1, {"a": 1})
    other = fresh(storage)
    storage.pause("create", lambda _key: other.swap(CELL, 0, {"a": 2}))
    assert cells.fence(CELL) == other.read(CELL)


def test_list(cells: Cells) -> None:
    names = [("One", "main"), ("One", "Main"), ("One", ".x"), ("two", "a/b"), ("ü", "c")]
    for name in names:
        cells.swap(Cell("ref", name), -1, {})
    cells.kill(Cell("ref", ("One", "main")), 0)
    cells.swap(Cell("reflex", ("other",)), -1, {})
    assert {cell.key for cell in cells.list("ref")} == set(names)
    assert {cell.key[1] for cell in cells.list("ref", "One")} == {"main", "Main", ".x"}
    assert list(cells.list("ref", "on")) == list(cells.list("nothing")) == []


def test_a_folder_that_vanished_is_not_made_again(tmp_path: Path) -> None:
    cells = Cells(LocalStorage(tmp_path, create=True))
    cells.swap(CELL, -1, {})
    shutil.rmtree(tmp_path / CELL.folder)
    with pytest.raises(CellConflictError):
        cells.swap(CELL, 0, {})
    assert not (tmp_path / CELL.folder).exists()
    assert cells.read(CELL) == NEVER_MADE


# lost replies: after the commit point "failed" must never be said


def test_a_lost_reply_is_success(cells: Cells, storage: FaultyStorage) -> None:
    storage.lose_reply("create")
    version = cells.swap(CELL, -1, {"a": 1})
    assert list(fresh(storage).history(CELL)) == [version]


def test_a_lost_request_is_sent_again_the_same(cells: Cells, storage: FaultyStorage) -> None:
    sent: list[bytes] = []
    recording = RecordingStorage(storage)
    storage.lose_request("create")
    storage.lose_reply("create", skip=1)
    watched = Cells(recording, pause=lambda _seconds: None)
    real = storage.create

    def create(key: str, data: bytes, *, durable: bool = True) -> None:
        sent.append(data)
        real(key, data, durable=durable)

    storage.create = create  # type: ignore[method-assign]
    version = watched.swap(CELL, -1, {"a": 1})
    assert len(sent) == 2
    assert len(set(sent)) == 1  # a late first sending then changes nothing
    assert list(fresh(storage).history(CELL)) == [version]


def test_taken_by_another_while_in_doubt(cells: Cells, storage: FaultyStorage) -> None:
    storage.pause("create", lambda _key: fresh(storage).swap(CELL, -1, {"by": "other"}))
    storage.lose_request("create")
    with pytest.raises(CellConflictError):
        cells.swap(CELL, -1, {"by": "me"})
    assert cells.read(CELL).value == {"by": "other"}


def test_a_client_that_sends_twice_finds_its_own(cells: Cells, storage: FaultyStorage) -> None:
    # s3fs and NFS do so: "taken" is the answer to one's own success.
    def send_first(key: str) -> None:
        storage.inner.create(key, bodies[-1])

    bodies: list[bytes] = []
    real = storage.create

    def create(key: str, data: bytes, *, durable: bool = True) -> None:
        bodies.append(data)
        real(key, data, durable=durable)

    storage.create = create  # type: ignore[method-assign]
    storage.pause("create", send_first)
    assert cells.swap(CELL, -1, {"a": 1}) == fresh(storage).read(CELL)


def test_a_late_sending_that_lands_first(cells: Cells, storage: FaultyStorage) -> None:
    late: list[tuple[str, bytes]] = []
    real = storage.create

    def create(key: str, data: bytes, *, durable: bool = True) -> None:
        if late:
            storage.inner.create(*late[0])
        late.append((key, data))
        real(key, data, durable=durable)

    storage.create = create  # type: ignore[method-assign]
    storage.lose_request("create")
    version = cells.swap(CELL, -1, {"a": 1})
    assert list(fresh(storage).history(CELL)) == [version]


@pytest.mark.parametrize("landed", [True, False])
def test_what_can_not_be_settled_is_said_to_be_unknown(
    cells: Cells, storage: FaultyStorage, landed: bool
) -> None:
    (storage.lose_reply if landed else storage.lose_request)("create", times=100)
    storage.fail("read", times=100)
    with pytest.raises(OutcomeUnknownError) as caught:
        cells.swap(CELL, -1, {"a": 1})
    details = caught.value.details
    assert (details["cell"], details["number"]) == ("ref/One/main", 0)
    found = fresh(storage).read(CELL)
    assert (found.number == 0) is landed
    if landed:
        assert details["nonce"] == found.nonce.hex()


def test_taken_but_by_whom_can_not_be_read(cells: Cells, storage: FaultyStorage) -> None:
    fresh(storage).swap(CELL, -1, {})
    storage.fail("read", times=100)
    with pytest.raises(OutcomeUnknownError):
        cells.swap(CELL, -1, {"a": 1})


def test_there_but_not_durable_is_unknown(cells: Cells, storage: FaultyStorage) -> None:
    storage.lose_reply("create", lambda key: UnsettledError("", key=key, durable_if_there=False))
    with pytest.raises(OutcomeUnknownError):
        cells.swap(CELL, -1, {"a": 1})


def test_a_plain_failure_is_told_as_such(cells: Cells, storage: FaultyStorage) -> None:
    storage.fail("create", StorageError("disk on fire", key="k"))
    with pytest.raises(StorageError, match="on fire"):
        cells.swap(CELL, -1, {"a": 1})
    assert cells.read(CELL) == NEVER_MADE


# damage


def test_any_flipped_bit_is_found(cells: Cells, storage: FaultyStorage) -> None:
    cells.swap(CELL, -1, {"a": "value"})
    key = CELL.folder + version_name(0)
    assert isinstance(storage.inner, MemoryStorage)
    body, mtime = storage.inner._files[key]
    for at in range(len(body)):
        broken = bytearray(body)
        broken[at] ^= 1 << (at % 8)
        storage.inner._files[key] = (bytes(broken), mtime)
        with pytest.raises(CorruptError, match=key):
            cells.read(CELL)
    for cut in (b"", body[:-1], body[:20], body + b"\0"):
        storage.inner._files[key] = (cut, mtime)
        with pytest.raises(CorruptError, match=key):
            cells.read(CELL)


def test_files_that_were_exchanged_are_found(cells: Cells, storage: FaultyStorage) -> None:
    # Each is whole by itself; read as the other, a branch shows another's commit.
    other = Cell("ref", ("One", "other"))
    for number in (-1, 0):
        cells.swap(CELL, number, {"n": number})
    cells.swap(other, -1, {})
    assert isinstance(storage.inner, MemoryStorage)
    files = storage.inner._files
    good = files[CELL.folder + version_name(1)]
    files[CELL.folder + version_name(1)] = files[CELL.folder + version_name(0)]
    with pytest.raises(CorruptError, match="wrong place"):
        cells.read(CELL)
    files[other.folder + version_name(0)] = good
    with pytest.raises(CorruptError, match="wrong place"):
        cells.read(other)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.dictionaries(st.text(), VALUES, max_size=5),
    st.sampled_from(list(CellState)),
    st.integers(0, 2**48 - 1),
    st.floats(0, 1e11),
)
def test_every_version_comes_back(value: dict, state: CellState, number: int, time: float) -> None:
    version = CellVersion(number=number, state=state, value=value, nonce=b"n" * 16, time=time)
    assert decode_version("cells/x/y/", number, encode_version("cells/x/y/", version)) == version


def test_the_stored_form(cells: Cells, storage: FaultyStorage) -> None:
    # The page in docs/format says so; stores that exist hold it.
    version = cells.swap(CELL, -1, {"a": 1})
    body = storage.inner.read("cells/ref/~one/main/ffffffffffff")
    assert decode(unseal(b"CELL", body)) == {
        "cell": "cells/ref/~one/main/",
        "n": 0,
        "nonce": version.nonce,
        "state": "live",
        "time": version.time,
        "v": 1,
        "value": {"a": 1},
    }


# costs, by counting


def test_reading_again_lists_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = RecordingStorage(LocalStorage(tmp_path, create=True))
    cells = Cells(storage)
    version = cells.read(CELL)
    for number in range(20):
        version = cells.swap(CELL, version.number, {"n": number})
    fresh_cells = Cells(storage)
    fresh_cells.read(CELL)

    def no_listing(path: str) -> None:
        raise AssertionError(f"{path} was listed")

    monkeypatch.setattr(os, "scandir", no_listing)
    storage.clear()
    assert cells.read(CELL) == fresh_cells.read(CELL) == version
    assert storage.counts() == {"newest_version": 2, "read": 2}
    assert Cells(storage).read(CELL, at_least=3) == version


def test_a_swap_is_one_create(tmp_path: Path) -> None:
    storage = RecordingStorage(LocalStorage(tmp_path, create=True))
    cells = Cells(storage)
    cells.swap(CELL, -1, {"n": 1})
    storage.clear()
    cells.swap(CELL, 0, {"n": 2})
    assert storage.counts() == {"create": 1}


def test_others_versions_are_seen(tmp_path: Path) -> None:
    # What this process remembers is a hint and never an answer.
    mine = Cells(LocalStorage(tmp_path, create=True))
    other = Cells(LocalStorage(tmp_path))
    version = mine.swap(CELL, -1, {})
    for count in (1, 2, 3, 10):
        for _ in range(count):
            version = other.swap(CELL, version.number, {})
        assert mine.read(CELL) == version


def test_catching_up_with_many_versions_looks_at_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path, create=True)
    folder = tmp_path / CELL.folder
    folder.mkdir(parents=True)
    for number in range(1000):
        (folder / version_name(number)).touch()
    looks: list[str] = []
    real = storage.exists

    def exists(key: str) -> bool:
        looks.append(key)
        return real(key)

    monkeypatch.setattr(storage, "exists", exists)
    assert storage.newest_version(CELL.folder, at_least=0) == 999
    assert len(looks) <= 20
    looks.clear()
    assert storage.newest_version(CELL.folder, at_least=999) == 999
    assert len(looks) == 1


def test_an_emptied_version_keeps_its_number_and_nonce(cells: Cells) -> None:
    """A writer who lost the answer reads his nonce back: it has to be there after gc, too."""
    first = cells.swap(CELL, -1, {"at": 1})
    cells.swap(CELL, 0, {"at": 2})
    cells.hollow(CELL, first)
    emptied = cells.read_version(CELL, 0)
    assert (emptied.state, emptied.value) == (CellState.EMPTIED, {})
    assert (emptied.number, emptied.nonce, emptied.time) == (0, first.nonce, first.time)
    assert cells.read(CELL).value == {"at": 2}


def test_an_old_version_that_was_the_newest_when_last_seen_is_emptied(
    cells: Cells, storage: FaultyStorage
) -> None:
    """gc would stop at a branch that has moved on since it was read."""
    first = cells.swap(CELL, -1, {"at": 1})
    fresh(storage).swap(CELL, 0, {"at": 2})
    cells.hollow(CELL, first)
    assert cells.read_version(CELL, 0).state is CellState.EMPTIED


def test_the_newest_version_is_never_emptied(cells: Cells) -> None:
    """A head taken away would be a branch lost."""
    newest = cells.swap(CELL, -1, {"at": 1})
    with pytest.raises(InvalidInputError):
        cells.hollow(CELL, newest)
    assert cells.read(CELL).value == {"at": 1}
