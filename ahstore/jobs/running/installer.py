"""Installing what code asks for into a new virtual environment: by uv if it is there, else by pip.

Where packages come from is the business of the caller's own configuration: its files, and the
variables that are named here. None of it is recorded; what an installer prints is cleared of it.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from ahstore.errors import RunFailedError
from ahstore.ids import RunId
from ahstore.jobs.code.git_source import MIN_SECRET_LENGTH, strip_userinfo
from ahstore.jobs.code.requirements import PYPROJECT, UV_LOCK, Declaration
from ahstore.jobs.code.secret_signs import is_secret_variable
from ahstore.jobs.running.interpreter import Interpreter
from ahstore.jobs.running.user_process import Limits, UserProcess
from ahstore.jobs.running.workspace import remove_folder

MAX_ENVIRONMENT_BYTES = 1 << 40
INSTALL_SECONDS = 3600.0 * 6
LAST_LINES = 15
MAX_LINE = 500

_PASSED_ON = frozenset(
    ["PATH", "HOME", "LANG", "LANGUAGE", "TZ", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME",
     "XDG_CONFIG_DIRS", "NETRC", "CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CPATH",
     "LIBRARY_PATH", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "CUDA_HOME", "CUDA_PATH",
     "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
     "http_proxy", "https_proxy", "no_proxy", "all_proxy",
     "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"]
)  # fmt: skip
_PIP = frozenset(
    ["INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "TRUSTED_HOST", "CERT", "CLIENT_CERT",
     "PROXY", "CACHE_DIR", "NO_CACHE_DIR", "CONFIG_FILE", "ONLY_BINARY", "NO_BINARY",
     "PREFER_BINARY", "CONSTRAINT", "TIMEOUT", "DEFAULT_TIMEOUT", "RETRIES", "KEYRING_PROVIDER",
     "PRE", "USE_DEPRECATED", "USE_FEATURE"]
)  # fmt: skip
_UV = frozenset(
    ["INDEX", "DEFAULT_INDEX", "INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "OFFLINE",
     "INDEX_STRATEGY", "INSECURE_HOST", "KEYRING_PROVIDER", "NATIVE_TLS", "SYSTEM_CERTS",
     "CACHE_DIR", "NO_CACHE", "CONFIG_FILE", "CONSTRAINT", "OVERRIDE", "HTTP_TIMEOUT",
     "HTTP_RETRIES", "LINK_MODE", "CONCURRENT_DOWNLOADS", "CONCURRENT_BUILDS",
     "CONCURRENT_INSTALLS", "NO_BUILD", "NO_BINARY", "PRERELEASE", "EXCLUDE_NEWER",
     "PYTHON_DOWNLOADS", "PYTHON_PREFERENCE", "PYTHON_INSTALL_DIR", "TORCH_BACKEND"]
)  # fmt: skip
_UV_CREDENTIALS = re.compile(r"UV_INDEX_\w+_(?:USERNAME|PASSWORD)\Z")
_WORD = re.compile(r"\S+")


def installer_environment(caller: Mapping[str, str], *, run: RunId) -> dict[str, str]:
    """Return what an installer sees of its caller: how to reach packages, and how to build them.

    By ``AH_RUN_ID`` its processes are found if the supervisor dies.
    """
    environment = {name: value for name, value in caller.items() if _is_passed_on(name)}
    environment.update(
        AH_RUN_ID=run,
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PIP_PROGRESS_BAR="off",
        UV_NO_PROGRESS="1",
        NO_COLOR="1",
        PYTHONUNBUFFERED="1",
    )
    return environment


def _is_passed_on(name: str) -> bool:
    if name.startswith("PIP_"):
        return name[4:] in _PIP
    if name.startswith("UV_"):
        return name[3:] in _UV or _UV_CREDENTIALS.match(name) is not None
    return name in _PASSED_ON or name.startswith("LC_")


@dataclass(frozen=True, slots=True)
class Installer:
    """How environments are made: with ``uv`` (its path) or, if that is None, with venv and pip.

    ``on_line`` hears what is printed; ``should_stop`` is asked often.
    """

    uv: str | None
    environment: Mapping[str, str]
    on_line: Callable[[str], None]
    on_tick: Callable[[], None]
    should_stop: Callable[[], bool]
    raise_why: Callable[[], NoReturn]

    @property
    def kind(self) -> str:
        """``uv`` or ``pip``: what they make differs in what else is in it."""
        return "pip" if self.uv is None else "uv"

    def install(
        self, declaration: Declaration, interpreter: Interpreter, folder: str, venv: str
    ) -> None:
        """Make a virtual environment at ``venv``, in ``folder``, with what is asked for.

        Raises:
            RunFailedError: it fails; the installer's last lines are in the message.
        """
        tmp = os.path.join(folder, "tmp")
        os.mkdir(tmp, mode=0o700)
        for argv in self._commands(declaration, interpreter, folder, venv):
            self._run(argv, declaration, tmp=tmp, venv=venv)
        remove_folder(tmp)

    def _commands(
        self, declaration: Declaration, interpreter: Interpreter, folder: str, venv: str
    ) -> list[list[str]]:
        python = os.path.join(venv, "bin", "python")
        if declaration.kind == UV_LOCK:
            if self.uv is None:
                raise RunFailedError(
                    "uv.lock needs uv, and it is not on this machine: install it, or have"
                    " requirements.txt instead"
                )
            return [
                self._make_uv(interpreter, venv),
                [
                    self.uv, "sync", "--frozen", "--no-dev", "--no-install-project",
                    "--no-install-workspace", "--compile-bytecode", "--project", declaration.folder,
                    "--python", python,
                ],
            ]  # fmt: skip
        wanted = declaration.path
        if declaration.kind == PYPROJECT:
            wanted = os.path.join(folder, "requirements.txt")
            with open(wanted, "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in declaration.requirements)
        hashed = ["--require-hashes"] if declaration.hashed else []
        if self.uv is not None:
            return [
                self._make_uv(interpreter, venv),
                [
                    self.uv,
                    "pip",
                    "install",
                    "--compile-bytecode",
                    "--python",
                    python,
                    *hashed,
                    "-r",
                    wanted,
                ],
            ]
        return [
            [interpreter.path, "-I", "-m", "venv", venv],
            [python, "-I", "-m", "pip", "install", *hashed, "-r", wanted],
        ]

    def _make_uv(self, interpreter: Interpreter, venv: str) -> list[str]:
        assert self.uv is not None
        return [self.uv, "venv", "--no-project", "--python", interpreter.path, venv]

    def _run(self, argv: Sequence[str], declaration: Declaration, *, tmp: str, venv: str) -> None:
        tail: deque[str] = deque(maxlen=LAST_LINES)

        def hear(line: str) -> None:
            tail.append(line)
            self.on_line(line)

        lines = _Lines(hear, self._secrets())
        environment = {**self.environment, "TMPDIR": tmp, "UV_PROJECT_ENVIRONMENT": venv}
        if declaration.kind != UV_LOCK:
            environment.update(_only_the_users(self.environment))
        ending = UserProcess(
            argv,
            # Paths in what asks for packages start there; the interpreter is told not to.
            folder=declaration.folder,
            environment=environment,
            limits=Limits(MAX_ENVIRONMENT_BYTES, (), INSTALL_SECONDS),
            on_output=lines.take,
            should_stop=self.should_stop,
            on_tick=self.on_tick,
        ).run()
        lines.end()
        if ending.by == "stop":
            self.raise_why()
        if ending.by == "timeout":
            raise RunFailedError(f"installing {declaration.kind} took longer than 6 hours")
        if ending.status != 0:
            said = "\n".join(tail)
            program = " ".join([os.path.basename(argv[0]), *argv[1:3]])
            raise RunFailedError(
                f"the environment of {declaration.kind} can't be made: '{program}' failed"
                f" (status {ending.status})" + (f"\n{said}" if said else "")
            )

    def _secrets(self) -> list[str]:
        """Return what of the caller's configuration must not be seen in what is printed."""
        found: set[str] = set()
        for name, value in self.environment.items():
            if name.startswith(("PIP_", "UV_")) and is_secret_variable(name, ""):
                found.add(value)
            for word in _WORD.findall(value):
                if "://" in word and "@" in word:
                    try:
                        parts = urlsplit(word)
                    except ValueError:
                        continue
                    found |= {parts.netloc.rpartition("@")[0], parts.password or ""}
        return sorted((text for text in found if len(text) >= MIN_SECRET_LENGTH), key=len)[::-1]


def _only_the_users(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables by which uv takes no configuration from the code: its files do not count."""
    if "UV_CONFIG_FILE" in environment:
        return {}
    home = environment.get("XDG_CONFIG_HOME") or os.path.join(
        environment.get("HOME", "/"), ".config"
    )
    own = os.path.join(home, "uv", "uv.toml")
    return {"UV_CONFIG_FILE": own} if os.path.isfile(own) else {"UV_NO_CONFIG": "1"}


class _Lines:
    """What is printed, line by line, without secrets."""

    def __init__(self, on_line: Callable[[str], None], secrets: Sequence[str]) -> None:
        self._on_line = on_line
        self._secrets = secrets
        self._rest = b""

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._hand_on(line)

    def end(self) -> None:
        self._hand_on(self._rest)
        self._rest = b""

    def _hand_on(self, line: bytes) -> None:
        text = strip_userinfo(line.decode("utf-8", "replace")).rstrip()
        for secret in self._secrets:
            text = text.replace(secret, "***")
        if text:
            self._on_line(text[:MAX_LINE])
