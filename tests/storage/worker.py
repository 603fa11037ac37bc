"""What the processes of the race tests do: ``python worker.py ROLE FOLDER ROUNDS``."""

from __future__ import annotations

import sys

from ahstore.storage.cells import Cell, CellConflictError, Cells
from ahstore.storage.contract import AlreadyThereError
from ahstore.storage.local import LocalStorage

CELL = Cell("ref", ("Asset", "main"))


def create(storage: LocalStorage, rounds: int) -> None:
    """Race for the same keys; say which were won."""
    for number in range(rounds):
        try:
            storage.create(f"hints/race/{number}", b"%d" % number, durable=number % 10 == 0)
        except AlreadyThereError:
            continue
        print("won", number)


def increment(storage: LocalStorage, rounds: int) -> None:
    """Count one cell up, without the courtesy lock."""
    cells = Cells(storage)
    for _ in range(rounds):
        while True:
            version = cells.read(CELL)
            try:
                cells.swap(CELL, version.number, {"n": version.value.get("n", 0) + 1})
            except CellConflictError:
                continue
            break
    print("done")


def write(storage: LocalStorage, _rounds: int) -> None:
    """Do one of each write, for a trace."""
    storage.create("cells/ref/one/main/ffffffffffff", b"zero")
    storage.create("cells/ref/one/main/fffffffffffe", b"one")
    with storage.new_file("packs/data/ab/" + "ab" * 16) as writer:
        writer.write(b"pack")
        writer.commit()
    storage.create("cells/lease/one/ffffffffffff", b"lease", durable=False)


if __name__ == "__main__":
    role, folder, count = sys.argv[1:]
    storage = LocalStorage(folder, create=True)
    print("ready", flush=True)
    sys.stdin.readline()
    globals()[role](storage, int(count))
