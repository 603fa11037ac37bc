"""DVC and Oxen, which keep versions of files inside their own folder: the data is copied there.

W9 is left out, it takes minutes; so is W1c.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.tool import Tool, quoted
from benchmarks.workloads import Data


def find_dvc() -> bool:
    """Say whether DVC is installed."""
    return shutil.which("dvc") is not None


def find_oxen() -> bool:
    """Say whether the first python3 of the path has Oxen."""
    python = shutil.which("python3")
    if python is None:
        return False
    return not subprocess.run(
        [python, "-c", "import oxen"], capture_output=True, check=False
    ).returncode


def dvc(folder: Path, data: Data) -> Tool:
    """Make DVC without git: ``dvc add`` is its commit."""
    dvc_add = {row: f"cd work && dvc add -q {name}" for row, name in _COMMITTED.items()}
    return Tool(
        name="DVC",
        folder=folder,
        stored=folder / "work" / ".dvc",
        set_up=["mkdir work", "cd work && dvc init -q --no-scm && dvc config core.analytics false"],
        lines={
            "help": "dvc --help",
            **dvc_add,
            "W5": "cd work && dvc status",
            "W5c": "cd work && dvc status",
            "W6": "cd work && dvc checkout -q many.dvc",
            "W6b": "cd work && dvc checkout -q data.bin.dvc",
            "W7": "cd work && dvc list . many --recursive --size",
        },
        before=_copies(data),
        restored={"W6": "work/many"},
        env={"HOME": str(folder), "DVC_NO_ANALYTICS": "1"},
    )


def oxen(folder: Path, data: Data) -> Tool:
    """Make Oxen through its Python package."""

    def python(*statements: str) -> str:
        return quoted("python3", "-c", "; ".join(["import oxen", *statements]))

    def repo(*calls: str) -> str:
        return python("repo = oxen.Repo('work')", *(f"repo.{call}" for call in calls))

    def commit(row: str, name: str) -> str:
        return repo(f"add({name!r})", f"commit({row!r})")

    return Tool(
        name="Oxen",
        folder=folder,
        stored=folder / "work" / ".oxen",
        set_up=[
            "mkdir work",
            python("oxen.user.config_user('bench', 'bench@localhost')", "oxen.init('work')"),
        ],
        lines={
            **{row: commit(row, name) for row, name in _COMMITTED.items()},
            "W5": repo("status()"),
            "W5c": repo("status()"),
            "W6": repo("restore('many')"),
            "W6b": repo("restore('data.bin')"),
        },
        before=_copies(data),
        restored={"W6": "work/many"},
        env={"HOME": str(folder)},
    )


_COMMITTED = {"W1": "many", "W4": "many", "W2": "data.bin", "W3": "data.bin"}


def _copies(data: Data) -> dict[str, str]:
    """Return the lines that bring the data in, and move it away before it is restored."""
    return {
        "W1": f"cp -r {quoted(data.many)} work/many && sleep 1",
        "W4": f"cp -ru {quoted(data.many)}/. work/many/",
        "W2": f"cp {quoted(data.before / 'data.bin')} work/data.bin",
        "W3": f"cp {quoted(data.after / 'data.bin')} work/data.bin",
        "W6": "mv work/many many-moved",
        "W6b": "mv work/data.bin data.bin-moved",
    }
