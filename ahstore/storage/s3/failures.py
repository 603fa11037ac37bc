"""What went wrong with a request, sorted by what may be done about it.

The one question that matters of a failed creation: did it surely not happen, or may it have?
Connections that are lost are told apart by botocore's and aiohttp's exceptions; those of botocore
alone do not say whether the request had left.
"""

from __future__ import annotations

import asyncio
import enum
import socket
from collections.abc import Callable

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from ahstore.errors import AhError, NotFoundError, StorageError


class Outcome(enum.Enum):
    """What a failure says of its request."""

    MISSING = "there is no such key"
    NO_BUCKET = "there is no such bucket"
    NO_UPLOAD = "there is no such upload (any more)"
    TAKEN = "the key is taken"
    BEYOND = "the range lies beyond the end"
    BUSY = "it was not done; to be tried again"
    LOST = "it was done or not, or will be"
    UNABLE = "the server knows no such operation or condition"
    REFUSED = "it was not done, and will not be"


_BY_CODE = {
    "NoSuchBucket": Outcome.NO_BUCKET,
    "NoSuchKey": Outcome.MISSING,
    "NoSuchUpload": Outcome.NO_UPLOAD,
    "PreconditionFailed": Outcome.TAKEN,
    "InvalidRange": Outcome.BEYOND,
    "ConditionalRequestConflict": Outcome.BUSY,
    "OperationAborted": Outcome.BUSY,
    "SlowDown": Outcome.BUSY,
    "TooManyRequests": Outcome.BUSY,
    "Throttling": Outcome.BUSY,
    "ThrottlingException": Outcome.BUSY,
    "RequestLimitExceeded": Outcome.BUSY,
    "RequestTimeout": Outcome.BUSY,  # the server waited in vain for the whole request
    "IncompleteBody": Outcome.BUSY,
    "BadDigest": Outcome.BUSY,
    "XAmzContentSHA256Mismatch": Outcome.BUSY,
    "XAmzContentChecksumMismatch": Outcome.BUSY,
    "NotImplemented": Outcome.UNABLE,
}
_BY_STATUS = {
    404: Outcome.MISSING,
    409: Outcome.BUSY,
    412: Outcome.TAKEN,
    416: Outcome.BEYOND,
    429: Outcome.BUSY,
    501: Outcome.UNABLE,
}
_HINTS = {
    "AccessDenied": "the credentials do not allow it",
    "403": "the credentials do not allow it",
    "InvalidAccessKeyId": "the server does not know the access key",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "ExpiredToken": "the credentials have expired: renew them",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "PermanentRedirect": "the bucket lies in another region: add ?region=…",
    "AuthorizationHeaderMalformed": "the bucket lies in another region: add ?region=…",
}
LOST_CONNECTION = (
    HTTPClientError,
    ResponseStreamingError,
    ResponseParserError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    ConnectionError,
)


def outcome_of(error: Exception) -> Outcome:
    """Return what ``error``, raised by a request, says of it."""
    if isinstance(error, ClientError):
        return _of_answer(error)
    if isinstance(error, ConnectTimeoutError):
        return Outcome.BUSY
    if isinstance(error, EndpointConnectionError):
        # aiobotocore says so of every lost connection, also after the request had left.
        reason = error.kwargs.get("error")
        never_met = isinstance(reason, aiohttp.ClientConnectorError | socket.gaierror)
        return Outcome.BUSY if never_met else Outcome.LOST
    return Outcome.LOST if isinstance(error, LOST_CONNECTION) else Outcome.REFUSED


def _of_answer(error: ClientError) -> Outcome:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    known = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if known is None:
        return Outcome.LOST if status >= 500 else Outcome.REFUSED
    return known


def is_request_error(error: BaseException) -> bool:
    """Tell whether ``error`` is one that requests raise."""
    return isinstance(error, (ClientError, BotoCoreError, OSError, *LOST_CONNECTION))


def typed_error(error: Exception, place: str, *, redact: Callable[[str], str]) -> AhError:
    """Return the library's error for a request about ``place``, without secrets."""
    details: dict[str, object] = {"path": place}
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        code = answer.get("Code", "")
        details["code"] = code
        if outcome_of(error) is Outcome.NO_BUCKET:
            bucket = place.split("/")[2]
            return NotFoundError(f"there is no bucket {bucket}: make it first", path=place)
        reason = _HINTS.get(code) or answer.get("Message") or "no reason given"
        return StorageError(redact(f"{place}: {reason} ({code})"), **details)
    if isinstance(error, NoCredentialsError):
        reason = (
            "no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile"
        )
    elif isinstance(error, ParamValidationError):
        reason = "the request is malformed"
    else:
        reason = f"{error}" or type(error).__name__
    return StorageError(redact(f"{place}: {reason}"), **details)
