"""Rounds: every row once for every tool, interleaved, each tool in a fresh folder.

Nothing is deleted before the end: after a large deletion ext4 creates files several times slower
for minutes, and the next tool would pay for it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from benchmarks.measure import CommandError, bytes_under, drop_caches, run
from benchmarks.measured import Results
from benchmarks.ours import NAME
from benchmarks.parts import run_parts
from benchmarks.rows import IN_PROCESS, WHOLE, Row
from benchmarks.tool import MakeTool, Tool
from benchmarks.workloads import (
    EDITED_FILES,
    MANY_FILE_BYTES,
    MIB,
    TINY_FILE_BYTES,
    Data,
    Sizes,
    contents,
    edit_some,
    make_edited,
    make_large,
    make_many,
    warm,
)

Say = Callable[[str], None]
_STARTED = time.monotonic()


def make_data(data: Data, sizes: Sizes, rows: Collection[str]) -> None:
    """Write the input files that these rows need."""
    inputs = {row.inputs for row in (*WHOLE, *IN_PROCESS) if row.key in rows}
    if "many" in inputs:
        make_many(data.many, count=sizes.files, size=MANY_FILE_BYTES)
    if "before" in inputs:
        make_large(data.before / "data.bin", mib=sizes.large_mib)
    if "after" in inputs:
        make_edited(data.before / "data.bin", data.after / "data.bin")
    if "tiny" in inputs:
        make_many(data.tiny, count=sizes.tiny, size=TINY_FILE_BYTES)
    os.sync()


class Runner:
    """Runs rounds in ``root`` and gathers what they measured in ``results``."""

    def __init__(
        self, root: Path, sizes: Sizes, rows: Collection[str], results: Results, say: Say
    ) -> None:
        self.root, self.sizes, self.results, self.say = root, sizes, results, say
        self.rows = [row for row in WHOLE if row.key in rows]
        self.in_process = [row for row in IN_PROCESS if row.key in rows]
        self.data = Data(root / "data")
        make_data(self.data, sizes, rows)

    def round(self, number: int, makers: Sequence[MakeTool]) -> None:
        """Run every row once for each tool; who goes first changes with the round."""
        tools = [tool for make in makers if (tool := self._set_up(make, number)) is not None]
        turn = number % len(tools)
        for row in self.rows:
            self.say(f"round {number + 1}: {row.key} {row.what}")
            self._edit(row, number)
            for tool in tools[turn:] + tools[:turn]:
                if row.key in tool.lines:
                    self._measure(row, tool)
        ours = next(tool for tool in tools if tool.name == NAME)
        self._in_process(ours, number)

    def _set_up(self, make: MakeTool, number: int) -> Tool | None:
        folder = self.root / f"round{number}" / make.__name__.rstrip("_")
        folder.mkdir(parents=True)
        tool = make(folder, self.data)
        try:
            for line in tool.set_up:
                run(line, env=tool.env, cwd=folder)
        except CommandError as error:
            self._failed(tool, "set-up", error)
            return None
        return tool

    def _edit(self, row: Row, number: int) -> None:
        if row.key == "W4":
            edit_some(self.data.many, count=EDITED_FILES, seed=number)
        elif row.key == "W9b":
            edit_some(self.data.tiny, count=1, seed=number)

    def _measure(self, row: Row, tool: Tool) -> None:
        try:
            if row.key in tool.before:
                run(tool.before[row.key], env=tool.env, cwd=tool.folder)
            before = bytes_under(tool.stored) if tool.stored else 0
            if row.inputs:
                warm(getattr(self.data, row.inputs))
            os.sync()
            if row.cold:
                drop_caches()
            line = tool.lines[row.key]
            measured = run(line, env=tool.env, cwd=tool.folder, sync_after=not row.reads)
            self._check_restored(row, tool)
        except CommandError as error:
            self._failed(tool, row.key, error)
            return
        if tool.stored and not row.reads:
            measured["adds MiB"] = (bytes_under(tool.stored) - before) / MIB
        self.results.add(row.key, tool.name, measured)

    def _check_restored(self, row: Row, tool: Tool) -> None:
        """See that a restore brought back what was committed last."""
        if row.restores and row.key in tool.restored:
            assert row.inputs is not None
            if contents(tool.folder / tool.restored[row.key]) != contents(
                getattr(self.data, row.inputs)
            ):
                raise CommandError(f"{tool.name} restored something else")

    def _failed(self, tool: Tool, what: str, error: CommandError) -> None:
        if tool.name == NAME:
            raise error
        self.results.failed.setdefault(tool.name, {})[what] = str(error)
        self.say(f"{tool.name} failed at {what}: {str(error)[-500:]}")

    def _in_process(self, ours: Tool, number: int) -> None:
        wanted = {row.key for row in self.in_process}
        if wanted:
            self.say(f"round {number + 1}: in process")
            for measured in run_parts(ours, self.data, self.sizes, wanted, seed=number):
                self.results.add_all(NAME, measured)


def say(text: str) -> None:
    """Tell progress on standard error, with the seconds since the program started."""
    sys.stderr.write(f"{time.monotonic() - _STARTED:6.1f} {text}\n")
    sys.stderr.flush()
