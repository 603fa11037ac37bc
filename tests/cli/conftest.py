"""A user with an empty home, and the command line in this process or in one of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ahstore.cli.main import main

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Ah = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working folder of a user called ``user``; the store is ``home/store``."""
    move_in(tmp_path, monkeypatch)
    return tmp_path


def move_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("XDG_", "AH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AH_USER", "user")
    monkeypatch.setenv("AH_STORE", str(home / "store"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    (home / "work").mkdir()
    monkeypatch.chdir(home / "work")


@pytest.fixture
def ah(home: Path, capfd: pytest.CaptureFixture[str]) -> Ah:
    """Run a command in this process, as ``run`` does but for leaving it."""

    def call(*args: str) -> Result:
        capfd.readouterr()
        code = main(args)
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def process(home: Path) -> Ah:
    """Run a command in a process of its own."""

    def call(*args: str, **options: object) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "ahstore", *args],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            **options,  # type: ignore[call-overload]
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def digits(ah: Ah) -> Ah:
    """``ah``, with a model ``img/net`` and a dataset ``img/digits`` that has two objects."""
    fill()
    return ah


def fill() -> None:
    for command in (
        "folder model/img",
        "model img/net",
        "folder dataset/img",
        "dataset img/digits",
    ):
        assert main(["-q", "create", *command.split()]) == 0
    Path("a.txt").write_text("one\n")
    Path("sub").mkdir()
    Path("sub/b.txt").write_text("three\n")
    commit = ["commit", "dataset/img/digits", "-m", "Add digits", "-a", "a.txt", "-a", "sub"]
    assert main(["-q", *commit]) == 0


def content_of(store: Path) -> dict[str, str]:
    """Return what a store holds, file by file: heartbeats and ended leases don't count."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
        and not str(path.relative_to(store)).startswith(("hints/", "cells/lease/"))
    }
