"""Runs the shell and Python blocks of a page for real and compares what they print.

A ``shell`` block holds ``$ command`` lines, each followed by what it prints; a ``python`` block is
followed by a ``text`` block with what it prints, if it prints anything; a comment ``wait`` is left
to the player's ``wait``. Names, ids, ages, times and
measured numbers differ from run to run: ``comparable`` masks them. A documented name that stands
where a real one was printed (``asset-hub-pdhg9``, a commit id) stands for it in later commands too.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

_BLOCK = re.compile(
    r"^```(?P<language>\w*)\n(?P<body>.*?)^```$|^<!-- (?P<comment>\w+) -->$",
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?", re.MULTILINE)
_END = "--end-of-command-4711--"

_TOKENS = re.compile(
    r"""(?P<run>asset-hub-[a-z0-9]{5})\b
      | (?P<uuid>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)
      | (?P<hash>\b[0-9a-f]{64}\b)
      | (?P<revision>\b[0-9a-f]{40}\b)
      | (?P<checksum>\b[0-9a-f]{32}\b)
      | (?P<short>\b[0-9a-f]{8}\b)
      | (?P<address>'(?:s3|file|memory)://[^']*')
      | (?P<time>\d{4}-\d\d-\d\d[T\ ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\ \+0000)?)
      | (?P<age>\b(?:\d+[dhms]){1,2}\ ago\b)
      | (?P<epoch>\b\d{10}\b)
      | (?P<version>\b\d+\.\d+\.\d+\b)
      | (?P<float>\b\d+\.\d+(?:e-?\d+)?\b)
    """,
    re.VERBOSE,
)
_SIZES = re.compile(r"\b\d+B\b|(?<='size_bytes': )\d+|(?<=\()\d+(?= bytes?\b)")
_RUNNING = re.compile(r"(STATUS: +|'status': ')(?:Pending|Running)\b")
_ANY_STATUS = re.compile(r"(STATUS: +|'status': ')(?:Pending|Running|Succeeded)\b")


@dataclass(frozen=True)
class Step:
    """One command or one Python block, and what the page says that it prints."""

    kind: Literal["shell", "python", "wait"]
    code: str
    expected: str


def read_steps(page: str) -> Iterator[Step]:
    blocks = list(_BLOCK.finditer(page))
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block["comment"] == "wait":
            yield Step("wait", "", "")
        elif block["language"] == "shell":
            yield from _read_shell(block["body"])
        elif block["language"] == "python":
            has_output = following is not None and following["language"] == "text"
            yield Step("python", block["body"], following["body"] if has_output else "")


def _read_shell(body: str) -> Iterator[Step]:
    commands = list(_COMMAND.finditer(body))
    assert commands, f"no command in {body!r}"
    assert not body[: commands[0].start()].strip(), f"text before the first command of {body!r}"
    ends = [match.start() for match in commands[1:]] + [len(body)]
    for command, end in zip(commands, ends, strict=True):
        yield Step("shell", command[1], body[command.end() : end])


def comparable(text: str, *, any_status: bool = False) -> list[str]:
    """Return the lines that count, with what may differ masked and columns one space apart."""
    text = _TOKENS.sub(lambda match: f"<{match.lastgroup}>", text)
    text = text.replace(f'"machine": "{platform.machine()}"', '"machine": "x86_64"')
    text = _SIZES.sub("<size>", text)
    if any_status:
        text = _ANY_STATUS.sub(r"\1<status>", text)
    lines = [re.sub(r" {2,}", "  ", line.rstrip()) for line in text.strip("\n").splitlines()]
    return [line for line in lines if line]


@dataclass
class Player:
    """A shell and a Python that stay open from step to step, as a reader's would.

    The shell starts in ``start``, the Python, at its first step, in ``folder``.
    """

    environment: Mapping[str, str]
    start: str
    folder: str
    wait: Callable[[], None] = lambda: None
    renamed: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Player:
        self._processes: dict[str, subprocess.Popen[str]] = {}
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()
            process.wait(timeout=30)

    def _process(self, kind: Literal["shell", "python"]) -> subprocess.Popen[str]:
        if kind not in self._processes:
            shell = ["bash", "--norc", "--noprofile"]
            python = [sys.executable, "-u", "-c", _PYTHON_LOOP]
            self._processes[kind] = subprocess.Popen(
                shell if kind == "shell" else python,
                cwd=self.start if kind == "shell" else self.folder,
                env=dict(self.environment), text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return self._processes[kind]

    def play(self, step: Step) -> str:
        """Run one step and return what it printed, standard error too."""
        if step.kind == "wait":
            self.wait()
            return ""
        code = step.code
        for documented, real in self.renamed.items():
            code = code.replace(documented, real)
        request = json.dumps(code)
        if step.kind == "shell":
            # One shell for all: what a command exports, or where it goes, holds for the next one.
            request = f'{{ {code}\n}} </dev/null; echo "{_END} $?"'
        return self._ask(self._process(step.kind), request + "\n")

    def _ask(self, process: subprocess.Popen[str], request: str) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request)
        process.stdin.flush()
        lines: list[str] = []
        for line in process.stdout:
            before, mark, status = line.partition(_END)
            if mark:
                lines.append(before)
                printed = "".join(lines)
                assert status.strip() == "0", f"failed:\n{request}\n{printed}"
                return printed
            lines.append(line)
        raise AssertionError(f"the process ended:\n{request}\n{''.join(lines)}")

    def learn(self, step: Step, printed: str) -> None:
        """Note which real names stand where the page has its own."""
        documented, real = (list(_TOKENS.finditer(text)) for text in (step.expected, printed))
        for ours, theirs in zip(documented, real, strict=False):
            if ours.lastgroup == theirs.lastgroup and ours.lastgroup in ("run", "uuid", "hash"):
                self.renamed[ours[0]] = theirs[0]
                if ours.lastgroup == "hash":
                    self.renamed[ours[0][:8]] = theirs[0][:8]

    def check(self, step: Step) -> None:
        """Run one step and fail unless it prints what the page says."""
        printed = self.play(step)
        under_way = bool(_RUNNING.search(step.expected))
        got = comparable(printed, any_status=under_way)
        wanted = comparable(step.expected, any_status=under_way)
        assert got == wanted, f"$ {step.code}\n{printed}"
        self.learn(step, printed)


_PYTHON_LOOP = f"""
import json, sys, traceback
scope = {{"__name__": "__main__"}}
for line in sys.stdin:
    status = 0
    try:
        exec(compile(json.loads(line), "<page>", "exec"), scope)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    print("{_END}", status, flush=True)
"""


def reader_environment(home: str, **more: str) -> dict[str, str]:
    """Return what a reader's terminal has: a home of his own, git knowing his name, ``ah``."""
    bin_folder = os.path.join(home, "bin")
    os.makedirs(bin_folder, exist_ok=True)
    for name in ("ah", "ahstore"):
        program = os.path.join(bin_folder, name)
        with open(program, "w") as file:
            file.write(f'#!/bin/sh\nexec "{sys.executable}" -m ahstore "$@"\n')
        os.chmod(program, 0o755)
    with open(os.path.join(home, ".gitconfig"), "w") as file:
        file.write("[user]\n\tname = Reader\n\temail = reader@example.org\n")
    project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = [bin_folder, os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    return {
        "HOME": home,
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": project,
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        **more,
    }
