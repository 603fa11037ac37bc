"""The process that carries out one run: ``python -m ahstore.jobs.running.supervisor RUN``.

This is only its beginning, which must be quick: fork off, say who it is, wait for orders
(``spawn.py``). The work is done by ``supervision.py``, loaded while the caller writes the record.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable

from ahstore.storage.process import ProcessIdentity


def main(on_phase: Callable[[str], None] = lambda _: None) -> None:
    """Become a supervisor of its own session, without a terminal, and carry out the orders.

    ``on_phase`` hears of each step.
    """
    if os.fork():
        os._exit(0)
    run = sys.argv[1]
    # A caller who ignores or blocks these hands that on: ends of children would go unseen.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.write(1, json.dumps(ProcessIdentity.current().to_value()).encode() + b"\n")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)

    from ahstore.jobs.running.supervision import (
        carry_out,  # start-up: the caller waits for the above
    )

    with os.fdopen(0, "rb", closefd=False) as orders:
        text = orders.read().decode()
    os.dup2(null, 0)
    os.close(null)
    if text:
        carry_out(run, text, on_phase=on_phase)


if __name__ == "__main__":
    main()
