"""The worker, which carries out one run: ``python -m ahstore.jobs.running.supervisor RUN [ORDERS]``.

The same program whatever started it. This is only its beginning; the work is done by
``supervision.py``. Its orders (``spawn.py``) come on standard input, or in an engine's job as an
argument. It exits with 0 if the run succeeded, or was not its own to carry out.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from ahstore.errors import AhError


def main(on_phase: Callable[[str], None] = lambda _: None) -> None:
    """Carry out the orders. ``on_phase`` hears of each step."""
    run, *given = sys.argv[1:]
    # Who ignores or blocks these hands that on: ends of children would go unseen.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())

    from ahstore.jobs.running.supervision import carry_out  # start-up: while orders are written

    text = given[0] if given else _read_orders()
    try:
        succeeded = not text or carry_out(run, text, on_phase=on_phase)
    except AhError as error:
        # Nothing was begun. Who looks at the run finds this in the job's log.
        sys.stderr.write(f"AH ERROR: {error}\n")
        sys.exit(1)
    sys.exit(0 if succeeded else 1)


def _read_orders() -> str:
    with os.fdopen(0, "rb", closefd=False) as orders:
        text = orders.read().decode()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return text


if __name__ == "__main__":
    main()
