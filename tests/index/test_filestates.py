"""File states: a file is trusted to be unchanged only when it is, racy writes included."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.index.filestates import COARSE_GRAIN_NS, FINE_GRAIN_NS, FileStates
from ahstore.index.folderstates import FolderState
from ahstore.index.lmdb_env import open_environment
from ahstore.index.mounts import find_type, has_fine_times
from ahstore.index.stamps import pack

NOW = 1_800_000_000_123_456_789


@dataclass(frozen=True)
class FakeStat:
    st_size: int = 100
    st_mtime_ns: int = NOW - 10**12
    st_ctime_ns: int = NOW - 10**12
    st_ino: int = 7
    st_dev: int = 8
    st_mode: int = 0o100644


@pytest.fixture(params=["memory", "lmdb"])
def states(request, tmp_path):
    env = None if request.param == "memory" else open_environment(str(tmp_path / "cache"))
    states = FileStates(env, now_ns=lambda: NOW, fine_times=lambda _device: True)
    yield states
    states.close()


def test_what_was_remembered_comes_back(states):
    stat = FakeStat()
    assert states.lookup("/a", stat) is None
    assert states.remember("/a", stat, b"value", started=states.now())
    assert states.remember("/b", stat, b"", started=states.now())
    for _ in range(2):
        assert states.lookup_many(["/b", "/c", "/a"], [stat] * 3) == [b"", None, b"value"]
        states.flush()


@pytest.mark.parametrize("field", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev"])
@pytest.mark.parametrize("by", [1, -1])
def test_any_difference_makes_it_unknown(states, field, by):
    # Each of them tells of changes that no other one does: a restored mtime, a renamed file.
    stat = FakeStat()
    states.remember("/a", stat, b"value", started=NOW)
    assert states.lookup("/a", replace(stat, **{field: getattr(stat, field) + by})) is None
    assert states.lookup("/a", stat) == b"value"


@pytest.mark.parametrize("field", ["st_mtime_ns", "st_ctime_ns"])
@pytest.mark.parametrize(
    ("age", "fine", "kept"),
    [
        (FINE_GRAIN_NS + 1, True, True),
        (FINE_GRAIN_NS, True, False),
        (1, True, False),
        (0, True, False),
        (-(10**12), True, False),
        (FINE_GRAIN_NS + 1, False, False),
        (COARSE_GRAIN_NS, False, False),
        (COARSE_GRAIN_NS + 1, False, True),
    ],
)
def test_a_file_too_fresh_is_not_remembered(field, age, fine, kept):
    # A write after our reading in the same tick leaves the same stamps: its content would be
    # taken for the one we read, and lost from every later commit.
    states = FileStates(None, fine_times=lambda _device: fine)
    stat = replace(FakeStat(), **{field: NOW - age})
    assert states.remember("/a", stat, b"value", started=NOW) is kept
    assert states.lookup("/a", stat) == (b"value" if kept else None)


def test_stamps_of_whole_seconds_are_coarse_whatever_the_file_system():
    # Small ext4 file systems have inodes without nanoseconds.
    states = FileStates(None, fine_times=lambda _device: True)
    second = NOW - NOW % 10**9
    for age, kept in ((10**9, False), (COARSE_GRAIN_NS + 10**9, True)):
        stat = replace(FakeStat(), st_mtime_ns=second - age, st_ctime_ns=second - age)
        assert states.remember("/a", stat, b"v", started=second) is kept


def test_a_real_file_rewritten_at_once_is_not_mistaken(tmp_path):
    # The racy case itself: same size, rewritten within the tick in which it was read.
    states = FileStates.open(None)
    path = str(tmp_path / "file")
    mistaken = 0
    for n in range(200):
        with open(path, "w") as file:
            file.write(f"{n:04}")
        started = states.now()
        with open(path) as file:
            content = file.read()
        states.remember(path, os.stat(path), content.encode(), started=started)
        with open(path, "w") as file:
            file.write(f"{n + 1:04}")
        mistaken += states.lookup(path, os.stat(path)) == content.encode()
    assert mistaken == 0


def test_a_file_at_rest_is_remembered(tmp_path):
    path = str(tmp_path / "file")
    with open(path, "w") as file:
        file.write("x")
    stat = os.stat(path)
    states = FileStates.open(None)
    assert states.remember(path, stat, b"v", started=states.now() + 3 * 10**9)
    assert states.lookup(path, os.stat(path)) == b"v"
    os.utime(path, ns=(1, stat.st_mtime_ns))  # mtime put back: ctime tells
    assert states.lookup(path, os.stat(path)) is None


def test_states_survive_reopening(tmp_path):
    cache = str(tmp_path / "cache")
    stat = FakeStat()
    states = FileStates.open(cache)
    states.remember("/a", stat, b"value", started=NOW)
    states.close()
    states = FileStates.open(cache)
    assert states.lookup("/a", stat) == b"value"
    states.forget(["/a"])
    assert states.lookup("/a", stat) is None
    states.close()
    states = FileStates.open(cache)
    assert states.lookup("/a", stat) is None
    states.close()


def test_the_newer_value_wins(states):
    stat = FakeStat()
    states.remember("/a", stat, b"old", started=NOW)
    states.flush()
    states.remember("/a", stat, b"new", started=NOW)
    assert states.lookup("/a", stat) == b"new"
    states.flush()
    assert states.lookup("/a", stat) == b"new"


def test_relative_and_odd_paths(states, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stat = FakeStat()
    paths = ["file", "/" + "long/" * 800, "/" + "long/" * 800 + "x", "/caf\udce9", "/é", "/#"]
    for n, path in enumerate(paths):
        states.remember(path, stat, bytes([n]), started=NOW)
    states.flush()
    assert states.lookup_many(paths, [stat] * 6) == [bytes([n]) for n in range(6)]
    assert states.lookup(str(tmp_path / "file"), stat) == b"\0"


def test_forgetting_holds_while_the_cache_is_busy(tmp_path):
    cache = str(tmp_path / "cache")
    states = FileStates.open(cache)
    stat = FakeStat()
    states.remember("/a", stat, b"value", started=NOW)
    states.flush()
    busy = os.open(os.path.join(cache, "writer.lock"), os.O_RDWR)
    import fcntl

    fcntl.flock(busy, fcntl.LOCK_EX)
    states.forget(["/a"])
    assert states.lookup("/a", stat) is None
    os.close(busy)
    states.close()


def test_flipped_bits_make_it_unknown(tmp_path):
    # LMDB keeps no checksums: a flipped bit would be committed as a file's MD5 or chunk.
    env = open_environment(str(tmp_path / "cache"))
    states = FileStates(env)
    stat = FakeStat()
    states.remember("/a", stat, b"value", started=NOW)
    states.flush()
    with env.read() as txn:
        state = txn.get(b"f/a")
    for bit in range(8 * len(state)):
        damaged = bytearray(state)
        damaged[bit // 8] ^= 1 << bit % 8
        assert env.write(lambda txn, damaged=bytes(damaged): txn.put(b"f/a", damaged))
        assert states.lookup("/a", stat) is None
    assert env.write(lambda txn: txn.put(b"f/b", state))
    assert states.lookup("/b", stat) is None  # nor does another file's state count
    for length in range(len(state)):
        assert env.write(lambda txn, cut=state[:length]: txn.put(b"f/a", cut))
        assert states.lookup("/a", stat) is None
    states.close()


def test_memory_is_bounded_without_a_cache(monkeypatch):
    monkeypatch.setattr("ahstore.index.filestates._BUFFERED_BYTES", 10_000)
    monkeypatch.setattr("ahstore.index.filestates._MOST_BYTES_IN_MEMORY", 40_000)
    states = FileStates.open(None)
    for n in range(2000):
        states.remember(f"/{n}", FakeStat(), b"v", started=NOW)
        states.remember_folders([(f"/{n}", FolderState.of(["a"], pack([FakeStat()]), [b"v"]))])
        assert len(states._recent) <= 200


def test_much_is_written_at_once_and_little_later(tmp_path):
    # A commit of ten named files must not wait for a sync of what it can do without.
    states = FileStates.open(str(tmp_path / "cache"))
    for n in range(100):
        states.remember(f"/{n}", FakeStat(), b"v", started=NOW)
        states.flush_many()
        assert len(states._recent) < 64
    states.close()
    states = FileStates.open(str(tmp_path / "cache"))
    assert states.lookup("/99", FakeStat()) == b"v"
    states.close()


@given(
    st.integers(0, 2**63),
    st.integers(-(2**62), 2**62),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=50),
)
def test_any_stat_will_do(size, mtime, inode, device, value):
    states = FileStates(None, fine_times=lambda _device: True)
    stat = FakeStat(size, mtime, mtime, inode, device)
    states.remember("/a", stat, value, started=2**62 + 10**10)
    assert states.lookup("/a", stat) == value


MOUNTINFO = r"""
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 21 0:27 / /home/a\040b rw - nfs4 server:/x rw
32 21 0:28 / /mnt rw shared:1 master:2 - fuse.sshfs host: rw
nonsense
"""


def test_file_systems_are_found_by_device():
    assert find_type(MOUNTINFO, os.makedev(254, 0)) == "ext4"
    assert find_type(MOUNTINFO, os.makedev(0, 27)) == "nfs4"
    assert find_type(MOUNTINFO, os.makedev(0, 28)) == "fuse.sshfs"
    assert find_type(MOUNTINFO, os.makedev(9, 9)) is None
    assert has_fine_times(os.makedev(4000, 4000)) is False
