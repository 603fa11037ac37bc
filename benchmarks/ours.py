"""ahstore at the command line: ``python -m ahstore``, a process for each row."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.tool import Tool, quoted
from benchmarks.workloads import Data

PROGRAM = quoted(sys.executable, "-m", "ahstore")
NAME = "ahstore"


def environment(folder: Path) -> dict[str, str]:
    """Return the variables that give ahstore a store, caches and a user of its own."""
    kinds = ("CACHE", "STATE", "DATA", "CONFIG")
    homes = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in kinds}
    source = str(Path(__file__).parents[1])
    return {"AH_STORE": str(folder / "store"), "AH_USER": "bench", "PYTHONPATH": source, **homes}


def ahstore(folder: Path, data: Data) -> Tool:
    """Make the tool: a dataset for each workload, all in one store."""

    def ah(*words: object) -> str:
        return f"{PROGRAM} {quoted(*words)}"

    def commit(row: str, asset: str, files: Path) -> str:
        return ah("commit", f"dataset/b/{asset}", "-m", row, "-a", f"{files}/*")

    # Another store with caches of its own: the first one knows these files.
    cold = quoted("env", *(f"{k}={v}" for k, v in environment(folder / "cold").items()))

    return Tool(
        name=NAME,
        folder=folder,
        stored=folder / "store",
        set_up=[
            ah("create", "folder", "dataset/b"),
            *(ah("create", "dataset", f"b/{name}") for name in ("many", "big", "tiny")),
            f"{cold} {ah('create', 'folder', 'dataset/b')}",
            f"{cold} {ah('create', 'dataset', 'b/many')}",
        ],
        lines={
            "help": ah("--help"),
            "W1": commit("W1", "many", data.many),
            "W1c": f"{cold} {commit('W1c', 'many', data.many)}",
            "W2": commit("W2", "big", data.before),
            "W3": commit("W3", "big", data.after),
            "W4": commit("W4", "many", data.many),
            "W5": ah("status", "dataset/b/many", f"{data.many}/*"),
            "W5c": ah("status", "dataset/b/many", f"{data.many}/*"),
            "W6": ah("download", "dataset/b/many", "-s", "out"),
            "W6b": ah("download", "dataset/b/big", "-s", "outbig"),
            "W7": ah("ls", "object", "dataset/b/many"),
            "W8": ah("create", "branch", "dataset/b/many:dev"),
            "W9": commit("W9", "tiny", data.tiny),
            "W9b": commit("W9b", "tiny", data.tiny),
        },
        env=environment(folder),
    )
