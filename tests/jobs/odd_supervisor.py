"""A supervisor that dies or pauses at a step: ODD_PHASE says which, ODD_HOW what it does there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ahstore.jobs.running import supervisor


def on_phase(phase: str) -> None:
    if phase != os.environ["ODD_PHASE"]:
        return
    if os.environ["ODD_HOW"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ["ODD_HOW"] == "fail":
        raise RuntimeError("planted")
    flag = Path(os.environ["ODD_FLAG"])
    flag.touch()
    while flag.exists():
        time.sleep(0.02)


if __name__ == "__main__":
    supervisor.main(on_phase)
