"""Writing a bundle: manifest, packs as they come, table, end. It streams; nothing is gone back to.

A bundle that goes to a file appears under its name when it is whole and synced.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from ahstore.errors import InvalidInputError, StorageError, StorageFullError
from ahstore.transfer.bundle_format import (
    End,
    Manifest,
    encode_end,
    encode_manifest,
    encode_table,
)
from ahstore.transfer.bundle_storage import BundleOutput

if TYPE_CHECKING:
    from typing_extensions import Buffer


class HashedOutput:
    """A stream of bytes on its way out, counted and hashed."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: Buffer) -> None:
        """Append ``data``.

        Raises:
            StorageError: it can't be written.
        """
        self._hash.update(data)
        view = memoryview(data).cast("B")
        self.size += view.nbytes
        try:
            while view.nbytes:
                # A raw stream may take less than it is given.
                view = view[self._file.write(view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise failed(error, self._name) from error

    def digest(self) -> bytes:
        """Return the SHA-256 of what was written."""
        return self._hash.digest()


class BundleWriter:
    """Writes one bundle. ``storage`` takes its packs; ``finish`` ends it."""

    def __init__(self, file: IO[bytes], name: str, manifest: Manifest) -> None:
        self._output = HashedOutput(file, name)
        self._output.write(encode_manifest(manifest))
        self.storage = BundleOutput(self._output)

    def finish(self) -> int:
        """Write what follows the packs; return the size of the bundle in bytes."""
        offset = self._output.size
        self._output.write(encode_table(self.storage.packs))
        self._output.write(encode_end(End(offset, self._output.digest())))
        return self._output.size


@contextmanager
def new_file(path: str) -> Iterator[IO[bytes]]:
    """Yield a file that gets the name ``path`` after the block, durable, or never.

    Raises:
        InvalidInputError: ``path`` is a folder.
        StorageError: it can't be written.
    """
    if os.path.isdir(path):
        raise InvalidInputError(f"{path} is a folder: name a file", path=path)
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        file = open(temporary, "xb")  # noqa: SIM115  closed below, before it is renamed
    except OSError as error:
        raise failed(error, path) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise failed(error, path) from error
        raise


def failed(error: OSError, path: str) -> StorageError:
    """Return the error to raise for one of the operating system's about a bundle's file."""
    kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
    return kind(f"{path}: {error.strerror or error}", path=path)
