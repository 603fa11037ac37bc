"""Requests to one S3 server: on fsspec's loop thread, one client a process, retried by rule.

Neither botocore nor s3fs may send anything again by itself: what may be sent twice is decided
here, by what the request means. (aiohttp still repeats a request when a connection that had been
kept open turns out to be closed: so "taken" may always be one's own success.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from io import BytesIO
from typing import Any, TypeVar

from s3fs import S3FileSystem

from ahstore.errors import AhError
from ahstore.storage.redaction import REDACTION
from ahstore.storage.s3.address import S3Address
from ahstore.storage.s3.clock import ServerClock
from ahstore.storage.s3.failures import Outcome, is_request_error, outcome_of, typed_error
from ahstore.storage.s3.models import new_session

Result = TypeVar("Result")
Answer = dict[str, Any]
Receive = Callable[[Any], Awaitable[bytes | memoryview]]
"""Reads the body of an answer, which is a stream of aiobotocore's."""

TRIES = 7
PARTS_IN_FLIGHT = 5
_FIRST_NAP_SECONDS = 0.1
_LONGEST_NAP_SECONDS = 5.0
_WIRE_BYTES = 512 * 1024
"""A larger body goes as a stream, so that it is not copied into the socket's buffer at once."""


class RequestError(Exception):
    """A request failed; ``outcome`` says what that means. Never leaves this package.

    ``doubtful``: an earlier sending of the same request was lost, and may have been done.
    """

    def __init__(self, outcome: Outcome, error: Exception, *, doubtful: bool) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.error = error
        self.doubtful = doubtful


class S3Client:
    """Sends requests about one bucket. Threads share it; after a fork it starts anew."""

    def __init__(self, address: S3Address, *, clock: ServerClock) -> None:
        self.address = address
        self._clock = clock
        self._systems: dict[int, S3FileSystem] = {}
        self._slots: dict[int, threading.BoundedSemaphore] = {}
        self._watched: object = None
        REDACTION.learn(address.secret.values())
        REDACTION.learn((address.secret.get("client_kwargs") or {}).values())

    # A loop, its thread and its connections do not survive a fork: each process has its own.
    @property
    def _system(self) -> S3FileSystem:
        found = self._systems.get(os.getpid())
        if found is None:
            made = S3FileSystem(**self.address.file_system_options())
            made.session = new_session(**made.kwargs)
            found = self._systems.setdefault(os.getpid(), made)
        return found

    @property
    def part_slots(self) -> threading.BoundedSemaphore:
        """To be held for each part of a large file that is on its way."""
        found = self._slots.get(os.getpid())
        if found is None:
            found = self._slots.setdefault(os.getpid(), threading.BoundedSemaphore(PARTS_IN_FLIGHT))
        return found

    def endpoint(self) -> str | None:
        """Return the server that the configuration leads to; None: one of AWS's own.

        Raises:
            StorageError: there is no such profile, or the configuration is malformed.
        """
        try:
            meta = self.run(self._connected()).meta
        except Exception as error:
            if isinstance(error, AhError) or not is_request_error(error):
                raise
            raise typed_error(error, self.address.place, redact=REDACTION.hide) from None
        url: str = meta.endpoint_url
        host = url.partition("://")[2].partition("/")[0].partition(":")[0]
        return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else url

    async def _connected(self) -> Any:
        client = await self._system.set_session()
        # Each time: credentials of a role are renewed now and then.
        credentials = await self._system.session.get_credentials()
        if credentials is not None:
            frozen = await credentials.get_frozen_credentials()
            REDACTION.learn((frozen.secret_key, frozen.token))
        if client is not self._watched:
            self._watched = client
            REDACTION.watch()
        return client

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the loop and wait for it."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._system.loop)

    def call(self, operation: str, key: str, **arguments: Any) -> Answer:
        """Send a request that may be sent twice, and wait; see ``request``."""
        return self.run(self.request(operation, key, **arguments))

    async def request(
        self,
        operation: str,
        key: str,
        *,
        body: bytes | None = None,
        repeat_lost: bool = True,
        read: Receive | None = None,
        **arguments: Any,
    ) -> Answer:
        """Send a request about ``key`` of the store; try again, jittered, what may be.

        Args:
            operation: the name of a method of botocore's S3 client.
            key: relative to the store's prefix; it becomes ``Key``.
            body: it becomes ``Body``.
            repeat_lost: send again also after the answer was lost.
            read: reads the answer's body, which is then its ``"Body"``.
            arguments: more of the operation's; a misspelt one is refused, not dropped.

        Raises:
            RequestError: it failed for good.
        """
        doubtful = False
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._once(operation, key, body, read, arguments)
            except Exception as error:
                if not is_request_error(error):
                    raise
                outcome = outcome_of(error)
                again = outcome is Outcome.BUSY or (outcome is Outcome.LOST and repeat_lost)
                if not again or not tries_left:
                    raise RequestError(outcome, error, doubtful=doubtful) from error
                doubtful = doubtful or outcome is Outcome.LOST
            await asyncio.sleep(nap(TRIES - 1 - tries_left))
        raise AssertionError("unreachable")

    async def _once(
        self,
        operation: str,
        key: str,
        body: bytes | None,
        read: Receive | None,
        arguments: Mapping[str, Any],
    ) -> Answer:
        client = await self._connected()
        system = self._system
        sent: dict[str, Any] = {**system.req_kw, **arguments, "Bucket": self.address.bucket}
        if operation not in _WITHOUT_KEY:
            sent["Key"] = self.address.prefix + key
        if operation in _MAKING:
            sent = {**system.s3_additional_kwargs, **sent}
        if body is not None:
            sent["Body"] = body if len(body) <= _WIRE_BYTES else BytesIO(body)
        started = time.time()
        answer: Answer = await getattr(client, operation)(**sent)
        self._clock.note(answer, started)
        if read is not None:
            stream = answer["Body"]
            try:
                answer["Body"] = await read(stream)
            finally:
                stream.close()
        return answer

    def failure(self, failed: RequestError, key: str) -> AhError:
        """Return the library's error for a request that failed for good."""
        return self.typed(failed.error, key)

    def typed(self, error: Exception, key: str) -> AhError:
        """Return the library's error for what a request raised."""
        return typed_error(error, self.address.place + key, redact=REDACTION.hide)

    def close(self) -> None:
        """Close this process's connections."""
        system = self._systems.pop(os.getpid(), None)
        if system is None or system._s3 is None:
            return
        with contextlib.suppress(Exception):  # what can't be closed goes with the process
            asyncio.run_coroutine_threadsafe(_close(system), system.loop).result(timeout=5)


_MAKING = frozenset(("put_object", "create_multipart_upload"))
_WITHOUT_KEY = frozenset(("list_objects_v2", "list_multipart_uploads"))


async def _close(system: S3FileSystem) -> None:
    client = await system.set_session()
    await client.close()


def nap(tries: int) -> float:
    """Return how many seconds to wait after so many tries: more each time, and never the same."""
    longest = min(_FIRST_NAP_SECONDS * 2**tries, _LONGEST_NAP_SECONDS)
    return float(longest * random.uniform(0.3, 1.0))  # noqa: S311 (spreads load, keeps no secret)
