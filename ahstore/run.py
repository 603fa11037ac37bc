"""For the code of a run: parameters, folders and metrics, without a store.

Works outside a run too: then parameters are empty, and metrics are printed. A run has a copy of this
file on its path, whichever Python it uses: so it needs nothing but the standard library of Python
3.7, and nothing else of ahstore. A training::

    from ahstore import run

    rate = run.params().get("rate", 0.1)
    for epoch in range(3):
        run.log(step=epoch, loss=1 / (epoch + 1))

Source: docs/how-to/train-code.md, which names the variables that this reads.
"""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any

METRICS_VARIABLE = "AH_METRICS_FILE"
MAX_LINE_BYTES = 64 << 10


def params() -> dict[str, Any]:
    """Return the run's parameters, ``{}`` outside a run.

    Raises:
        ValueError: ``AH_PARAMS`` is set to something else than a JSON object.
    """
    found = json.loads(os.environ.get("AH_PARAMS") or "{}")
    if not isinstance(found, dict):
        raise ValueError("AH_PARAMS is not a JSON object")
    return found


def log(*, step: float | None = None, **metrics: float) -> None:
    """Add a line to the run's metrics: numbers by name, at a ``step`` of the user's own counting.

    Each call is one write of one line, so several processes of a run may log at once. Values may
    be NumPy's or PyTorch's scalars. What is not finite is kept as text (``"nan"``), since JSON has
    no such numbers.

    Raises:
        ValueError: there is no metric, a name is ``time``, or the line would be too long.
        TypeError: a value is not a number.
        OSError: the file of ``AH_METRICS_FILE`` can't be written.
    """
    if not metrics or "time" in metrics:
        raise ValueError("give metrics by name, and none that is called 'time'")
    line: dict[str, float | str] = {} if step is None else {"step": _number("step", step)}
    line["time"] = round(time.time(), 3)
    line.update({name: _number(name, value) for name, value in metrics.items()})
    path = os.environ.get(METRICS_VARIABLE)
    if not path:
        print(*(f"{name}={value}" for name, value in line.items() if name != "time"), flush=True)  # noqa: T201
        return
    data = json.dumps(line).encode() + b"\n"
    if len(data) > MAX_LINE_BYTES:
        raise ValueError(f"a line of metrics has at most {MAX_LINE_BYTES} bytes")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _number(name: str, value: Any) -> float | str:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is not a number: {value!r}")
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)
