"""Errors of the operating system as the store's own, naming the path."""

from __future__ import annotations

import errno

from ahstore.errors import StorageError, StorageFullError

# EFBIG: the limit of a file's size, set for the process or by the file system.
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def storage_error(error: OSError, path: str) -> StorageError:
    """Return the typed error for ``error``, which was met at ``path``."""
    if isinstance(error, StorageError):
        return error
    reason = error.strerror or str(error)
    kind = StorageFullError if error.errno in _FULL else StorageError
    return kind(f"{path}: {reason}", path=path, errno=error.errno)
