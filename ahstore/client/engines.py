"""Which engine carries runs out, and with which settings, where a call says nothing else.

``AH_ENGINE`` names it; ``AH_ENGINE_OPTIONS`` (``KEY=VALUE`` words) are for that one. The file
``engines.toml`` beside the login has ``engine = "slurm"`` and a table of options for each engine.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from ahstore.errors import InvalidInputError
from ahstore.jobs.engines.choice import LOCAL, EngineSettings, check_engine

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

APP = "ahstore"
ENGINE, OPTIONS = "AH_ENGINE", "AH_ENGINE_OPTIONS"


def load_engine_settings(environ: Mapping[str, str] | None = None) -> EngineSettings:
    """Return what is in force; the environment goes before the file.

    Raises:
        InvalidInputError: something there is malformed.
    """
    env = os.environ if environ is None else environ
    file = _read_file(engines_path())
    default = check_engine(env.get(ENGINE) or file.pop("engine", LOCAL))
    options: dict[str, dict[str, str]] = {}
    for name, table in file.items():
        if not isinstance(table, dict):
            raise InvalidInputError(f"{engines_path()}: {name} must be a table of options")
        options[check_engine(name)] = {key: _text(value) for key, value in table.items()}
    given = _words(env.get(OPTIONS, ""))
    if given:
        options[default] = {**options.get(default, {}), **given}
    return EngineSettings(default, options)


def engines_path() -> str:
    """Return where the file with settings is, if there is one."""
    from platformdirs import user_config_dir  # start-up

    return os.path.join(user_config_dir(APP), "engines.toml")


def _read_file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} can't be read: {error}", path=path) from None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "" if value else "no"
    return str(value)


def _words(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInputError(f"{OPTIONS}: {error}") from None
    pairs = [word.partition("=") for word in words]
    if not all(key for key, _, _ in pairs):
        raise InvalidInputError(f"{OPTIONS} must be KEY=VALUE words")
    return {key: value for key, _, value in pairs}
