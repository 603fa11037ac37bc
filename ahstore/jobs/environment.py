"""The environments of the processes that jobs start: for user code by allow-list, for git by rule.

This is the one module of jobs that looks at the environment it was started in, and only to hand
parts of it on to child processes. User code gets nothing that could hold a secret: no tokens, no
credentials, no agent sockets, no home directory.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ahstore.jobs.code.git_source import GitSource

_PASSED_ON = frozenset(
    [
        "LANG",
        "LANGUAGE",
        "TZ",
        "LD_LIBRARY_PATH",
        "LIBRARY_PATH",
        "CPATH",
        "CUDA_VISIBLE_DEVICES",
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_DEVICE_ORDER",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "ROCR_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
    ]
)
_PROXIES = frozenset(
    [
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
    ]
)
_LOCALE_PREFIX = "LC_"
_OF_OUR_PYTHON = ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")

_GIT_PASSED_ON = frozenset(
    [
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_ASKPASS",
        "GIT_EXEC_PATH",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
        "GIT_SSL_CERT",
        "GIT_SSL_KEY",
        "GIT_SSL_NO_VERIFY",
        "GIT_SSL_VERSION",
        "GIT_PROXY_SSL_CAINFO",
        "GIT_PROXY_SSL_CERT",
        "GIT_PROXY_SSL_KEY",
        "GIT_HTTP_USER_AGENT",
        "GIT_HTTP_LOW_SPEED_LIMIT",
        "GIT_HTTP_LOW_SPEED_TIME",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_COUNT",
    ]
)
_GIT_CONFIG_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
GIT_PROTOCOLS = "file:https:ssh"

_FOR_WORKERS = frozenset(
    [
        "HOME",
        "LOGNAME",
        "PATH",
        "SHELL",
        "USER",
        "AH_CACHE_SIZE",
        "XDG_CACHE_HOME",
        "XDG_STATE_HOME",
    ]
)
_OF_THE_NODE = frozenset(name for name in _PASSED_ON if "VISIBLE" in name or "AFFINITY" in name)
_APP = "ahstore"


def caller_environment() -> dict[str, str]:
    """Return the environment this process was started in."""
    return dict(os.environ)


def names_for_workers(caller: Mapping[str, str], *, in_s3: bool) -> list[str]:
    """Return which variables a worker on another machine may need.

    Of a store in S3 the credentials are among them. Their values are for an engine that keeps them
    to itself.
    """
    allowed = (_PASSED_ON - _OF_THE_NODE) | _PROXIES | _GIT_PASSED_ON | _FOR_WORKERS
    prefixes = (_LOCALE_PREFIX, *_GIT_CONFIG_PREFIXES, *(["AWS_"] if in_s3 else []))
    return sorted(name for name in caller if name in allowed or name.startswith(prefixes))


def folders_of_this_node() -> tuple[str, str]:
    """Return where a worker has its workspaces and its cache, if nobody has said so."""
    from platformdirs import user_cache_dir, user_state_dir  # start-up: workers elsewhere only

    return os.path.join(user_state_dir(_APP), "runs"), user_cache_dir(_APP)


def expand(path: str) -> str:
    """Return a folder's path with this machine's ``~`` and ``$VARIABLE`` filled in."""
    return os.path.abspath(os.path.expandvars(os.path.expanduser(path)))


def ahstore_path(caller: Mapping[str, str]) -> str:
    """Return a ``PYTHONPATH`` on which this very ahstore is found."""
    root = str(Path(__file__).resolve().parents[2])
    given = caller.get("PYTHONPATH", "").split(os.pathsep)
    # The worker works elsewhere: a relative folder would mean another there.
    return os.pathsep.join([root, *(os.path.abspath(folder) for folder in given if folder)])


def run_environment(
    caller: Mapping[str, str],
    *,
    home: str,
    tmp: str,
    programs: str,
    packages: Sequence[str],
    variables: Mapping[str, str],
    python: str = sys.executable,
    venv: str | None = None,
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what user code sees: allowed variables of the caller and the run's own ``AH_…``.

    The folder ``programs`` comes first on ``PATH``, then that of the interpreter ``python``, which
    may be that of the virtual environment ``venv``; ``packages`` is ``PYTHONPATH``. Packages that
    the user installed for himself stay importable although ``HOME`` is the run's own. ``given`` are
    variables that the user named; their ``PYTHONPATH`` follows ours.
    """
    environment = {name: caller[name] for name in caller if _is_passed_on(name, caller[name])}
    if python != sys.executable:
        for name in _OF_OUR_PYTHON:
            environment.pop(name, None)
    if venv is not None:
        environment["VIRTUAL_ENV"] = venv
    path = caller.get("PATH") or os.defpath
    environment.update(
        PATH=os.pathsep.join([programs, os.path.dirname(python), path]),
        HOME=home,
        TMPDIR=tmp,
        USER="ahstore",
        LOGNAME="ahstore",
        PYTHONUNBUFFERED="1",
        PYTHONIOENCODING="utf-8:backslashreplace",
    )
    if site.ENABLE_USER_SITE:
        environment["PYTHONUSERBASE"] = site.getuserbase()
    environment.update(given or {})
    theirs = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    environment["PYTHONPATH"] = os.pathsep.join([*packages, *theirs])
    environment.update(variables)
    return environment


def _is_passed_on(name: str, value: str) -> bool:
    if name in _PROXIES:
        return "@" not in value
    return name in _PASSED_ON or name.startswith(_LOCALE_PREFIX)


def git_environment(caller: Mapping[str, str], source: GitSource | None = None) -> dict[str, str]:
    """Return what git sees: the user's own configuration and credentials, nothing of a repository.

    Variables that point git at another repository, trace its talk or widen its protocols are taken
    out. A secret URL is given as a rewriting rule, so that it is on no command line.
    """
    environment = {
        name: value
        for name, value in caller.items()
        if not name.startswith("GIT_")
        or name in _GIT_PASSED_ON
        or name.startswith(_GIT_CONFIG_PREFIXES)
    }
    environment.update(
        GIT_ALLOW_PROTOCOL=GIT_PROTOCOLS,
        GIT_TERMINAL_PROMPT="0",
        SSH_ASKPASS_REQUIRE="never",
        GIT_NO_REPLACE_OBJECTS="1",
        GIT_NO_LAZY_FETCH="1",
        GIT_OPTIONAL_LOCKS="0",
        GIT_TEMPLATE_DIR="",
        LC_ALL="C",
    )
    if source is not None and source.secret_url is not None:
        _add_git_config(environment, f"url.{source.secret_url}.insteadOf", source.url)
    return environment


def _add_git_config(environment: dict[str, str], key: str, value: str) -> None:
    try:
        count = int(environment.get("GIT_CONFIG_COUNT") or "0")
    except ValueError:
        count = 0
    environment[f"GIT_CONFIG_KEY_{count}"] = key
    environment[f"GIT_CONFIG_VALUE_{count}"] = value
    environment["GIT_CONFIG_COUNT"] = str(count + 1)
