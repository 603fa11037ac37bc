"""Data to time with: random bytes, the same on every machine for the same size."""

from __future__ import annotations

import os
import random
from pathlib import Path

MIB = 2**20


def many_files(folder: Path, *, count: int, size: int, folders: int = 200) -> None:
    """Write ``count`` files of ``size`` bytes evenly into sub-folders."""
    rng = random.Random(count * size)
    for at in range(count):
        sub = folder / f"d{at % folders:04d}"
        if at < folders:
            sub.mkdir(parents=True)
        (sub / f"f{at:06d}.bin").write_bytes(rng.randbytes(size))


def one_file(path: Path, *, size: int) -> None:
    """Write one file of ``size`` bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(size)
    with open(path, "wb") as file:
        file.writelines(rng.randbytes(MIB) for _ in range(size // MIB))


def edit_one_file(path: Path) -> None:
    """Insert 5 MiB and an odd 17 bytes at 30 % and overwrite 5 MiB at 70 %."""
    data = path.read_bytes()
    rng = random.Random(len(data) + 1)
    cut, over = len(data) * 3 // 10, len(data) * 7 // 10
    piece = min(5 * MIB, len(data) // 20)
    changed = bytearray(data[:cut] + rng.randbytes(piece + 17) + data[cut:])
    changed[over : over + piece] = rng.randbytes(piece)
    path.write_bytes(changed)


def edit_some_files(folder: Path, *, count: int, seed: int) -> None:
    """Give ``count`` files of a folder new bytes of the same size."""
    rng = random.Random(seed)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    for path in rng.sample(files, count):
        path.write_bytes(rng.randbytes(path.stat().st_size))


def sync() -> None:
    """Let nothing that was written before count against what is timed next."""
    os.sync()
