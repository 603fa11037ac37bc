"""Data to time with: random bytes, the same on every machine for the same sizes.

``many`` (W1), a large file ``before`` and ``after`` its edit (W2, W3), and ``tiny`` files (W9).
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import xxhash

MIB = 2**20
MANY_FILE_BYTES = 4096
TINY_FILE_BYTES = 200
FOLDERS = 200
EDITED_FILES = 10
ODD_BYTES = 17


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; the defaults are the workloads as the goals mean them."""

    files: int = 20_000
    large_mib: int = 1024
    tiny: int = 100_000
    objects: int = 1_000_000
    writers: int = 16
    commits: int = 200

    @property
    def full(self) -> bool:
        """Whether goals in seconds apply."""
        return self == Sizes()


QUICK = Sizes(files=2000, large_mib=100, tiny=10_000, objects=100_000, writers=4, commits=25)


@dataclass(frozen=True, slots=True)
class Data:
    """The folders of the workloads' files; ``before`` and ``after`` each hold one ``data.bin``."""

    root: Path

    @property
    def many(self) -> Path:
        return self.root / "many"

    @property
    def before(self) -> Path:
        return self.root / "before"

    @property
    def after(self) -> Path:
        return self.root / "after"

    @property
    def tiny(self) -> Path:
        return self.root / "tiny"


def make_many(folder: Path, *, count: int, size: int) -> None:
    """Write ``count`` files of ``size`` bytes evenly into sub-folders."""
    rng = random.Random(count * size)
    for at in range(count):
        sub = folder / f"d{at % FOLDERS:04d}"
        if at < FOLDERS:
            sub.mkdir(parents=True)
        (sub / f"f{at:06d}.bin").write_bytes(rng.randbytes(size))


def make_large(path: Path, *, mib: int) -> None:
    """Write one file of ``mib`` MiB."""
    path.parent.mkdir(parents=True)
    rng = random.Random(mib)
    with open(path, "wb") as file:
        file.writelines(rng.randbytes(MIB) for _ in range(mib))


def make_edited(source: Path, target: Path) -> None:
    """Copy a file with 5 MiB and an odd 17 bytes inserted at 300 MiB, 5 MiB overwritten at 700.

    In a file of another size the places are in proportion, the pieces at most a 20th of it.
    """
    target.parent.mkdir(parents=True)
    size = source.stat().st_size
    piece = min(5 * MIB, size // 20)
    insert_at, overwrite_at = size * 300 // 1024, size * 700 // 1024
    rng = random.Random(size + 1)
    with open(source, "rb") as old, open(target, "wb") as new:
        _copy(old, new, insert_at)
        new.write(rng.randbytes(piece + ODD_BYTES))
        _copy(old, new, overwrite_at - insert_at)
        new.write(rng.randbytes(piece))
        old.seek(piece, os.SEEK_CUR)
        shutil.copyfileobj(old, new, MIB)


def _copy(old: BinaryIO, new: BinaryIO, length: int) -> None:
    while length:
        block = old.read(min(MIB, length))
        new.write(block)
        length -= len(block)


def edit_some(folder: Path, *, count: int, seed: int) -> list[Path]:
    """Give ``count`` files of a folder new bytes of the same size; return which."""
    rng = random.Random(seed)
    names = sorted(str(path) for path in folder.glob("*/*.bin"))
    chosen = [Path(name) for name in rng.sample(names, min(count, len(names)))]
    for path in chosen:
        path.write_bytes(rng.randbytes(path.stat().st_size))
    return chosen


def warm(folder: Path) -> None:
    """Read all files of a folder, so that they are in the page cache."""
    contents(folder)


def contents(folder: Path) -> Counter[tuple[str, str]]:
    """Return how often each name and content is below a folder, wherever below it."""
    found: Counter[tuple[str, str]] = Counter()
    for path, _, names in os.walk(folder):
        for name in names:
            digest = xxhash.xxh3_128()
            with open(os.path.join(path, name), "rb", buffering=0) as file:
                while block := file.read(MIB):
                    digest.update(block)
            found[name, digest.hexdigest()] += 1
    return found
