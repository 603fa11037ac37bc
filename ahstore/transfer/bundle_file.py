"""A finished bundle, opened: checked as a whole before anything in it is used.

The whole file is hashed first, so a damaged or truncated one is refused before a byte of it is
written anywhere. What it says may still be a lie; that is for the transfer to find out, which
checks each blob by its address.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from typing import IO, TYPE_CHECKING

from ahstore.chunks.cutter import CuttingParameters
from ahstore.codec.envelope import HEADER_BYTES
from ahstore.errors import CorruptError, InvalidInputError, ObjectNotFoundError
from ahstore.transfer.bundle_format import (
    END_BYTES,
    MAX_MANIFEST_BYTES,
    Manifest,
    PackEntry,
    decode_end,
    decode_table,
    envelope_length,
    unseal_manifest,
)
from ahstore.transfer.bundle_storage import BundlePacks
from ahstore.transfer.bundle_writer import failed
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

BLOCK_BYTES = 4 * 2**20


class BundleFile:
    """A bundle that is whole. Threads may share it; close it, or use it as a context manager.

    Attributes:
        name: of the file, for people.
        manifest: what it says of itself.
        packs: in it.
        packs_offset: where the first of them begins.
        size: bytes.
    """

    def __init__(self, file: IO[bytes], name: str, *, monitor: Monitor = SILENT) -> None:
        self.name = name
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        try:
            end = decode_end(self.read_at(max(0, self.size - END_BYTES), min(self.size, END_BYTES)))
            if end.digest != self._digest(monitor):
                raise CorruptError("its SHA-256 is not the one it ends with")
            self.manifest, self.packs_offset = self._read_manifest()
            self.packs = self._read_table(end.table_offset)
        except CorruptError as error:
            raise CorruptError(f"the bundle {name} is damaged: {error}", path=name) from error

    @classmethod
    def open(cls, path: str, *, monitor: Monitor = SILENT) -> BundleFile:
        """Open the bundle at ``path`` and read all of it once.

        Raises:
            ObjectNotFoundError: there is no such file.
            CorruptError: it is no bundle, or damaged.
            UnsupportedError: a later version wrote it.
        """
        try:
            file = open(path, "rb")  # noqa: SIM115  kept
        except FileNotFoundError:
            raise ObjectNotFoundError(f"there is no file {path}", path=path) from None
        except OSError as error:
            raise failed(error, path) from error
        return cls._opened(file, path, monitor)

    @classmethod
    def from_stream(
        cls, stream: IO[bytes], name: str = "-", *, monitor: Monitor = SILENT
    ) -> BundleFile:
        """Take a bundle from a stream, by a temporary file; raises as ``open``."""
        file = tempfile.TemporaryFile()  # noqa: SIM115  kept
        try:
            shutil.copyfileobj(stream, file, BLOCK_BYTES)
            file.flush()
        except OSError as error:
            file.close()
            raise failed(error, name) from error
        return cls._opened(file, name, monitor)

    @classmethod
    def _opened(cls, file: IO[bytes], name: str, monitor: Monitor) -> BundleFile:
        try:
            if not os.path.isfile(file.fileno()):
                raise InvalidInputError(f"{name} is not a file", path=name)
            return cls(file, name, monitor=monitor)
        except BaseException:
            file.close()
            raise

    def repository(self) -> Repository:
        """Return the bundle's packs as something to read objects from by address."""
        settings = {"id": self.manifest.store, "chunking": CuttingParameters().to_value()}
        return Repository(BundlePacks(self), settings, None)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on.

        Raises:
            CorruptError: the file is shorter.
        """
        parts = []
        while length:
            try:
                part = os.pread(self._file.fileno(), length, offset)
            except OSError as error:
                raise failed(error, self.name) from error
            if not part:
                raise CorruptError("it is cut off", path=self.name)
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _digest(self, monitor: Monitor) -> bytes:
        digest = hashlib.sha256()
        end = self.size - END_BYTES
        monitor.start(f"Checking {self.name}", bytes_=end)
        try:
            for offset in range(0, end, BLOCK_BYTES):
                block = self.read_at(offset, min(BLOCK_BYTES, end - offset))
                digest.update(block)
                monitor.advance(bytes_=len(block))
        finally:
            monitor.finish()
        return digest.digest()

    def _read_manifest(self) -> tuple[Manifest, int]:
        length = envelope_length(self.read_at(0, HEADER_BYTES))
        if length > MAX_MANIFEST_BYTES + HEADER_BYTES:
            raise CorruptError("its manifest is too long")
        return unseal_manifest(self.read_at(0, length)), length

    def _read_table(self, offset: int) -> list[PackEntry]:
        end = self.size - END_BYTES
        if not self.packs_offset <= offset <= end:
            raise CorruptError("its table of packs lies outside")
        packs = decode_table(self.read_at(offset, end - offset))
        if self.packs_offset + sum(pack.length for pack in packs) != offset:
            raise CorruptError("its packs do not fill it")
        return packs
