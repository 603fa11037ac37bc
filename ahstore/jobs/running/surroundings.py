"""What a run ran on: interpreter and exact packages, machine, accelerators, threads and seeds.

Documented in docs/format/runs.md, "Environment". Facts only, of what is there; no variable of the
caller's environment but those named in ``_NUMBERS``, and only if it is a number.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from typing import Any

from ahstore._version import __version__
from ahstore.codec.canonical import Value
from ahstore.jobs.running import inspect_python

SCHEMA = 1
MAX_PACKAGES = 5000
MAX_TEXT = 200
INSPECT_SECONDS = 60.0
DRIVER_SECONDS = 10.0

_NUMBERS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "PYTHONHASHSEED",
)


class Inspection:
    """An interpreter being asked what it has, while inputs are fetched.

    It must be over (``result``) before the run's own processes are watched.
    """

    def __init__(self, python: str, environment: Mapping[str, str], folder: str) -> None:
        # Not in the code's folder, nor the script's on the path: modules there are not packages.
        argv = [python, os.path.abspath(inspect_python.__file__)]
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                cwd=folder, env=dict(environment),
            )  # fmt: skip
        except OSError:
            self._process = None

    def result(self) -> dict[str, Any]:
        """Return ``version``, ``implementation`` and ``packages``; empty if it does not tell."""
        if self._process is None:
            return {}
        process, self._process = self._process, None
        try:
            printed, _ = process.communicate(timeout=INSPECT_SECONDS)
            return _check_inspected(json.loads(printed))
        except (subprocess.TimeoutExpired, OSError, ValueError, TypeError, KeyError):
            return {}
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


def _check_inspected(found: Any) -> dict[str, Any]:
    packages = {
        str(name)[:MAX_TEXT]: str(version)[:MAX_TEXT]
        for name, version in list(found["packages"].items())[:MAX_PACKAGES]
    }
    return {
        "version": str(found["version"])[:MAX_TEXT],
        "implementation": str(found["implementation"])[:MAX_TEXT],
        "packages": packages,
    }


def describe(
    python: Mapping[str, Any],
    environment: Mapping[str, str],
    params: Mapping[str, Any],
    *,
    engine: str = "local",
) -> dict[str, Value]:
    """Return the environment of a run as its record has it; ``python`` is an ``Inspection``'s result."""
    return {
        "schema": SCHEMA,
        "ahstore": __version__,
        "engine": engine,
        "python": python.get("version"),
        "implementation": python.get("implementation"),
        "packages": dict(python.get("packages", {})),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": list(_gpus(environment)),
        "threads": {
            name: environment[name] for name in _NUMBERS[:-1] if environment.get(name, "").isdigit()
        },
        "seeds": _seeds(environment, params),
    }


def _seeds(environment: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, Value]:
    """Return what the run was told of chance: parameters that say "seed" and are numbers."""
    seeds: dict[str, Value] = {
        name: value
        for name, value in params.items()
        if "seed" in name.lower() and isinstance(value, int) and abs(value) < 1 << 63
    }
    if environment.get("PYTHONHASHSEED", "").isdigit():
        seeds["PYTHONHASHSEED"] = int(environment["PYTHONHASHSEED"])
    return seeds


def _cpu_model() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in ("model name", "Model"):
                    return value.strip()[:MAX_TEXT]
    except OSError:
        pass
    return platform.processor()[:MAX_TEXT] or None


def _gpus(environment: Mapping[str, str]) -> list[str]:
    """Return "name, driver" of each accelerator that NVIDIA's tool knows, if it is there."""
    question = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            question, stdin=subprocess.DEVNULL, capture_output=True, env=dict(environment),
            timeout=DRIVER_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return [line.strip()[:MAX_TEXT] for line in lines if line.strip()]
