"""Creating a small file by one conditional request, and what may be made of its failures.

A version of a cell is sent once, and if the answer is lost the caller is told: cells settle that
by their nonce. All else has content of its own under a name of its own, and is settled here: what
is there with the same bytes is ours.
"""

from __future__ import annotations

from typing import Any

from ahstore.storage.contract import AlreadyThereError, UnsettledError
from ahstore.storage.s3.client import RequestError, S3Client
from ahstore.storage.s3.failures import Outcome
from ahstore.storage.s3.reading import receive_all

_TRIES = 4


def create_once(client: S3Client, key: str, data: bytes) -> None:
    """Create a file; a lost answer is not looked into.

    Raises:
        AlreadyThereError: the key is taken, perhaps by this very creation.
        UnsettledError: no clear answer came.
        StorageError: it was refused; nothing was created.
    """
    try:
        client.call("put_object", key, body=data, repeat_lost=False, IfNoneMatch="*")
    except RequestError as failed:
        if failed.outcome is Outcome.TAKEN:
            raise AlreadyThereError(key) from failed.error
        error = client.failure(failed, key)
        if failed.outcome is Outcome.LOST:
            raise UnsettledError(error.message, key=key) from failed.error
        raise error from failed.error


def create_settled(client: S3Client, key: str, data: bytes, *, conditional: bool) -> None:
    """Create a file; sent again until its outcome is clear.

    Raises:
        AlreadyThereError: the key is taken by other bytes.
        UnsettledError: no clear answer came, again and again.
        StorageError: it was refused; nothing was created.
    """
    condition: dict[str, Any] = {"IfNoneMatch": "*"} if conditional else {}
    try:
        if not conditional and _find(client, key) is not None:
            raise AlreadyThereError(key)
        for _ in range(_TRIES):
            if _send(client, key, data, condition):
                return
    except RequestError as failed:
        error = client.failure(failed, key)
        if failed.doubtful or failed.outcome is Outcome.LOST:
            raise UnsettledError(error.message, key=key) from failed.error
        raise error from failed.error
    raise UnsettledError(f"{client.address.place}{key}: taken, but not there", key=key)


def _send(client: S3Client, key: str, data: bytes, condition: dict[str, Any]) -> bool:
    """Send a file; False if it is said to be there, and is not."""
    try:
        client.call("put_object", key, body=data, **condition)
    except RequestError as failed:
        if failed.outcome is not Outcome.TAKEN:
            raise
        ours = _find_ours(client, key, data)
        if ours is False:
            raise AlreadyThereError(key) from failed.error
        return bool(ours)
    return True


def _find_ours(client: S3Client, key: str, data: bytes) -> bool | None:
    """Tell whether what is there has these bytes; None: nothing is there."""
    try:
        size = _find(client, key)
        if size != len(data):
            return None if size is None else False
        return bool(client.call("get_object", key, read=receive_all)["Body"] == data)
    except RequestError as failed:
        error = client.failure(failed, key)
        raise UnsettledError(error.message, key=key) from failed.error


def _find(client: S3Client, key: str) -> int | None:
    try:
        return int(client.call("head_object", key)["ContentLength"])
    except RequestError as failed:
        if failed.outcome is Outcome.MISSING:
            return None
        raise
