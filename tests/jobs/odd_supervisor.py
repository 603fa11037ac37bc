"""A supervisor that dies or pauses at a step: ODD_PHASE says which, ODD_HOW what it does there.

With ODD_WRITE=N it dies at the N-th write to the store, before it or after it as ODD_SIDE says, and
writes to the file ODD_FLAG that it did.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from ahstore.jobs.running import supervisor
from ahstore.storage.local import LocalStorage
from ahstore.storage.local_writer import LocalWriter


def on_phase(phase: str) -> None:
    if phase != os.environ.get("ODD_PHASE"):
        return
    if os.environ["ODD_HOW"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ["ODD_HOW"] == "fail":
        raise RuntimeError("planted")
    flag = Path(os.environ["ODD_FLAG"])
    flag.touch()
    while flag.exists():
        time.sleep(0.02)


def die_at_write(number: int, side: str) -> None:
    numbers = count()

    def deadly(write: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **options: Any) -> Any:
            due = next(numbers) == number
            if due:
                Path(os.environ["ODD_FLAG"]).write_text(f"{write.__qualname__} {args}")
            if due and side == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return write(self, *args, **options)
            finally:
                if due:
                    os.kill(os.getpid(), signal.SIGKILL)

        return method

    for owner, name in (
        (LocalWriter, "commit"),
        (LocalStorage, "replace"),
        (LocalStorage, "delete"),
    ):
        setattr(owner, name, deadly(getattr(owner, name)))


if __name__ == "__main__":
    if "ODD_WRITE" in os.environ:
        die_at_write(int(os.environ["ODD_WRITE"]), os.environ["ODD_SIDE"])
    supervisor.main(on_phase)
