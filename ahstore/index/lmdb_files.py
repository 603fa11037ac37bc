"""The files of a cache folder: made, opened, checked, set aside, locked for writing.

Implements docs/format/cache.md, "Folder". Opening writes nothing, so that no process that is
writing, or was stopped while it was, can be in the way.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator

import lmdb

FORMAT = b"ahstore-cache-1"
FORMAT_KEY = b"!format"
MAP_BYTES = 2 * 2**30
_READERS = 512


DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.PageFullError,
    lmdb.CursorFullError,
    lmdb.BadTxnError,
)
"""Errors of LMDB that mean that the files are not what they should be."""


class UninitialisedError(Exception):
    """There is no environment of this format, or a damaged one."""


def _data(path: str) -> str:
    return os.path.join(path, "index.lmdb")


def open_file(path: str) -> lmdb.Environment:
    """Open what is there.

    Raises:
        UninitialisedError, or one of DAMAGE: there is no such environment, or a damaged one.
        lmdb.Error: it can't be opened for another reason.
    """
    if not os.path.isfile(_data(path)):
        raise UninitialisedError
    env = _lmdb_open(path, create=False)
    try:
        _check_size(env, path)
        env.reader_check()
        with env.begin() as txn:
            if txn.get(FORMAT_KEY) != FORMAT:
                raise UninitialisedError
        return env
    except BaseException:
        env.close()
        raise


def _lmdb_open(path: str, *, create: bool) -> lmdb.Environment:
    size = os.path.getsize(_data(path)) if os.path.exists(_data(path)) else 0
    return lmdb.open(
        _data(path),
        map_size=max(MAP_BYTES, 2 ** max(size - 1, 1).bit_length()),
        subdir=False,
        create=create,
        metasync=False,  # the last writes may go with the power, the rest stays whole
        max_readers=_READERS,
    )


def _check_size(env: lmdb.Environment, path: str) -> None:
    # To touch a page that a truncated file lacks is a SIGBUS, which no handler survives.
    needed = (int(env.info()["last_pgno"]) + 1) * int(env.stat()["psize"])
    if os.path.getsize(_data(path)) < needed:
        raise UninitialisedError


def initialise(path: str) -> bool:
    """Make a new environment, setting aside what is there; False if another process is at it."""
    with writers_lock(path) as free:
        if not free:
            return False
        with contextlib.suppress(UninitialisedError, *DAMAGE):
            open_file(path).close()
            return True  # someone else was first
        set_aside(path)
        env = _lmdb_open(path, create=True)
        try:
            with env.begin(write=True) as txn:
                txn.put(FORMAT_KEY, FORMAT)
        finally:
            env.close()
        return True


def give_up(path: str) -> None:
    """Set aside what was found to be damaged, unless someone is writing just now."""
    with writers_lock(path) as free, contextlib.suppress(OSError):
        if free:
            set_aside(path)


def set_aside(path: str) -> None:
    """Move what can't be read out of the way; one such set is kept, for a look at it."""
    aside = os.path.join(path, "aside")
    for name in ("index.lmdb", "index.lmdb-lock"):
        if os.path.lexists(os.path.join(path, name)):
            os.makedirs(aside, exist_ok=True)
            if os.path.isdir(os.path.join(path, name)):
                shutil.rmtree(os.path.join(path, name))
            else:
                os.replace(os.path.join(path, name), os.path.join(aside, name))


@contextlib.contextmanager
def writers_lock(path: str) -> Iterator[bool]:
    """Hold the lock of those who write, if it is free at this moment.

    LMDB's own lock would make us wait, for ever if its holder is stopped.
    """
    try:
        fd = os.open(
            os.path.join(path, "writer.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(fd)
