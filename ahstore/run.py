"""For the code of a run: parameters, metrics and checkpoints, without a store.

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
import secrets
import shutil
import time
from typing import Any

METRICS_VARIABLE = "AH_METRICS_FILE"
SPOOL_VARIABLE = "AH_CHECKPOINT_SPOOL"
MAX_LINE_BYTES = 64 << 10
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5


class CheckpointError(RuntimeError):
    """A checkpoint was not committed; the message says why. The run can go on."""


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


def checkpoint(
    path: str | os.PathLike[str],
    *,
    step: float | None = None,
    wait: bool = True,
    move: bool = False,
) -> str | None:
    """Have a folder or a file committed while the run goes on, and return the commit's id.

    The commit holds exactly these files, a folder's without its own name, on a branch of the run's
    own unless the run was started with another wish. What was logged before is known with it. Where
    nothing is to be committed (outside a run, in an evaluation, with ``--checkpoints none``) a line
    is printed and the files stay as they are.

    Args:
        path: the folder or file; it is left as it is.
        step: a number of the user's own counting; a run that is resumed is told it.
        wait: return when it is committed. If not, the files are copied first and may be changed at
            once; what becomes of it stands in the run's log.
        move: the files are given away rather than copied: ``path`` is gone afterwards.

    Returns:
        The commit's id; None if there is none, or it was not waited for.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        ValueError: the folder is empty.
        TypeError: the step is not a number.
        CheckpointError: it was not committed.
        OSError: the disk fails.
    """
    source = os.path.realpath(path)
    if os.path.isdir(source):
        if not any(files for _, _, files in os.walk(source)):
            raise ValueError(f"there are no files in {path}")
    elif not os.path.exists(source):
        raise FileNotFoundError(f"there is nothing at {path}")
    at = None if step is None else _number("step", step)
    spool = os.environ.get(SPOOL_VARIABLE)
    if not spool:
        print("checkpoint", *([] if at is None else [f"step={at}"]), path, flush=True)  # noqa: T201
        return None
    request = os.path.join(spool, f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}")
    _hand_in(source, request, {"step": at}, link=wait, move=move)
    return _await_answer(request) if wait else None


def _hand_in(source: str, request: str, facts: dict[str, Any], *, link: bool, move: bool) -> None:
    """Put the files where the run's supervisor finds them, under their name when all are there."""
    draft = f"{request}.draft"
    files = os.path.join(draft, "files")
    os.mkdir(draft)
    try:
        whole = os.path.isdir(source)
        target = files if whole else os.path.join(files, os.path.basename(source))
        if not whole:
            os.mkdir(files)
        # While the caller waits nobody changes the files, so another name for them is enough.
        copy = _link if link else shutil.copy2
        if move:
            shutil.move(source, target)
        elif whole:
            shutil.copytree(source, target, symlinks=True, copy_function=copy)
        else:
            copy(source, target)
        with open(os.path.join(draft, "request.json"), "w", encoding="utf-8") as file:
            json.dump(facts, file)
        os.rename(draft, request)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def _await_answer(request: str) -> str:
    pause = _FIRST_PAUSE_SECONDS
    path = f"{request}.answer"
    while True:
        try:
            with open(path, encoding="utf-8") as file:
                answer = json.load(file)
            break
        except FileNotFoundError:
            if not os.path.isdir(os.path.dirname(request)):
                raise CheckpointError("the run is over") from None
        time.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_PAUSE_SECONDS)
    os.unlink(path)
    if "error" in answer:
        raise CheckpointError(str(answer["error"]))
    return str(answer["commit"])


def _number(name: str, value: Any) -> float | str:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is not a number: {value!r}")
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)
