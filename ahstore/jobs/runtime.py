"""What a run's code runs in, where the user asked for something: interpreter, packages, variables.

Part of a run's spec, so ``to_value`` and ``from_value`` are format (docs/format/runs.md). Values of
variables that may be secret are no part of it: they go to the supervisor beside the spec.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ahstore.codec.canonical import Value
from ahstore.errors import InvalidInputError
from ahstore.jobs.code.secret_signs import is_secret_variable

MAX_VARIABLES = 1000
MAX_VARIABLES_BYTES = 64 << 10
MAX_PYTHON_LENGTH = 4096
MIN_SECRET_LENGTH = 4
MIN_LENGTH = 8

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}\Z")
_OURS = frozenset({"PATH", "HOME", "TMPDIR", "USER", "LOGNAME"})
_OUR_PREFIX = "AH_"


@dataclass(frozen=True, slots=True)
class Runtime:
    """What was asked for; the default is the interpreter that runs ahstore and nothing more.

    Attributes:
        python: path, version (``3.11``) or name of an interpreter, None for ours.
        venv: whether a virtual environment is made of what the code declares.
        env: variables by name; None for a value that is not recorded.
    """

    python: str | None = None
    venv: bool = False
    env: Mapping[str, str | None] = field(default_factory=dict)

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored: what was asked for, ``{}`` if nothing was."""
        value: dict[str, Value] = {}
        if self.python is not None:
            value["python"] = self.python
        if self.venv:
            value["venv"] = True
        if self.env:
            value["env"] = dict(self.env)
        return value

    @staticmethod
    def from_value(value: Any) -> Runtime:
        """Return what ``to_value`` stored.

        Raises:
            InvalidInputError: it is something else.
        """
        if not isinstance(value, dict):
            raise InvalidInputError("what a run runs in must be a document")
        python = value.get("python")
        return Runtime(
            None if python is None else _check_python(python),
            bool(value.get("venv", False)),
            _check_env(value.get("env", {})),
        )


@dataclass(frozen=True, slots=True)
class AskedRuntime:
    """A runtime to be recorded, and the values that are not: by name of the variable."""

    runtime: Runtime
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)


def check_runtime(
    *,
    python: str | None,
    venv: bool,
    env: Mapping[str, str | None] | None,
    caller: Mapping[str, str],
) -> AskedRuntime:
    """Return what was asked for, if it can be.

    A variable without a value is the caller's; its value is not recorded, nor one that looks secret.

    Raises:
        InvalidInputError: a name or value can't be, or the caller has no such variable.
    """
    asked = _check_env(dict(env or {}))
    values = {
        name: _caller_value(name, caller) if value is None else value
        for name, value in asked.items()
    }
    _check_env(values)
    hidden = {
        name: value
        for name, value in values.items()
        if asked[name] is None or is_secret_variable(name, value)
    }
    recorded = {name: None if name in hidden else value for name, value in values.items()}
    runtime = Runtime(None if python is None else _check_python(python), bool(venv), recorded)
    return AskedRuntime(runtime, hidden)


def check_again(
    recorded: Runtime,
    *,
    python: str | None,
    env: Mapping[str, str | None] | None,
    caller: Mapping[str, str],
) -> AskedRuntime:
    """Return a recorded runtime for another run, with another interpreter if one is given.

    ``env`` gives what was not recorded. It has to: no document makes a run get the caller's secrets.

    Raises:
        InvalidInputError: a variable without a recorded value is not given.
    """
    given = dict(env or {})
    for name, value in recorded.env.items():
        if value is None and name not in given:
            raise InvalidInputError(
                f"the training was given {name}, whose value is not recorded: give it with --env",
                name=name,
            )
    return check_runtime(
        python=python or recorded.python,
        venv=recorded.venv,
        env={**recorded.env, **given},
        caller=caller,
    )


def secret_values(hidden: Mapping[str, str]) -> list[str]:
    """Return those values that logs must not show; short ones stand everywhere."""
    return [
        value
        for name, value in hidden.items()
        if len(value) >= (MIN_SECRET_LENGTH if is_secret_variable(name, value) else MIN_LENGTH)
    ]


def _caller_value(name: str, caller: Mapping[str, str]) -> str:
    if name not in caller:
        raise InvalidInputError(
            f"the run is to be given your variable {name}, and it is not set here", name=name
        )
    return caller[name]


def _check_python(python: Any) -> str:
    if not isinstance(python, str) or not 0 < len(python) <= MAX_PYTHON_LENGTH:
        raise InvalidInputError("python must be the path, the version or the name of one")
    if python.startswith("-") or not python.isprintable():
        raise InvalidInputError(f"{python[:100]!r} is no interpreter: give a path or a version")
    return python


def _check_env(env: Any) -> dict[str, str | None]:
    if not isinstance(env, dict) or len(env) > MAX_VARIABLES:
        raise InvalidInputError(f"env must be at most {MAX_VARIABLES} variables by name")
    size = 0
    for name, value in env.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise InvalidInputError(f"{str(name)[:100]!r} is no name of a variable", name=name)
        if name in _OURS or name.startswith(_OUR_PREFIX):
            raise InvalidInputError(f"{name} is set by ahstore: a run can't be given another")
        if value is not None and (not isinstance(value, str) or "\0" in value):
            raise InvalidInputError(f"the value of {name} must be text without NUL", name=name)
        try:
            size += len(name) + len((value or "").encode())
        except UnicodeEncodeError:
            raise InvalidInputError(f"the value of {name} is not valid UTF-8", name=name) from None
    if size > MAX_VARIABLES_BYTES:
        raise InvalidInputError(f"variables have more than {MAX_VARIABLES_BYTES} bytes")
    return dict(env)
