"""Physical references, as tools: ``md5sum``, ``cp -r``, hashlib, one sequential write with fsync."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.tool import Tool, quoted
from benchmarks.workloads import Data

MD5SUM, COPY, HASHLIB, PACK_WRITE = "md5sum", "cp+sync", "hashlib", "pack-write"


def _inputs(data: Data) -> dict[str, Path]:
    return {"W1": data.many, "W1c": data.many, "W2": data.before, "W3": data.after, "W9": data.tiny}


def md5sum(folder: Path, data: Data) -> Tool:
    """``md5sum`` of all files."""
    lines = {
        row: f"find {quoted(source)} -type f -print0 | xargs -0 md5sum"
        for row, source in _inputs(data).items()
    }
    return Tool(MD5SUM, folder, lines)


def copy(folder: Path, data: Data) -> Tool:
    """``cp -r``; the runner adds the ``sync``, as for every tool."""
    sources = {"W1": data.many, "W2": data.before, "W6": data.many, "W6b": data.after}
    lines = {row: quoted("cp", "-r", source, f"copy-{row}") for row, source in sources.items()}
    return Tool(COPY, folder, lines, restored={"W6": "copy-W6", "W6b": "copy-W6b"})


def hashlib_(folder: Path, data: Data) -> Tool:
    """Python reading all files and hashing them by MD5."""
    return _own("hashlib", folder, data, ())


def pack_write(folder: Path, data: Data) -> Tool:
    """Python reading all files and writing their bytes to one file, synced."""
    return _own("pack-write", folder, data, ("pack",))


def _own(name: str, folder: Path, data: Data, target: tuple[str, ...]) -> Tool:
    program = [sys.executable, "-S", "-m", "benchmarks.plain", name]
    lines = {
        row: quoted(*program, source, *(f"{each}-{row}" for each in target))
        for row, source in _inputs(data).items()
        if row in ("W1", "W2", "W9")
    }
    return Tool(name, folder, lines, env={"PYTHONPATH": str(Path(__file__).parents[1])})


REFERENCES = (md5sum, copy, hashlib_, pack_write)
