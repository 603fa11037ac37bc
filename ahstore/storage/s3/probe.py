"""Does the server keep its word? Tried out before the first write of a process.

A server that does not know ``If-None-Match`` ignores it, and then two writers both win and an
acknowledged commit is lost. Two conditional creations race for a key that nobody else uses, and a
third comes late: exactly one may succeed. The good answer is remembered on this machine for some
days, for this server and bucket alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import time

from ahstore.errors import UnsupportedError
from ahstore.storage.s3.client import RequestError, S3Client
from ahstore.storage.s3.failures import Outcome
from ahstore.storage.s3.reading import receive_all

REMEMBERED_SECONDS = 7 * 24 * 3600.0
_FOLDER = "s3-probes"


class Probe:
    """Finds out whether conditional creations hold; ``scratch`` is a folder of this machine."""

    def __init__(self, client: S3Client, scratch: str | None) -> None:
        self._client = client
        self._note: str | None = None
        if scratch is not None:
            address = client.address
            place = f"{address.options.get('endpoint_url', '')}\n{address.bucket}"
            name = hashlib.sha256(place.encode()).hexdigest()[:32]
            self._note = os.path.join(scratch, _FOLDER, name)

    def check(self) -> None:
        """Return if the server is fit for several writers.

        Raises:
            UnsupportedError: it is not.
            StorageError: it can't be found out; writing is not allowed, say.
        """
        if self._is_remembered():
            return
        key = f"hints/probe/{secrets.token_hex(16)}"
        try:
            winners = self._client.run(self._race(key))
        except RequestError as failed:
            if failed.outcome is Outcome.UNABLE:
                raise self._unfit("does not know conditional writes") from failed.error
            raise self._client.failure(failed, key) from failed.error
        finally:
            with contextlib.suppress(RequestError):
                self._client.call("delete_object", key)
        if winners != 1:
            raise self._unfit("ignores the condition of conditional writes (If-None-Match)")
        self._remember()

    async def _race(self, key: str) -> int:
        """Return how many of three creations of one key succeeded."""
        racing = await asyncio.gather(self._create(key, 0), self._create(key, 1))
        return sum(racing) + await self._create(key, 2)

    async def _create(self, key: str, who: int) -> bool:
        # Sent again if the answer is lost: then "taken" may mean this very one, so look.
        body = b"probe %d" % who
        try:
            await self._client.request("put_object", key, body=body, IfNoneMatch="*")
        except RequestError as failed:
            if failed.outcome is not Outcome.TAKEN:
                raise
            there = await self._client.request("get_object", key, read=receive_all)
            return bool(there["Body"] == body)
        return True

    def _unfit(self, why: str) -> UnsupportedError:
        address = self._client.address
        return UnsupportedError(
            f"the server of {address.place} {why}: several writers would overwrite one another's "
            "commits. Reading works. To write, use a server that keeps conditions (AWS, SeaweedFS "
            "4.48 or newer, MinIO, Ceph …); or, if you make sure that one process writes at a "
            "time, add writers=one to the store's URL",
            url=address.url,
        )

    def _is_remembered(self) -> bool:
        if self._note is None:
            return False
        try:
            age = time.time() - os.stat(self._note).st_mtime
        except OSError:
            return False
        return 0 <= age < REMEMBERED_SECONDS

    def _remember(self) -> None:
        if self._note is None:
            return
        with contextlib.suppress(OSError):  # then the next process tries again
            os.makedirs(os.path.dirname(self._note), exist_ok=True)
            with open(self._note, "w", encoding="ascii"):
                os.utime(self._note)
