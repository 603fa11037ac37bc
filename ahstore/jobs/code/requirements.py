"""Which packages a run's code asks for: ``uv.lock``, ``requirements.txt`` or ``pyproject.toml``.

Reads only, and only what lies in the checkout. What the files name is brought to a digest that is
the same wherever the code lies, so that an environment made of them can be used by other runs; what
would make an environment of the code itself (editable installs, folders) is therefore refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Any

from ahstore.errors import InvalidInputError, NotFoundError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

UV_LOCK = "uv.lock"
REQUIREMENTS = "requirements.txt"
PYPROJECT = "pyproject.toml"
KINDS = (UV_LOCK, REQUIREMENTS, PYPROJECT)

MAX_FILE_BYTES = 16 << 20
MAX_FILES = 100
MAX_ARCHIVES = 1000

_LOCAL = re.compile(r"(?:\.{0,2}/|~|file:|\.{1,2}\Z)", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(?:whl|tar\.gz|tar\.bz2|tgz|zip)\Z", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_COMMENT = re.compile(r"(?:\A|\s)#.*\Z")
_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z-]*)(?:=|\s+|(?<=\A-[A-Za-z]))(.*)\Z")
_INCLUDES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_EDITABLE = ("-e", "--editable")
_LINKS = ("-f", "--find-links")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the code asks for.

    Attributes:
        kind: the name of the file that says it.
        folder: where that lies, absolute.
        files: of each file that counts the SHA-256 in hex, by its path from ``folder``.
        hashed: whether every package must have the digest that the file gives.
        requirements: of a ``pyproject.toml`` the packages, as lines of a requirements file.
    """

    kind: str
    folder: str
    files: dict[str, str] = field(default_factory=dict)
    hashed: bool = False
    requirements: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The file that says it."""
        return os.path.join(self.folder, self.kind)

    def import_paths(self) -> list[str]:
        """Return where the project itself is imported from, since it is not installed."""
        if self.kind == REQUIREMENTS:
            return []
        source = os.path.join(self.folder, "src")
        return [source if os.path.isdir(source) else self.folder]


def find_declaration(subpath: str, names: Callable[[str], Container[str]]) -> tuple[str, str]:
    """Return the folder and name of the file that says which packages the code asks for.

    The first of ``KINDS`` in ``subpath``, or in the nearest folder above it. ``names`` gives the
    files in a folder of the code.

    Raises:
        NotFoundError: there is none.
    """
    parts = [] if subpath == "." else subpath.split("/")
    for depth in range(len(parts), -1, -1):
        folder = "/".join(parts[:depth]) or "."
        found = names(folder)
        for kind in KINDS:
            if kind in found:
                return folder, kind
    raise NotFoundError(
        f"nothing says which packages the code needs: there is no {', no '.join(KINDS)}",
        subpath=subpath,
    )


def read_declaration(top: str, subpath: str) -> Declaration:
    """Return what the code in ``subpath`` of the checkout ``top`` asks for.

    Raises:
        NotFoundError: nothing says it.
        InvalidInputError: it can't be read, or it asks for what can't be shared.
    """
    top = os.path.realpath(top)
    folder, kind = find_declaration(subpath, lambda name: os.listdir(os.path.join(top, name)))
    place = os.path.normpath(os.path.join(top, folder))
    return {UV_LOCK: _read_uv_lock, REQUIREMENTS: _read_requirements, PYPROJECT: _read_pyproject}[
        kind
    ](top, place)


# uv.lock.


def _read_uv_lock(top: str, folder: str) -> Declaration:
    found = _Files(top, folder)
    lock = _toml(found.read(os.path.join(folder, UV_LOCK)), UV_LOCK)
    found.read(os.path.join(folder, PYPROJECT))
    for package in lock.get("package", []):
        source = package.get("source", {})
        for how in ("editable", "directory", "virtual"):
            if source.get(how, ".") != ".":
                raise _of_the_code(UV_LOCK, f"{package.get('name')} = {source[how]}")
        path = source.get("path")
        if isinstance(path, str):
            found.add_archive(os.path.join(folder, path))
    return Declaration(UV_LOCK, folder, found.digests)


# pyproject.toml.


def _read_pyproject(top: str, folder: str) -> Declaration:
    found = _Files(top, folder)
    project = _toml(found.read(os.path.join(folder, PYPROJECT)), PYPROJECT).get("project")
    if not isinstance(project, dict):
        raise InvalidInputError(f"{PYPROJECT} has no [project]: add {REQUIREMENTS} or {UV_LOCK}")
    if "dependencies" in project.get("dynamic", []):
        raise InvalidInputError(
            f"the dependencies in {PYPROJECT} are dynamic: add {REQUIREMENTS} or {UV_LOCK}"
        )
    needed = project.get("dependencies", [])
    if not isinstance(needed, list) or not all(isinstance(line, str) for line in needed):
        raise InvalidInputError(f"project.dependencies in {PYPROJECT} must be a list of strings")
    for line in needed:
        if "\n" in line or line.lstrip().startswith("-"):
            raise InvalidInputError(f"{line[:100]!r} in {PYPROJECT} is no package")
        if _is_local(line):
            raise _of_the_code(PYPROJECT, line)
    return Declaration(PYPROJECT, folder, found.digests, requirements=tuple(needed))


# requirements.txt.


def _read_requirements(top: str, folder: str) -> Declaration:
    found = _Files(top, folder)
    hashed = False
    pending = [os.path.join(folder, REQUIREMENTS)]
    while pending:
        path = pending.pop()
        if found.has(path):
            continue
        text = found.read(path).decode("utf-8", "replace")
        for line in _logical_lines(text):
            hashed = hashed or "--hash" in line
            pending += _look_at(line, os.path.dirname(path), found)
    return Declaration(REQUIREMENTS, folder, found.digests, hashed)


def _logical_lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\r?\n", " ", text.removeprefix("\ufeff")).splitlines():
        stripped = _COMMENT.sub("", line).strip()
        if stripped:
            yield stripped


def _look_at(line: str, folder: str, found: _Files) -> Iterator[str]:
    """Yield the files that a line includes, and note archives that it names."""
    option = _OPTION.match(line) if line.startswith("-") else None
    if option is None:
        if _is_local(line):
            name = line.split(";")[0].partition("@")[2].strip() or line.split(";")[0].strip()
            name = re.sub(r"\Afile:(?://)?", "", name.split(" ")[0])
            if not _ARCHIVE.search(name):
                raise _of_the_code(REQUIREMENTS, line)
            found.add_archive(os.path.join(found.folder, name))
        return
    name, value = option.group(1), _unquoted(option.group(2))
    if name in _EDITABLE:
        raise _of_the_code(REQUIREMENTS, line)
    if name in _INCLUDES:
        if _URL.match(value):
            raise InvalidInputError(f"{REQUIREMENTS} includes {value[:200]}: have it in the code")
        yield os.path.join(folder, value)
    elif name in _LINKS and not _URL.match(value):
        there = os.path.join(folder, value)
        found.add_archives(there if os.path.lexists(there) else os.path.join(found.folder, value))


def _unquoted(text: str) -> str:
    try:
        return " ".join(shlex.split(text))
    except ValueError:
        return text


def _is_local(line: str) -> bool:
    _, at, url = line.partition("@")
    for text in (line, url.strip() if at else ""):
        word = text.split(";")[0].strip().split(" ")[0]
        if word and (_LOCAL.match(word) or (_ARCHIVE.search(word) and not _URL.match(word))):
            return True
    return False


# Files of the checkout.


class _Files:
    """Files that count, each read once; none may lie outside of the checkout."""

    def __init__(self, top: str, folder: str) -> None:
        self._top = top
        self.folder = folder
        self.digests: dict[str, str] = {}

    def has(self, path: str) -> bool:
        return self._name(path) in self.digests

    def read(self, path: str) -> bytes:
        """Return a file's bytes, and note their digest."""
        if len(self.digests) >= MAX_FILES:
            raise InvalidInputError(f"requirements are spread over more than {MAX_FILES} files")
        with open(self._open(path), "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise InvalidInputError(f"{self._name(path)} has more than {MAX_FILE_BYTES} bytes")
        self.digests[self._name(path)] = hashlib.sha256(data).hexdigest()
        return data

    def add_archive(self, path: str) -> None:
        """Note the digest of a package's file."""
        digest = hashlib.sha256()
        with open(self._open(path), "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        self.digests[self._name(path)] = digest.hexdigest()

    def add_archives(self, folder: str) -> None:
        """Note those of all packages' files in a folder, or of a page of links."""
        if not os.path.isdir(folder):
            self.add_archive(folder)
            return
        names = sorted(name for name in os.listdir(self._inside(folder)) if _ARCHIVE.search(name))
        if len(names) > MAX_ARCHIVES:
            raise InvalidInputError(f"{self._name(folder)} has more than {MAX_ARCHIVES} packages")
        for name in names:
            self.add_archive(os.path.join(folder, name))

    def _name(self, path: str) -> str:
        return os.path.relpath(os.path.normpath(path), self.folder)

    def _inside(self, path: str) -> str:
        real = os.path.realpath(path)
        if real != self._top and not real.startswith(os.path.join(self._top, "")):
            raise InvalidInputError(f"{self._name(path)} lies outside of the code", path=path)
        return real

    def _open(self, path: str) -> int:
        try:
            descriptor = os.open(self._inside(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise InvalidInputError(
                f"{self._name(path)} can't be read: {error.strerror}", path=path
            ) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InvalidInputError(f"{self._name(path)} is not a regular file", path=path)
        return descriptor


def _toml(data: bytes, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{name} is not valid TOML: {error}") from error


def _of_the_code(name: str, line: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name} installs a folder of the code ({line[:100]!r}), but the environment is shared by runs"
        " of other commits: take the line out, and import from the folder (--env PYTHONPATH=…)"
    )
