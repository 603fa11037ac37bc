"""A proxy before an S3 server that loses answers, refuses, resets and dawdles, as networks do.

Requests pass unchanged (their signatures stay good), and are counted: so it also tells what an
operation costs. Which fault strikes which request is said by a plan: ``Script`` or ``Chaos``.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_RST = struct.pack("ii", 1, 0)
LATE_SECONDS = 0.3
DELAY_SECONDS = 0.2


class Fault(enum.Enum):
    """What may happen to a request."""

    ERROR_BEFORE = "answered 500, not done"
    ERROR_AFTER = "done, but answered 500"
    CONFLICT = "answered 409, not done"
    TAKEN = "answered 412, not done: a lie"
    BUSY = "answered 503 SlowDown, not done"
    RESET_BEFORE = "the connection breaks, not done"
    RESET_AFTER = "done, then the connection breaks"
    LATE = "the connection breaks, and later it is done all the same"
    DELAY = "done, after a while"
    DELAY_ANSWER = "done, answered after a while"
    CUT = "done, and the answer's body breaks off in the middle"


ALWAYS_POSSIBLE = (
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.BUSY,
    Fault.RESET_BEFORE,
    Fault.RESET_AFTER,
    Fault.DELAY,
    Fault.DELAY_ANSWER,
)
_ANSWERS = {
    Fault.ERROR_BEFORE: ("500 Internal Server Error", "InternalError"),
    Fault.ERROR_AFTER: ("500 Internal Server Error", "InternalError"),
    Fault.CONFLICT: ("409 Conflict", "ConditionalRequestConflict"),
    Fault.TAKEN: ("412 Precondition Failed", "PreconditionFailed"),
    Fault.BUSY: ("503 Service Unavailable", "SlowDown"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: ``key`` is the path behind the bucket."""

    method: str
    key: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body_bytes: int

    @property
    def operation(self) -> str:
        """Its name in S3, as far as this store uses it."""
        if "uploads" in self.query:
            return "CreateMultipartUpload" if self.method == "POST" else "ListMultipartUploads"
        if "uploadId" in self.query:
            return {
                "PUT": "UploadPart",
                "POST": "CompleteMultipartUpload",
                "DELETE": "AbortMultipartUpload",
            }.get(self.method, self.method)
        if self.method == "GET" and "list-type" in self.query:
            return "ListObjects"
        return {"GET": "Get", "HEAD": "Head", "PUT": "Put", "DELETE": "Delete"}.get(
            self.method, self.method
        )

    @property
    def is_conditional(self) -> bool:
        """Whether it is to create a file that is not there yet."""
        return "if-none-match" in self.headers


Plan = Callable[[Request], "Fault | None"]


@dataclass(slots=True)
class Script:
    """Strikes the requests that ``matches`` picks by the faults of ``faults``, one after another."""

    matches: Callable[[Request], bool]
    faults: Sequence[Fault | None]
    struck: list[tuple[Request, Fault]] = field(default_factory=list)
    _met: int = 0

    def __call__(self, request: Request) -> Fault | None:
        """Return the fault for ``request``."""
        if not self.matches(request) or self._met >= len(self.faults):
            return None
        fault = self.faults[self._met]
        self._met += 1
        if fault is not None:
            self.struck.append((request, fault))
        return fault


class Chaos:
    """Strikes a share ``rate`` of all requests, at random but by a seed."""

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self.struck: Counter[Fault] = Counter()

    def __call__(self, request: Request) -> Fault | None:
        """Return the fault for ``request``."""
        if self._random.random() >= self._rate:
            return None
        faults = [*ALWAYS_POSSIBLE]
        if request.is_conditional:
            faults += [Fault.CONFLICT, Fault.TAKEN, Fault.LATE]
        if request.operation == "Get":
            faults.append(Fault.CUT)
        fault = self._random.choice(faults)
        self.struck[fault] += 1
        return fault


