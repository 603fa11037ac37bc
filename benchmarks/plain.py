"""What plain Python does with the same files; its imports are few, so that its start costs little.

``python -m benchmarks.plain hashlib SOURCE`` or ``pack-write SOURCE TARGET``.
"""

from __future__ import annotations

import hashlib
import os
import sys

BLOCK = 2**20
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def _blocks(source: str) -> Iterator[bytes]:
    for path, _, names in os.walk(source):
        for name in names:
            descriptor = os.open(os.path.join(path, name), os.O_RDONLY)
            while block := os.read(descriptor, BLOCK):
                yield block
            os.close(descriptor)


def _hash(source: str) -> None:
    for block in _blocks(source):
        hashlib.md5(block).digest()


def _write(source: str, target: str) -> None:
    with open(target, "wb", buffering=BLOCK) as file:
        file.writelines(_blocks(source))
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    if sys.argv[1] == "hashlib":
        _hash(*sys.argv[2:])
    else:
        _write(*sys.argv[2:])
