"""One file read once: MD5 and chunks of the very same bytes, cut where its format says."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import threading

import pytest

from ahstore.chunks.cutter import Cutter, CuttingParameters
from ahstore.codec.digests import sha256
from ahstore.errors import InvalidInputError, ObjectNotFoundError, SourceChangedError
from ahstore.ids import ChunkId
from ahstore.objects.chunklist import walk
from ahstore.versions.adding import reading
from ahstore.versions.adding.reading import read_content


class Silent:
    """A monitor that counts bytes."""

    def __init__(self):
        self.bytes = 0

    def advance(self, *, files=0, bytes_=0):
        self.bytes += bytes_


@pytest.fixture
def cutter():
    return Cutter(CuttingParameters())


def read(path, cutter, monitor=None):
    chunks = {}

    def put(data):
        chunks[sha256(data)] = bytes(data)
        return ChunkId(sha256(data))

    content, _ = read_content(str(path), cutter, put, monitor or Silent())
    ordered = [ref for ref, _ in walk(content.level, content.refs, chunks.__getitem__)]
    return content, [chunks[ref.id] for ref in ordered]


@pytest.mark.parametrize("size", [0, 1, 70_000, 2 * 2**20, 9 * 2**20 + 17])
def test_md5_and_chunks_are_of_the_same_bytes(tmp_path, cutter, size):
    data = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(data)
    monitor = Silent()
    content, chunks = read(tmp_path / "file", cutter, monitor)
    assert b"".join(chunks) == data
    assert content.md5 == hashlib.md5(data).digest()
    assert content.size == monitor.bytes == size
    assert list(map(len, chunks)) == cutter.lengths(data)


def test_a_changed_layer_is_all_that_a_checkpoint_adds(tmp_path, cutter):
    # Cut by content alone, the ends of a tensor are shared with its neighbours' changed chunks.
    layers = [random.Random(n).randbytes(3_000_000) for n in range(4)]
    found = []
    for version in range(2):
        layers[2] = random.Random(100 + version).randbytes(3_000_000)
        header = {
            f"layer{n}": {
                "dtype": "F32",
                "shape": [750_000],
                "data_offsets": [3_000_000 * n, 3_000_000 * (n + 1)],
            }
            for n in range(4)
        }
        head = json.dumps(header).encode()
        path = tmp_path / "model.safetensors"
        path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(layers))
        found.append(read(path, cutter)[1])
    added = sum(len(chunk) for chunk in found[1] if chunk not in found[0])
    assert added == 3_000_000


def test_a_file_that_keeps_changing_is_refused(tmp_path, cutter):
    # Half of the old bytes and half of the new ones would be committed as a file that never was.
    path = tmp_path / "file"
    path.write_bytes(bytes(5 * 2**20))

    class Writing(Silent):
        def advance(self, *, files=0, bytes_=0):
            with open(path, "ab") as file:
                file.write(b"x" if self.bytes < 40 else b"")
            self.bytes += 1
            os.utime(path, ns=(self.bytes, self.bytes))

    with pytest.raises(SourceChangedError):
        read(path, cutter, Writing())
    assert not [t for t in threading.enumerate() if t.name == "md5"]


def test_what_is_no_file_is_refused(tmp_path, cutter):
    with pytest.raises(ObjectNotFoundError):
        read(tmp_path / "gone", cutter)
    with pytest.raises(InvalidInputError):
        read(tmp_path, cutter)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError):
        read(tmp_path / "pipe", cutter)


def test_an_error_of_the_sink_ends_the_thread(tmp_path, cutter):
    (tmp_path / "file").write_bytes(random.Random(1).randbytes(30 * 2**20))

    def full(_):
        raise KeyError

    with pytest.raises(KeyError):
        read_content(str(tmp_path / "file"), cutter, full, Silent())
    assert not [t for t in threading.enumerate() if t.name == "md5"]


def test_blocks_are_not_read_far_ahead(tmp_path, cutter, monkeypatch):
    # A file of any size is read in bounded memory, though MD5 falls behind.
    (tmp_path / "file").write_bytes(bytes(64 * 2**20))
    gate, reads = threading.Event(), []
    run = reading._Md5Thread._run
    monkeypatch.setattr(reading._Md5Thread, "_run", lambda self: (gate.wait(60), run(self)))

    class Counting(Silent):
        def advance(self, *, files=0, bytes_=0):
            reads.append(bytes_)

    worker = threading.Thread(target=read, args=(tmp_path / "file", cutter, Counting()))
    worker.start()
    worker.join(0.5)
    assert len(reads) <= reading.BLOCKS_AHEAD
    gate.set()
    worker.join()
    assert sum(reads) == 64 * 2**20
