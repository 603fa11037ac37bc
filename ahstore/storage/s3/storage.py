"""A store under a prefix of an S3 bucket; implements docs/format/storage.md, "On S3".

What decides (a version of a cell) is one small ``PUT`` with ``If-None-Match: *``, never in parts.
The newest version of a cell is one listing of one key. Costs in requests: docs/scaling.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import chain

from ahstore.errors import CorruptError, InvalidInputError
from ahstore.storage.contract import (
    Capabilities,
    FileStat,
    FileWriter,
    MissingError,
    Range,
    Storage,
)
from ahstore.storage.locks import hold
from ahstore.storage.paths import (
    check_deletable,
    check_folder,
    check_hollowable,
    check_key,
    check_replaceable,
    version_number,
)
from ahstore.storage.s3.address import S3Address
from ahstore.storage.s3.client import Answer, Receive, RequestError, S3Client
from ahstore.storage.s3.clock import ServerClock
from ahstore.storage.s3.creation import create_once, create_settled
from ahstore.storage.s3.failures import Outcome
from ahstore.storage.s3.listing import (
    is_version,
    keys_of,
    list_folders,
    list_keys,
    list_page,
    list_uploads,
)
from ahstore.storage.s3.probe import Probe
from ahstore.storage.s3.reading import read_ahead, receive, receive_all
from ahstore.storage.s3.writer import S3Writer

_LOCK_SECONDS = 5.0


class S3Storage(Storage):
    """Files in a bucket.

    Args:
        address: where.
        scratch: a folder of this machine for locks and for what the probe found; what is in it may
            be lost. None: there are none among processes, and each process probes.

    Raises:
        StorageError: the configuration (a profile, say) is not there.
    """

    def __init__(self, address: S3Address, *, scratch: str | None = None) -> None:
        self._clock = ServerClock()
        self._client = S3Client(address, clock=self._clock)
        self._client.address = address.with_endpoint(self._client.endpoint())
        self.address = self._client.address
        self.url = self.address.url
        self.capabilities = Capabilities(
            far=True,
            shared_writers=not self.address.one_writer,
            ordered_listing=True,
            keeps_folders=False,
        )
        self._probe = Probe(self._client, scratch)
        self._fit = self.address.one_writer
        self._locks_folder = _locks_folder(scratch, self.url)
        self._locks: dict[str, threading.RLock] = {}

    @property
    def _conditional(self) -> bool:
        return not self.address.one_writer

    def _allow_writing(self) -> None:
        if not self._fit:
            self._probe.check()
            self._fit = True

    def create(self, key: str, data: bytes, *, durable: bool = True) -> None:  # noqa: ARG002
        """See ``Storage.create``. All that a bucket acknowledges is durable."""
        check_key(key)
        self._allow_writing()
        if key.startswith("cells/") and self._conditional:
            create_once(self._client, key, bytes(data))
        else:
            create_settled(self._client, key, bytes(data), conditional=self._conditional)

    def new_file(self, key: str) -> FileWriter:
        """See ``Storage.new_file``."""
        check_key(key)
        self._allow_writing()
        return S3Writer(self._client, key, conditional=self._conditional)

    def read(self, key: str) -> bytes:
        """See ``Storage.read``."""
        return bytes(self._get("get_object", check_key(key), read=receive_all)["Body"])

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See ``Storage.read_range``."""
        return bytes(self._client.run(self._read_range(Range(key, offset, length))))

    def read_ranges(self, ranges: Iterable[Range]) -> Iterator[bytes | memoryview]:
        """See ``Storage.read_ranges``."""
        return read_ahead(ranges, self._start_reading)

    def _start_reading(self, wanted: Range) -> Future[bytes | memoryview]:
        return self._client.submit(self._read_range(wanted))

    async def _read_range(self, wanted: Range) -> bytes | memoryview:
        key, offset, length = wanted
        if offset < 0 or length < 0:
            raise InvalidInputError(f"not a range: {offset}, {length}")
        check_key(key)
        try:
            if not length:
                await self._client.request("head_object", key)
                return b""
            answer = await self._client.request(
                "get_object",
                key,
                read=receive(length),
                Range=f"bytes={offset}-{offset + length - 1}",
            )
        except RequestError as failed:
            if failed.outcome is Outcome.BEYOND:
                raise _truncated(wanted, 0) from None
            raise self._error(failed, key) from failed.error
        data: bytes | memoryview = answer["Body"]
        if len(data) != length:
            raise _truncated(wanted, len(data))
        return data

    def exists(self, key: str) -> bool:
        """See ``Storage.exists``."""
        try:
            self._get("head_object", check_key(key))
        except MissingError:
            return False
        return True

    def stat(self, key: str) -> FileStat:
        """See ``Storage.stat``."""
        answer = self._get("head_object", check_key(key))
        return FileStat(answer["ContentLength"], answer["LastModified"].timestamp())

    def _get(self, operation: str, key: str, *, read: Receive | None = None) -> Answer:
        try:
            return self._client.call(operation, key, read=read)
        except RequestError as failed:
            raise self._error(failed, key) from failed.error

    def _error(self, failed: RequestError, key: str) -> Exception:
        if failed.outcome is Outcome.MISSING:
            return MissingError(key)
        return self._client.failure(failed, key)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """See ``Storage.list``. A request for each 1,000 keys, as they are taken."""
        return list_keys(self._client, check_folder(prefix), after=after, limit=limit)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See ``Storage.list_folders``."""
        return list_folders(self._client, check_folder(prefix))

    def newest_version(self, folder: str, *, at_least: int = -1) -> int:
        """See ``Storage.newest_version``. One request, whatever is known."""
        answer = list_page(self._client, check_folder(folder), MaxKeys=1)
        keys = keys_of(self._client, answer)
        if answer.get("IsTruncated"):
            # Something else may sort first: the folder's own marker, as some tools leave it.
            keys = chain(keys, self.list(folder))
        for key in keys:
            name = key[len(folder) :]
            if is_version(name):
                return max(version_number(name), at_least)
        return at_least

    def replace(self, key: str, data: bytes) -> None:
        """See ``Storage.replace``."""
        check_replaceable(key)
        self._allow_writing()
        self._change("put_object", key, bytes(data))

    def hollow(self, key: str, data: bytes) -> None:
        """See ``Storage.hollow``."""
        self.stat(check_hollowable(key))
        self._allow_writing()
        self._change("put_object", key, bytes(data))

    def clean_leftovers(self, older_than: float) -> int:
        """See ``Storage.clean_leftovers``: uploads in parts that were never completed."""
        self._allow_writing()
        removed = 0
        for key, upload in list_uploads(self._client, older_than):
            try:
                self._client.call("abort_multipart_upload", key, UploadId=upload)
            except RequestError as failed:
                if failed.outcome not in (Outcome.NO_UPLOAD, Outcome.MISSING):
                    raise self._error(failed, key) from failed.error
            else:
                removed += 1
        return removed

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
        check_deletable(key)
        self._allow_writing()
        with contextlib.suppress(MissingError):
            self._change("delete_object", key, None)

    def _change(self, operation: str, key: str, body: bytes | None) -> None:
        try:
            self._client.call(operation, key, body=body)
        except RequestError as failed:
            raise self._error(failed, key) from failed.error

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """See ``Storage.lock``. Without a ``scratch`` folder it holds among threads only."""
        if self._locks_folder is not None:
            with contextlib.suppress(OSError):
                os.makedirs(self._locks_folder, mode=0o700, exist_ok=True)
            with hold(self._locks_folder, name):
                yield
            return
        lock = self._locks.setdefault(name, threading.RLock())
        held = lock.acquire(timeout=_LOCK_SECONDS)
        try:
            yield
        finally:
            if held:
                lock.release()

    def now(self) -> float:
        """See ``Storage.now``: the server's clock, by the header ``Date`` of its answers."""
        if not self._clock.known:
            list_page(self._client, "", MaxKeys=1)
        return self._clock.now()

    def location(self, key: str) -> str:
        """See ``Storage.location``."""
        return self.address.place + key

    def close(self) -> None:
        """See ``Storage.close``."""
        self._client.close()


def _truncated(wanted: Range, got: int) -> CorruptError:
    key, offset, length = wanted
    return CorruptError(
        f"{key} is truncated: {length} bytes from {offset} on were expected, {got} are there",
        key=key,
        offset=offset,
        length=length,
    )


def _locks_folder(scratch: str | None, url: str) -> str | None:
    if scratch is None:
        return None
    return os.path.join(scratch, "s3-locks", hashlib.sha256(url.encode()).hexdigest()[:32])
