"""Which engine a run was asked to go to, with its settings; and which one knows a job.

Settings are what engines take (options of ``sbatch``, a Ray address) and what the worker needs to
know of the node it will be on: its Python, its folders. None of them holds a secret.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from ahstore.errors import EngineUnreachableError, InvalidInputError
from ahstore.jobs.engines.contract import Engine, Job
from ahstore.jobs.engines.local import LOG_SUFFIX
from ahstore.jobs.engines.ray import DEFAULT_ADDRESS, RayEngine
from ahstore.jobs.engines.ray import OPTIONS as RAY_OPTIONS
from ahstore.jobs.engines.slurm import SlurmEngine
from ahstore.jobs.environment import caller_environment, names_for_workers

LOCAL, SLURM, RAY = "local", "slurm", "ray"
ENGINES = (LOCAL, SLURM, RAY)
JOBS_FOLDER = ".jobs"
PYTHON, RUNS_DIR, CACHE_DIR = "python", "runs-dir", "cache-dir"
_OF_WORKERS = (PYTHON, RUNS_DIR, CACHE_DIR)
_PASS_ENV, _LOG_DIR, _ADDRESS = "pass-env", "log-dir", "address"
_RAY_PYTHON = "python"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What holds where nothing else is said: the engine, and settings for each."""

    default: str = LOCAL
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine beyond this machine, and the worker there.

    Attributes:
        engine: where it is to run.
        python: the worker's interpreter.
        runs_dir, cache_dir: its folders on the node, None for that user's own.
        log: file for the engine's log.
    """

    engine: Engine
    python: str
    runs_dir: str | None
    cache_dir: str | None
    log: str


THIS_MACHINE = EngineSettings()


def check_engine(name: str) -> str:
    """Return the name of an engine.

    Raises:
        InvalidInputError: there is none of this name.
    """
    if name not in ENGINES:
        raise InvalidInputError(f"there is no engine {name!r}: {', '.join(ENGINES)}", value=name)
    return name


def choose(
    name: str, options: Mapping[str, str], *, runs_root: str, job_name: str, store_url: str
) -> Choice:
    """Return an engine beyond this machine, set up as ``options`` say.

    Raises:
        InvalidInputError: an option is not known or malformed.
    """
    caller = caller_environment()
    given = dict(options)
    python = given.pop(PYTHON, sys.executable if name == SLURM else _RAY_PYTHON)
    runs_dir, cache_dir = given.pop(RUNS_DIR, None), given.pop(CACHE_DIR, None)
    log_dir = given.pop(_LOG_DIR, None) if name == SLURM else None
    log = os.path.join(os.path.abspath(log_dir or os.path.join(runs_root, JOBS_FOLDER)), job_name)
    engine = _slurm(caller, given, store_url) if name == SLURM else _ray(caller, given)
    return Choice(engine, python, runs_dir, cache_dir, log + LOG_SUFFIX)


def engine_of(job: Job, settings: EngineSettings = THIS_MACHINE) -> Engine:
    """Return the engine that knows a job.

    A record can name any address: the credentials for Ray go to those alone that this user has
    named himself.

    Raises:
        EngineUnreachableError: it is one that this version has not.
    """
    caller = caller_environment()
    if job.engine == SLURM:
        return SlurmEngine(caller)
    if job.engine == RAY:
        address = job.place.get(_ADDRESS, "")
        own = (_ray_address(caller), settings.options.get(RAY, {}).get(_ADDRESS, ""))
        if address in (named.rstrip("/") for named in own):
            return _ray(caller, {_ADDRESS: address})
        return RayEngine(address)
    raise EngineUnreachableError(f"this ahstore has no engine {job.engine!r}")


def _slurm(caller: Mapping[str, str], given: dict[str, str], store_url: str) -> SlurmEngine:
    passed = [name for name in given.pop(_PASS_ENV, "").split(",") if name]
    missing = [name for name in passed if name not in caller]
    if missing:
        raise InvalidInputError(f"pass-env: there is no variable {missing[0]!r}", value=missing[0])
    names = names_for_workers(caller, in_s3=store_url.startswith("s3:"))
    return SlurmEngine(caller, exported=[*names, *passed], options=given)


def _ray(caller: Mapping[str, str], given: dict[str, str]) -> RayEngine:
    address = given.pop(_ADDRESS, None) or _ray_address(caller)
    unknown = sorted(set(given) - set(RAY_OPTIONS))
    if unknown:
        known = ", ".join((_ADDRESS, *_OF_WORKERS, *RAY_OPTIONS))
        raise InvalidInputError(f"ray has no option {unknown[0]!r}: {known}", value=unknown[0])
    return RayEngine(
        address, token=caller.get("RAY_AUTH_TOKEN"), headers=_ray_headers(caller), options=given
    )


def _ray_address(caller: Mapping[str, str]) -> str:
    """Return where Ray's own tools would look for the job server."""
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        if caller.get(name, "").startswith(("http://", "https://")):
            return caller[name]
    return DEFAULT_ADDRESS


def _ray_headers(caller: Mapping[str, str]) -> dict[str, str]:
    try:
        found = json.loads(caller.get("RAY_JOB_HEADERS") or "{}")
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError):
        raise InvalidInputError("RAY_JOB_HEADERS must be a JSON object") from None
