"""What user code left behind: the files of a training, the results of an evaluation.

Read only after every process of the run is gone. The walk over output files, with its rules for
links and names, is that of a commit (``versions``).
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from typing import Any

from ahstore.errors import InvalidInputError, RunFailedError
from ahstore.jobs.metrics import MAX_LINE_BYTES, last_values, parse_point
from ahstore.jobs.running.workspace import METRICS_NAME

RESULT_SUFFIX = ".json"
MAX_RESULT_BYTES = 1 << 20
MAX_RESULTS = 1000


def has_files(folder: str) -> bool:
    """Tell whether there is anything but folders under ``folder``."""
    return any(files for _, _, files in os.walk(folder))


def read_results(folder: str, program: str) -> dict[str, Any]:
    """Return what each ``<key>.json`` in ``folder`` holds, by key.

    Raises:
        RunFailedError: there is none, or one is too large or not JSON.
    """
    names = sorted(name for name in os.listdir(folder) if _is_result(folder, name))
    if not names:
        raise RunFailedError(
            f"{program} wrote no <key>{RESULT_SUFFIX} to AH_RESULTS_DIR (metric.json, for example)"
        )
    if len(names) > MAX_RESULTS:
        raise RunFailedError(f"{program} wrote more than {MAX_RESULTS} results")
    return {name[: -len(RESULT_SUFFIX)]: _read_result(folder, name) for name in names}


def _read_result(folder: str, name: str) -> Any:
    return read_metrics(folder) if name == METRICS_NAME else read_json(folder, name)


def read_metrics(folder: str) -> Any:
    """Return what the metrics file holds: one JSON value, or of JSON lines the last of each metric.

    Raises:
        RunFailedError: it is neither, not a regular file, or too large.
    """
    path = os.path.join(folder, METRICS_NAME)
    # A single line that was logged has its time, which is no metric: it counts as JSON lines.
    last = _last_of_lines(path, only_whole=True)
    if last:
        return last
    try:
        return read_json(folder, METRICS_NAME)
    except RunFailedError:
        last = _last_of_lines(path)
        if not last:
            raise
        return last


def _last_of_lines(path: str, *, only_whole: bool = False) -> dict[str, Any]:
    """Return the last of each metric, ``{}`` if anything is not a line of metrics.

    With ``only_whole`` the last line must have its end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return {}
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {}
        lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
        try:
            return last_values(_points(lines, only_whole=only_whole))
        except ValueError:
            return {}


def _points(lines: Iterator[bytes], *, only_whole: bool) -> Iterator[dict[str, Any]]:
    """Yield the metrics of each line; ValueError for a line that has none."""
    for line in lines:
        if only_whole and not line.endswith(b"\n"):
            raise ValueError(line)
        point = parse_point(line.decode("utf-8", "replace"))
        if point is not None:
            yield point
        elif line.strip():
            raise ValueError(line)


def read_json(folder: str, name: str) -> Any:
    """Return the JSON in a file; links are not followed.

    Raises:
        RunFailedError: it is no regular file, too large or not JSON.
    """
    try:
        descriptor = os.open(
            os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        )
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RunFailedError(f"{name} is not a regular file")
            data = file.read(MAX_RESULT_BYTES + 1)
    except OSError as error:
        raise RunFailedError(f"{name} can't be read: {error.strerror}") from error
    if len(data) > MAX_RESULT_BYTES:
        raise RunFailedError(f"{name} has more than {MAX_RESULT_BYTES} bytes")
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunFailedError(f"{name} is not valid JSON: {error}") from error


def explain(error: InvalidInputError | OSError, folder: str) -> str:
    """Return a message about an output with the machine's path taken out."""
    return str(error).replace(folder, "AH_OUTPUT_DIR")


def _is_result(folder: str, name: str) -> bool:
    if not name.endswith(RESULT_SUFFIX) or name == RESULT_SUFFIX or name.startswith("."):
        return False
    return not os.path.isdir(os.path.join(folder, name))
