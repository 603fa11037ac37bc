"""Virtual environments for runs: made once of what code asks for, and shared by runs that ask the same.

``<runs root>/.environments/<key>/``: ``venv``, and ``ready.json``, which is written last and
without which nothing of it counts. The key is a digest of the files that ask, the interpreter and the
installer. A lock beside it is held exclusively by the one who makes or removes it, and shared by the
runs that use it, so that none is taken away under a run; the kernel lets go of it for those who die.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ahstore.codec.canonical import Value
from ahstore.errors import NotFoundError, StorageError
from ahstore.jobs.code.requirements import Declaration
from ahstore.jobs.running.installer import Installer
from ahstore.jobs.running.interpreter import Interpreter
from ahstore.jobs.running.usage import folder_usage
from ahstore.jobs.running.workspace import remove_folder

FOLDER = ".environments"
READY = "ready.json"
SCHEMA = 1
KEY_LENGTH = 32
KEPT = 10
KEPT_SECONDS = 30 * 86_400.0
POLL_SECONDS = 0.2
NOTED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that is there. ``about`` is what its ``ready.json`` says."""

    key: str
    folder: str
    about: Mapping[str, Any]
    used: float
    in_use: bool = False

    @property
    def venv(self) -> str:
        """The virtual environment itself."""
        return os.path.join(self.folder, "venv")

    @property
    def python(self) -> str:
        """Its interpreter."""
        return os.path.join(self.venv, "bin", "python")

    def to_dict(self) -> dict[str, Any]:
        """Return what people see of it; its size is looked up."""
        return {
            "key": self.key,
            "from": self.about["from"],
            "python": self.about["python"]["version"],
            "installer": self.about["installer"],
            "path": self.venv,
            "size_bytes": folder_usage([self.folder]),
            "used": self.used,
            "in_use": self.in_use,
        }

    def to_value(self) -> dict[str, Value]:
        """Return what a run's record says of it."""
        return {
            "key": self.key,
            "from": self.about["from"],
            "files": dict(self.about["files"]),
            "installer": self.about["installer"],
        }


