"""Commit, status and listing in a warm process, in the store of W1–W7.

``python -m benchmarks.warm MANY SEED``, the store being the one of the environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ahstore import api
from ahstore.client.ref import Branch
from benchmarks.inprocess import get_main, milliseconds, quantiles
from benchmarks.parts import Rows
from benchmarks.workloads import EDITED_FILES, edit_some

REPEATS = 7


def _warm_rows(many: Path, seed: int) -> Rows:
    with api.open() as store:
        main = get_main(store, "dataset/b/many")
        everything = [f"{many}/*"]
        main.status(everything)
        main.create_commit("as it is", add=everything)
        return {
            "P4": quantiles([_named_commit(main, many, seed * 100 + n) for n in range(REPEATS)]),
            "P5": quantiles([milliseconds(main.status, everything) for _ in range(REPEATS)]),
            "P7": quantiles([milliseconds(_listing, main) for _ in range(REPEATS)]),
            "P7l": quantiles([milliseconds(main.list_object) for _ in range(REPEATS)]),
        }


def _listing(main: Branch) -> list[tuple[str, int, str]]:
    return [
        (each["path"], each["size_bytes"], each["checksum"])
        for each in main.iter_object(located=False)
    ]


def _named_commit(main: Branch, many: Path, seed: int) -> float:
    edited = edit_some(many, count=EDITED_FILES, seed=1_000_000 + seed)
    add = {str(path): str(path.relative_to(many)) for path in edited}
    return milliseconds(main.create_commit, "ten", add=add)


if __name__ == "__main__":
    json.dump(_warm_rows(Path(sys.argv[1]), int(sys.argv[2])), sys.stdout)
