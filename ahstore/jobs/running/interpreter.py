"""Which Python a run has: the one that runs ahstore, or one found by path, version or name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ahstore.errors import NotFoundError

ASK_SECONDS = 60.0

_VERSION = re.compile(r"\d+(?:\.\d+){0,2}\Z")
# Everything that tells two interpreters apart for which packages are not the same.
_QUESTION = """
import json, os, platform, sys, sysconfig
print(json.dumps({
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "platform": sysconfig.get_platform(),
    "abi": sysconfig.get_config_var("SOABI"),
    "libc": " ".join(platform.libc_ver()),
    "base": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: the path by which it is started, and what it says of itself."""

    path: str
    facts: Mapping[str, str]

    @property
    def version(self) -> str:
        """As ``3.11.7``."""
        return str(self.facts["version"])


def ask_interpreter(path: str) -> Interpreter:
    """Return the interpreter at ``path``.

    Raises:
        NotFoundError: it is none.
    """
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _QUESTION],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_SECONDS, check=True, cwd="/",
        )  # fmt: skip
        facts = {str(name): str(value) for name, value in json.loads(done.stdout).items()}
        return Interpreter(path, {**facts, "version": facts["version"]})
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, AttributeError) as error:
        raise NotFoundError(f"{path} is no working Python", path=path) from error


def find_uv(caller: Mapping[str, str]) -> str | None:
    """Return the path of uv, on the caller's ``PATH`` or beside the Python that runs ahstore."""
    beside = os.path.dirname(sys.executable)
    return shutil.which("uv", path=os.pathsep.join([caller.get("PATH") or os.defpath, beside]))


def absolute_python(python: str, *, base: str) -> str:
    """Return ``python`` as it is recorded: a path starts at the folder ``base``, the rest stays."""
    if os.sep not in python and not python.startswith("~"):
        return python
    return os.path.normpath(os.path.join(base, os.path.expanduser(python)))


def find_interpreter(python: str | None, caller: Mapping[str, str]) -> str:
    """Return the path of the interpreter that is meant; ours for None.

    Raises:
        NotFoundError: there is none.
    """
    if python is None:
        return sys.executable
    if os.sep in python:
        if os.path.isfile(python) and os.access(python, os.X_OK):
            return python
        raise NotFoundError(f"there is no Python at {python}", path=python)
    if not _VERSION.match(python):
        found = shutil.which(python, path=caller.get("PATH"))
        if found is None:
            raise NotFoundError(f"there is no {python} on the PATH", name=python)
        return found
    for path in _candidates(python, caller):
        version = ask_interpreter(path).version
        if version == python or version.startswith(f"{python}."):
            return path
    raise NotFoundError(
        f"there is no Python {python} on this machine: give the path of one", version=python
    )


def _candidates(version: str, caller: Mapping[str, str]) -> Iterator[str]:
    """Yield interpreters that may have a version: by their names, then what uv knows."""
    yield sys.executable
    short = ".".join(version.split(".")[:2])
    names = dict.fromkeys((f"python{short}", f"python{version.partition('.')[0]}", "python"))
    for name in names:
        for folder in (caller.get("PATH") or os.defpath).split(os.pathsep):
            path = shutil.which(name, path=folder)
            if path is not None and _works(path):
                yield path
    uv = find_uv(caller)
    if uv is not None:
        done = subprocess.run(
            [uv, "python", "find", "--no-project", "--no-python-downloads", version],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_SECONDS, check=False, cwd="/",
        )  # fmt: skip
        path = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode == 0 and os.path.isfile(path):
            yield path


def _works(path: str) -> bool:
    # A shim of pyenv is there for versions that are not.
    try:
        ask_interpreter(path)
    except NotFoundError:
        return False
    return True