class Environments:
    """The environments of this machine and user, under the folder for runs."""

    def __init__(self, runs_root: str) -> None:
        self._root = os.path.join(os.path.abspath(runs_root), FOLDER)

    @contextlib.contextmanager
    def use(
        self,
        declaration: Declaration,
        interpreter: Interpreter,
        installer: Installer,
        *,
        poll: Callable[[], None],
        on_note: Callable[[str], None],
    ) -> Iterator[Environment]:
        """Give the environment that code asks for, made if it is not there, and keep it there.

        ``poll`` is called often while others are waited for, and may raise to stop it.

        Raises:
            RunFailedError: it can't be made; the installer's last lines are in the message.
            StorageError: the disk refuses.
        """
        key = _key(declaration, interpreter, installer)
        folder = os.path.join(self._root, key)
        try:
            os.makedirs(self._root, mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(f"can't make {self._root}: {error.strerror}") from error
        with _Lock(f"{folder}.lock") as lock:
            since = time.monotonic()
            waited = False
            while True:
                found = self._find(key) if lock.take(exclusive=False) else None
                if found is not None:
                    break
                if lock.take(exclusive=True):
                    # Of two who came here the second finds what the first has made.
                    if self._find(key) is None:
                        on_note(f"making an environment of {declaration.kind}")
                        self._make(folder, declaration, interpreter, installer)
                    continue
                if not waited and time.monotonic() - since > NOTED_SECONDS:
                    on_note("waits: another run makes or uses the same environment")
                    waited = True
                poll()
                time.sleep(POLL_SECONDS)
            on_note(f"environment: {key[:8]} of {declaration.kind}")
            with contextlib.suppress(OSError):
                os.utime(os.path.join(folder, READY))
            self._tidy()
            yield found

    def list(self) -> list[Environment]:
        """Return the environments that are there, the last used first."""
        try:
            names = sorted(name for name in os.listdir(self._root) if len(name) == KEY_LENGTH)
        except OSError:
            return []
        found = [self._look(name) for name in names]
        return sorted((each for each in found if each), key=lambda each: -each.used)

    def get(self, key: str) -> Environment:
        """Return the environment whose key begins so.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        found = [each for each in self.list() if key and each.key.startswith(key)]
        if len(found) != 1:
            raise NotFoundError(
                f"{len(found) or 'no'} environments have a key that begins {key[:KEY_LENGTH]!r}",
                key=key[:KEY_LENGTH],
            )
        return found[0]

    def remove(self, key: str) -> bool:
        """Remove an environment with all that is left of it; False if it is in use."""
        path = os.path.join(self._root, f"{key}.lock")
        with _Lock(path) as lock:
            if not lock.take(exclusive=True):
                return False
            folder = os.path.join(self._root, key)
            # Without this it is no environment any more, whatever else is still there.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, READY))
            remove_folder(folder)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return True

    def _look(self, key: str) -> Environment | None:
        found = self._find(key, check=False)
        if found is None:
            return None
        with _Lock(os.path.join(self._root, f"{key}.lock")) as lock:
            in_use = not lock.take(exclusive=True)
        return Environment(key, found.folder, found.about, found.used, in_use)

    def _find(self, key: str, *, check: bool = True) -> Environment | None:
        """Return an environment if it is whole; with ``check`` only if nobody has changed it."""
        folder = os.path.join(self._root, key)
        path = os.path.join(folder, READY)
        try:
            with open(path, encoding="utf-8") as file:
                about = json.load(file)
            used = os.stat(path).st_mtime
            found = Environment(key, folder, about, used)
            if check and about["holds"] != _holds(found.venv):
                return None
            found.to_value()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    def _make(
        self,
        folder: str,
        declaration: Declaration,
        interpreter: Interpreter,
        installer: Installer,
    ) -> None:
        remove_folder(folder)
        try:
            os.mkdir(folder, mode=0o700)
            venv = os.path.join(folder, "venv")
            try:
                installer.install(declaration, interpreter, folder, venv)
            except BaseException:
                remove_folder(folder)
                raise
            about = {
                "schema": SCHEMA,
                "from": declaration.kind,
                "files": declaration.files,
                "installer": installer.kind,
                "python": dict(interpreter.facts),
                "made": time.time(),
                "holds": _holds(venv),
            }
            _protect(venv)
            _publish(folder, about)
        except OSError as error:
            raise StorageError(
                f"can't make the environment {folder}: {error.strerror}", path=folder
            ) from error

    def _tidy(self) -> None:
        """Remove what has not been used for long, and what is left of some that were not finished."""
        now = time.time()
        with contextlib.suppress(OSError):
            for number, each in enumerate(self.list()):
                if not each.in_use and (number >= KEPT or now - each.used > KEPT_SECONDS):
                    self.remove(each.key)
            for name in os.listdir(self._root):
                path = os.path.join(self._root, name)
                unfinished = len(name) == KEY_LENGTH and not os.path.exists(f"{path}/{READY}")
                if unfinished and now - os.stat(path).st_mtime > KEPT_SECONDS:
                    self.remove(name)


class _Lock:
    """A lock on a file, taken without waiting; changing from one kind to the other lets go first."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def take(self, *, exclusive: bool) -> bool:
        self._let_go()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            # Who removes an environment removes its lock: then this is the lock of nothing.
            mine, there = os.fstat(descriptor), os.stat(self._path)
            if (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino):
                self._descriptor, descriptor = descriptor, -1
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return False

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> _Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()


def _key(declaration: Declaration, interpreter: Interpreter, installer: Installer) -> str:
    """Return the name of an environment: alike for all who would get the same."""
    document = {
        "schema": SCHEMA,
        "from": declaration.kind,
        "files": declaration.files,
        "requirements": list(declaration.requirements),
        "python": dict(interpreter.facts),
        "installer": installer.kind,
    }
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def _holds(venv: str) -> str:
    """Return a digest of which packages are installed, to see that a run has changed them."""
    names: list[str] = []
    library = os.path.join(venv, "lib")
    for version in sorted(os.listdir(library)):
        packages = os.path.join(library, version, "site-packages")
        if os.path.isdir(packages):
            names += sorted(name for name in os.listdir(packages) if name != "__pycache__")
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _protect(venv: str) -> None:
    """Take away the right to add and remove packages: the next run counts on them."""
    for path, names, _ in os.walk(venv):
        os.chmod(path, 0o500)
        names[:] = [name for name in names if not os.path.islink(os.path.join(path, name))]


def _publish(folder: str, about: Mapping[str, Any]) -> None:
    """Make everything durable, then say that it is ready: before that it is rubbish."""
    draft = os.path.join(folder, f"{READY}.draft")
    with open(draft, "w", encoding="utf-8") as file:
        json.dump(about, file, indent=2, sort_keys=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Thousands of files: the file system as a whole is quicker than one after the other.
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "the file system can't be synced", folder)
        os.rename(draft, os.path.join(folder, READY))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
