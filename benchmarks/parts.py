"""The rows in process: each part runs in a process of its own, which prints its measures as JSON.

This module only starts them: it stays small, for a child's peak memory is at least its parent's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence

from benchmarks import ours as cli
from benchmarks.measure import TIME_LIMIT_SECONDS, CommandError
from benchmarks.tool import Tool
from benchmarks.workloads import Data, Sizes

Rows = dict[str, dict[str, float]]


def run_parts(
    ours: Tool, data: Data, sizes: Sizes, wanted: Collection[str], *, seed: int
) -> Iterator[Rows]:
    """Run the parts that have rows in ``wanted`` and yield what each measured.

    Raises:
        CommandError: a part failed.
    """
    apart = ours.folder.with_name("ahstore-in-process")
    env = cli.environment(apart)
    million = str(apart / "million")
    shared = apart / "shared"
    parts: list[tuple[str, tuple[str, ...], Sequence[object], dict[str, str]]] = [
        ("warm", ("P4", "P5", "P7", "P7l"), [data.many, seed], dict(ours.env)),
        ("million", ("M1", "M2", "M3", "P8", "P8m"), ["build", sizes.objects, million], env),
        ("million", ("M2", "M3", "P8", "P8m"), ["use", sizes.objects, million], env),
        (
            "committers",
            ("C1",),
            [sizes.writers, sizes.commits, shared / "files"],
            cli.environment(shared),
        ),
    ]
    for module, rows, arguments, variables in parts:
        if any(row in wanted for row in rows):
            shared.mkdir(parents=True, exist_ok=True)
            os.sync()
            measured = _run_part(module, arguments, variables)
            yield {row: each for row, each in measured.items() if row in wanted}


def _run_part(module: str, arguments: Sequence[object], env: dict[str, str]) -> Rows:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **env},
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"{module} failed: {done.stderr.decode(errors='replace')[-2000:]}")
    rows: Rows = json.loads(done.stdout)
    return rows
