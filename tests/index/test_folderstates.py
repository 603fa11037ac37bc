"""What is remembered of whole folders: it counts file by file, and damage makes it unknown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.index.filestates import COARSE_GRAIN_NS, FINE_GRAIN_NS, FileStates
from ahstore.index.folderstates import FolderState, decode, encode
from ahstore.index.lmdb_env import open_environment
from ahstore.index.stamps import STAMP_BYTES, UNTRUSTED, Stamp, newest_ns, pack, sizes, unpack
from ahstore.index.stamps import stamp as stamp_of

NOW = 1_800_000_000_123_456_789
OLD = NOW - 10**12
NAMES = ["a", "b.txt", "é"]
VALUES = [b"one", b"", b"three"]


def stamp(*, size: int = 5, mtime: int = OLD, ctime: int = OLD, ino: int = 7) -> Stamp:
    return Stamp(size, mtime, ctime, ino, 8, 0o100644)


def state(stamps: list[Stamp] | None = None) -> FolderState:
    return FolderState.of(NAMES, pack(stamps or [stamp()] * 3), VALUES, [1, "note"])


@pytest.fixture(params=["memory", "lmdb"])
def states(request, tmp_path):
    env = None if request.param == "memory" else open_environment(str(tmp_path / "cache"))
    states = FileStates(env, now_ns=lambda: NOW, fine_times=lambda _device: True)
    yield states
    states.close()


def test_what_was_remembered_comes_back(states):
    long = "/" + "folder/" * 100
    for _ in range(2):
        states.remember_folders([("/x", state()), (long, state())])
        assert states.folders([long, "/y", "/x"]) == [state(), None, state()]
        states.flush()
    assert state().split_values() == VALUES
    assert state().places() == {"a": 0, "b.txt": 1, "é": 2}


def test_a_file_is_found_with_its_folder(states):
    # A file named after its folder was committed would be read and hashed again.
    states.remember_folders([("/x", state([stamp(ino=n) for n in range(3)]))])
    names = ["/x/a", "/x/é", "/x/none", "/y/a", "/x/b.txt"]
    found = states.lookup_many(names, [stamp(ino=n) for n in (0, 2, 0, 0, 0)])
    assert found == [b"one", b"three", None, None, None]


@pytest.mark.parametrize("field", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev"])
def test_any_difference_of_a_file_in_a_folder_makes_it_unknown(states, field):
    states.remember_folders([("/x", state())])
    other = stamp()._replace(**{field: getattr(stamp(), field) + 1})
    assert states.lookup("/x/a", other) is None
    assert states.lookup("/x/a", stamp()) == b"one"


def test_it_is_told_whether_files_of_a_folder_may_be_remembered_by_themselves(states):
    # Told no, a file of many GiB that was committed by its name would be read again.
    assert not states.may_know_below("/x")
    states.remember("/x/b", stamp(), b"value", started=NOW)
    assert states.may_know_below("/x")
    if states.flush():
        assert states.may_know_below("/x")
        assert not states.may_know_below("/x/b")
        assert not states.may_know_below("/y")
    long = "/" + "folder/" * 100
    states.remember(long + "b", stamp(), b"value", started=NOW)
    states.flush()
    assert states.may_know_below(long)


def test_forgetting_a_file_forgets_it_with_its_folder(states):
    states.remember_folders([("/x", state())])
    states.flush()
    states.forget(["/x/a"])
    assert states.lookup("/x/a", stamp()) is None


@pytest.mark.parametrize("field", ["mtime", "ctime"])
@pytest.mark.parametrize(
    ("age", "fine", "kept"),
    [
        (FINE_GRAIN_NS + 1, True, True),
        (FINE_GRAIN_NS, True, False),
        (-(10**12), True, False),
        (FINE_GRAIN_NS + 1, False, False),
        (COARSE_GRAIN_NS, False, False),
        (COARSE_GRAIN_NS + 1, False, True),
    ],
)
def test_a_file_too_fresh_does_not_count_and_those_beside_it_do(field, age, fine, kept):
    # A write after our reading in the same tick leaves the same stamps: the folder would be held
    # for unchanged, and the write lost from every later commit.
    states = FileStates(None, fine_times=lambda _device: fine)
    stamps = [stamp(), stamp(**{field: NOW - age}), stamp()]
    trusted = states.trusted(pack(stamps), NOW)
    assert trusted[:STAMP_BYTES] == trusted[2 * STAMP_BYTES :] == pack([stamp()])
    middle = trusted[STAMP_BYTES : 2 * STAMP_BYTES]
    assert middle == (pack([stamps[1]]) if kept else UNTRUSTED)
    states.remember_folders([("/x", FolderState.of(NAMES, trusted, VALUES))])
    assert (states.lookup("/x/b.txt", stamps[1]) == b"") is kept


def test_whole_seconds_are_coarse():
    states = FileStates(None, fine_times=lambda _device: True)
    second = NOW - NOW % 10**9
    for age, kept in ((10**9, False), (3 * 10**9, True)):
        packed = pack([stamp(mtime=second - age, ctime=second - age)])
        assert states.trusted(packed, second) == (packed if kept else UNTRUSTED)


def test_flipped_bits_make_it_unknown():
    # LMDB keeps no checksums: a flipped bit would be committed as a file's MD5 or chunk.
    key = b"d/x"
    entry = encode(key, state())
    assert decode(key, entry) == state()
    for bit in range(8 * len(entry)):
        damaged = bytearray(entry)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode(key, bytes(damaged)) is None
    for length in range(len(entry)):
        assert decode(key, entry[:length]) is None
    assert decode(b"d/y", entry) is None  # nor does another folder's entry count


def test_an_entry_that_does_not_fit_together_is_unknown():
    whole = state()
    for wrong in (
        FolderState("a/b", whole.stamps, whole.lengths, whole.values),
        FolderState(whole.names, whole.stamps[1:], whole.lengths, whole.values),
        FolderState(whole.names, whole.stamps, whole.lengths[2:], whole.values),
        FolderState(whole.names, whole.stamps, whole.lengths, whole.values + b"x"),
    ):
        assert decode(b"d", encode(b"d", wrong)) is None


numbers = st.integers(-(2**63), 2**63 - 1)
naturals = st.integers(0, 2**64 - 1)


@given(st.lists(st.builds(Stamp, numbers, numbers, numbers, naturals, naturals, naturals)))
def test_stamps_come_back(stamps):
    packed = pack(stamps)
    assert [unpack(packed, at) for at in range(len(stamps))] == stamps
    assert sizes(packed) == [each.st_size for each in stamps]
    if stamps:
        assert newest_ns(packed) == max(max(each[1:3]) for each in stamps)


def test_stamps_are_of_all_that_may_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    before = stamp_of(os.stat(path))
    path.chmod(0o755)
    after = stamp_of(os.stat(path))
    assert before.st_mode != after.st_mode
    assert pack([os.stat(path)]) == pack([after])
    assert stamp_of(os.stat(tmp_path)).st_ino != after.st_ino
    assert pack([after._replace(st_ino=-1)]) == pack([after._replace(st_ino=2**64 - 1)])
