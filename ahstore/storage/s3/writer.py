"""A large file on its way into a bucket: in parts, several at once, in bounded memory.

What fits in one part goes as a single conditional creation. The names of packs are random: the
condition on the completion of many parts, which not all servers keep, only guards against errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from ahstore.errors import StorageError
from ahstore.storage.contract import AlreadyThereError, FileWriter, UnsettledError
from ahstore.storage.s3.client import Answer, RequestError, S3Client
from ahstore.storage.s3.creation import create_settled
from ahstore.storage.s3.failures import Outcome

if TYPE_CHECKING:
    from typing_extensions import Buffer

PART_BYTES = 12 * 2**20
"""All parts but the last have this size, as some servers demand; 10,000 make 117 GiB."""

MAX_PARTS = 10_000


class S3Writer(FileWriter):
    """Writes the file ``key``; ``conditional`` says whether the server keeps conditions."""

    def __init__(self, client: S3Client, key: str, *, conditional: bool) -> None:
        self.key = key
        self._client = client
        self._conditional = conditional
        self._pid = os.getpid()
        self._pieces: list[bytes | memoryview] = []
        self._waiting = 0
        self._size = 0
        self._upload: Future[Answer] | None = None
        self._parts: list[Future[Answer]] = []
        self._flying: set[Future[Answer]] = set()
        self._closed = False

    def write(self, data: Buffer) -> None:
        """See ``FileWriter.write``. Waits when enough parts are on their way."""
        self._check_open()
        piece = data if type(data) is bytes else bytes(data)
        self._pieces.append(piece)
        self._waiting += len(piece)
        self._size += len(piece)
        # A part goes when more than it is there: so a file of one part is no upload in parts.
        while self._waiting > PART_BYTES:
            self._send_part(self._take(PART_BYTES))

    def write_all(self, parts: Sequence[bytes | memoryview]) -> None:
        """See ``FileWriter.write_all``. They are joined once, when a part of the file goes."""
        for part in parts:
            self.write(part)

    def tell(self) -> int:
        """See ``FileWriter.tell``."""
        return self._size

    def _take(self, size: int) -> bytes:
        """Return the first ``size`` bytes that wait: all, or all but some of the last piece."""
        pieces, excess = self._pieces, self._waiting - size
        self._pieces, self._waiting = [], excess
        if excess:
            last = memoryview(pieces.pop())
            pieces.append(last[:-excess])
            self._pieces.append(last[-excess:])
        return b"".join(pieces)

    def _send_part(self, body: bytes) -> None:
        if len(self._parts) == MAX_PARTS:
            raise StorageError(f"{self.key}: a file in S3 has at most {MAX_PARTS} parts")
        if self._upload is None:
            self._upload = self._client.submit(
                self._client.request("create_multipart_upload", self.key)
            )
        # Shared by all files of the store that are being written: it bounds their memory.
        slots = self._client.part_slots
        slots.acquire()
        try:
            self._collect_landed()
        except BaseException:
            slots.release()
            raise
        number = len(self._parts) + 1
        sent = self._client.submit(self._put_part(self._upload, number, body))
        sent.add_done_callback(lambda _: slots.release())
        self._parts.append(sent)
        self._flying.add(sent)

    def _collect_landed(self) -> None:
        landed = {part for part in self._flying if part.done()}
        self._flying -= landed
        for part in landed:
            self._result(part)

    async def _put_part(self, upload: Future[Answer], number: int, body: bytes) -> Answer:
        # Shielded: a part that is given up must not take the upload with it.
        answer = await asyncio.shield(asyncio.wrap_future(upload))
        return await self._client.request(
            "upload_part", self.key, body=body, UploadId=answer["UploadId"], PartNumber=number
        )

    def _result(self, part: Future[Answer]) -> Answer:
        try:
            return part.result()
        except RequestError as failed:
            raise self._client.failure(failed, self.key) from failed.error

    def commit(self) -> None:
        """See ``FileWriter.commit``."""
        self._check_open()
        body = self._take(self._waiting)
        try:
            if self._upload is None:
                create_settled(self._client, self.key, body, conditional=self._conditional)
            else:
                if body:
                    self._send_part(body)
                self._complete(self._upload)
                self._upload = None
        finally:
            self.abort()

    def _complete(self, upload: Future[Answer]) -> None:
        parts = [
            {"PartNumber": number, "ETag": self._result(part)["ETag"]}
            for number, part in enumerate(self._parts, 1)
        ]
        arguments: dict[str, Any] = {
            "UploadId": self._result(upload)["UploadId"],
            "MultipartUpload": {"Parts": parts},
        }
        condition = {"IfNoneMatch": "*"} if self._conditional else {}
        try:
            self._client.call("complete_multipart_upload", self.key, **arguments, **condition)
        except RequestError as failed:
            if failed.outcome is Outcome.UNABLE and condition:
                self._conditional = False
                self._complete(upload)
                return
            self._settle(failed)

    def _settle(self, failed: RequestError) -> None:
        """Find out whether a completion that did not answer well has happened."""
        doubtful = failed.doubtful or failed.outcome is Outcome.LOST
        if failed.outcome is Outcome.TAKEN and not doubtful:
            raise AlreadyThereError(self.key) from failed.error
        if not doubtful:
            raise self._client.failure(failed, self.key) from failed.error
        try:
            size = self._client.call("head_object", self.key)["ContentLength"]
        except RequestError as look:
            error = self._client.failure(failed, self.key)
            if look.outcome is Outcome.MISSING and failed.outcome is not Outcome.LOST:
                raise error from failed.error
            raise UnsettledError(error.message, key=self.key) from failed.error
        if size != self._size:
            raise AlreadyThereError(self.key) from failed.error

    def abort(self) -> None:
        """See ``FileWriter.abort``. What can't be removed is left to a rule of the bucket."""
        self._closed = True
        self._pieces = []
        upload, self._upload = self._upload, None
        if upload is None or self._pid != os.getpid():
            return
        for part in self._parts:
            part.cancel()
        with contextlib.suppress(Exception):
            wait(self._parts, timeout=30)
            upload_id = upload.result(timeout=30)["UploadId"]
            self._client.call("abort_multipart_upload", self.key, UploadId=upload_id)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"the file {self.key} is not being written any more")
