"""Runs one UserProcess in a process of its own, as the supervisor does: JSON in, JSON out."""

from __future__ import annotations

import json
import os
import sys
import time

from ahstore.jobs.running.user_process import Limits, UserProcess


def main() -> None:
    asked = json.load(sys.stdin)
    output = bytearray()
    stop_after = asked.get("stop_after")
    stop_file = asked.get("stop_file")
    started = time.monotonic()
    stopped: list[float] = []

    def should_stop() -> bool:
        late = stop_after is not None and time.monotonic() - started > stop_after
        if late or (stop_file and os.path.exists(stop_file)):
            stopped.append(time.monotonic())
            return True
        return False

    ending = UserProcess(
        asked["argv"],
        folder=asked["folder"],
        environment=asked["environment"],
        limits=Limits(asked["volume"], (asked["folder"],), asked.get("timeout")),
        on_output=output.extend,
        should_stop=should_stop,
    ).run()
    result = {
        "status": ending.status,
        "by": ending.by,
        "usage": ending.usage,
        "clean": ending.clean,
        "output": output.decode("utf-8", "replace"),
        "seconds": time.monotonic() - (stopped[0] if stopped else started),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
