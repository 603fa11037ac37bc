"""Which command a run starts: from ``asset-hub.toml``, else the file named after the kind of run.

Works on names and bytes, so that a commit can be judged before it is checked out and a folder
afterwards by the same rule. A command is an argv list; no shell ever sees it.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Container, Sequence

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.jobs.running.workspace import PYTHONS
from ahstore.jobs.spec import RunType

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG_NAME = "asset-hub.toml"
MAX_CONFIG_BYTES = 1 << 20


def choose_command(
    kind: RunType, names: Container[str], read: Callable[[str], bytes]
) -> tuple[str, ...]:
    """Return the argv of a run of ``kind`` in a folder with the files ``names``.

    A rerun runs what a training does.

    Raises:
        InvalidInputError: ``asset-hub.toml`` is no TOML, or its command is malformed.
        NotFoundError: nothing says what to run.
    """
    kind = "train" if kind == "rerun" else kind
    if CONFIG_NAME in names:
        command = _command_from_config(kind, read(CONFIG_NAME))
        if command:
            return command
    if f"{kind}.sh" in names:
        return ("sh", f"{kind}.sh")
    if f"{kind}.py" in names:
        return ("python", f"{kind}.py")
    raise NotFoundError(
        f"nothing says what to run: there is no {kind}.py, no {kind}.sh, and no [{kind}] command"
        f" in {CONFIG_NAME}",
        kind=kind,
    )


def executable_argv(command: Sequence[str], *, python: str = sys.executable) -> list[str]:
    """Return ``command`` as it is started: ``python`` is the run's interpreter."""
    if command[0] in PYTHONS:
        return [python, *command[1:]]
    if command[0] == "sh":
        return [shutil.which("bash") or "/bin/sh", *command[1:]]
    return list(command)


def program_name(command: Sequence[str]) -> str:
    """Return what messages call the program: the script for an interpreter, else the program."""
    if command[0] in (*PYTHONS, "sh", "bash") and len(command) > 1:
        scripts = [part for part in command[1:] if not part.startswith("-")]
        return scripts[0] if scripts else command[0]
    return command[0]


def _command_from_config(kind: RunType, data: bytes) -> tuple[str, ...] | None:
    if len(data) > MAX_CONFIG_BYTES:
        raise InvalidInputError(f"{CONFIG_NAME} has more than {MAX_CONFIG_BYTES} bytes")
    try:
        config = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{CONFIG_NAME} is not valid TOML: {error}") from error
    section = config.get(kind)
    if section is None:
        return None
    if not isinstance(section, dict):
        raise _bad(kind, f"[{kind}] must be a table")
    command = section.get("command")
    return None if command is None else _check_command(kind, command)


def _check_command(kind: RunType, command: object) -> tuple[str, ...]:
    if isinstance(command, str):
        try:
            parts = shlex.split(command)
        except ValueError as error:
            raise _bad(kind, f"the command can't be split into words: {error}") from error
    elif isinstance(command, list) and all(isinstance(part, str) for part in command):
        parts = list(command)
    else:
        raise _bad(kind, "the command must be a string or a list of strings")
    if not parts or not parts[0]:
        raise _bad(kind, "the command is empty")
    if any("\0" in part for part in parts):
        raise _bad(kind, "the command has a NUL character")
    return tuple(parts)


def _bad(kind: RunType, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{CONFIG_NAME}, [{kind}]: {problem}", kind=kind)