class FaultProxy:
    """Listens on a port of its own, ``endpoint``, and passes requests on to ``upstream``.

    Use it as a context manager. ``requests`` has all that came, struck ones and repeats too.
    """

    def __init__(self, upstream: str, plan: Plan | None = None) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        assert parts.port is not None
        self._upstream = (parts.hostname, parts.port)
        self.plan: Plan | None = plan
        self.requests: list[Request] = []
        self.endpoint = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def counts(self) -> Counter[str]:
        """Return the number of requests by operation."""
        return Counter(request.operation for request in self.requests)

    def clear(self) -> None:
        """Forget the requests so far."""
        self.requests.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**18), self._loop
        ).result(10)
        port = self._server.sockets[0].getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # lets the connections close

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve the next request of a connection; False when that is over."""
        head = await _read_head(reader)
        if head is None:
            return False
        line, headers = head
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = _parse(line, headers, len(body))
        self.requests.append(request)
        fault = self.plan(request) if self.plan is not None else None
        return await self._answer(writer, request, fault, _message(line, headers, body))

    async def _answer(
        self, writer: asyncio.StreamWriter, request: Request, fault: Fault | None, message: bytes
    ) -> bool:
        if fault is Fault.RESET_BEFORE:
            return _reset(writer)
        if fault is Fault.LATE:
            task = self._loop.create_task(self._pass_on_late(request, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return _reset(writer)
        if fault is Fault.DELAY:
            await asyncio.sleep(DELAY_SECONDS)
        if fault in (Fault.ERROR_BEFORE, Fault.CONFLICT, Fault.TAKEN, Fault.BUSY):
            answer = _error(request, fault)
        else:
            answer = await self._pass_on(request, message)
        if fault is Fault.RESET_AFTER:
            return _reset(writer)
        if fault is Fault.DELAY_ANSWER:
            await asyncio.sleep(DELAY_SECONDS)
        if fault is Fault.ERROR_AFTER:
            answer = _error(request, fault)
        if fault is Fault.CUT:
            writer.write(answer[: len(answer) - len(answer.partition(b"\r\n\r\n")[2]) // 2 - 1])
            await writer.drain()
            return False
        writer.write(answer)
        await writer.drain()
        return True

    async def _pass_on_late(self, request: Request, message: bytes) -> None:
        await asyncio.sleep(LATE_SECONDS)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._pass_on(request, message)

    async def _pass_on(self, request: Request, message: bytes) -> bytes:
        """Send a request to the server and return its whole answer."""
        reader, writer = await asyncio.open_connection(*self._upstream, limit=2**18)
        try:
            writer.write(message)
            await writer.drain()
            head = await _read_head(reader)
            if head is None:
                raise ConnectionResetError
            line, headers = head
            body = await _read_body(reader, request, line, headers)
        finally:
            writer.close()
        headers.pop("transfer-encoding", None)
        headers.pop("connection", None)
        if request.method != "HEAD":
            headers["content-length"] = str(len(body))
        return _message(line, headers, body)


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.decode("latin-1").split("\r\n")
    pairs = (header.partition(":") for header in rest if header)
    return line, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _read_body(
    reader: asyncio.StreamReader, request: Request, line: str, headers: dict[str, str]
) -> bytes:
    status = int(line.split()[1])
    if request.method == "HEAD" or status in (204, 304):
        return b""
    if "chunked" in headers.get("transfer-encoding", ""):
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()


def _parse(line: str, headers: dict[str, str], body_bytes: int) -> Request:
    method, target, _ = line.split(" ", 2)
    parts = urlsplit(target)
    key = unquote(parts.path).lstrip("/").partition("/")[2]
    query = parse_qs(parts.query, keep_blank_values=True)
    return Request(method, key, query, headers, body_bytes)


def _message(line: str, headers: dict[str, str], body: bytes) -> bytes:
    kept = {name: value for name, value in headers.items() if name != "expect"}
    if line.startswith("HTTP/"):
        kept["connection"] = "keep-alive"
    else:
        kept["connection"] = "close"
    lines = [line, *(f"{name}: {value}" for name, value in kept.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _error(request: Request, fault: Fault) -> bytes:
    status, code = _ANSWERS[fault]
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"
    body = b"" if request.method == "HEAD" else text.encode()
    headers = {"content-type": "application/xml", "content-length": str(len(body))}
    return _message(f"HTTP/1.1 {status}", headers, body)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Break a connection off, as a peer that has died would."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()
    return False
