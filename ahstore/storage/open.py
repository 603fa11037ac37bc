"""From a store's URL to its storage."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from ahstore.errors import InvalidInputError, UnsupportedError
from ahstore.storage.contract import Storage
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=//)")
_MEMORY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def open_storage(
    url: str,
    *,
    create: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    scratch: str | None = None,
) -> Storage:
    """Return the storage at ``url``.

    That is ``file:///folder``, a plain path, ``memory://name``,
    ``s3://bucket/prefix``, or what else fsspec knows.

    Args:
        url: where; a plain path may be relative to the working directory.
        create: make the place if it is not there; that does not make a store of it yet.
        storage_options: arguments for the file system of fsspec (s3fs …); may hold credentials.
        scratch: a folder of this machine, for locks and what else may be lost.

    Raises:
        NotFoundError: the place is not there, and ``create`` is not asked for.
        InvalidInputError: the URL is malformed, holds a secret, or names something else than a
            folder.
        UnsupportedError: it is of a kind that is not known, or a package for it is not installed.
        StorageError: the place can't be made.
    """
    if not url or "\0" in url:
        raise InvalidInputError("not the URL of a store: it is empty or has a NUL")
    scheme = _SCHEME.match(url)
    if not scheme:
        _no_options(storage_options)
        if url.lower().startswith("file:"):
            raise InvalidInputError(f"write file:///FOLDER or a plain path, not {url!r}", url=url)
        return LocalStorage(url, create=create)
    kind = scheme.group(1).lower()
    if kind in ("s3", "s3a"):
        return _open_s3(url, storage_options, scratch)
    if kind not in ("file", "memory"):
        from ahstore.storage.foreign import ForeignStorage  # start-up: brings in fsspec

        return ForeignStorage.open(url, kind, storage_options)
    _no_options(storage_options)
    if kind == "file":
        return LocalStorage(_path_of(url), create=create)
    return MemoryStorage.shared(_memory_name(url), create=create)


def _no_options(storage_options: Mapping[str, Any] | None) -> None:
    if storage_options:
        raise InvalidInputError("storage_options are for stores in S3 and the like")


def _open_s3(url: str, options: Mapping[str, Any] | None, scratch: str | None) -> Storage:
    try:  # start-up: s3fs and what it brings take half a second; and it is optional
        from ahstore.storage.s3.address import S3Address
        from ahstore.storage.s3.storage import S3Storage
    except ImportError as error:
        raise UnsupportedError(
            f"a store in S3 needs s3fs 2026.9 or newer ({error}): pip install 'ahstore[s3]'"
        ) from error
    return S3Storage(S3Address.parse(url, options), scratch=scratch)


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise InvalidInputError(
            f"{url!r} names no folder of this machine: write file:///FOLDER, and %23 for '#', "
            "%3F for '?'",
            url=url,
        )
    path = unquote_to_bytes(parts.path)
    if not path or b"\0" in path:
        raise InvalidInputError(f"{url!r} names no folder", url=url)
    return os.fsdecode(path)


def _memory_name(url: str) -> str:
    name = url[url.index("://") + 3 :]
    if not _MEMORY_NAME.match(name):
        raise InvalidInputError(f"write memory://NAME, not {url!r}", url=url)
    return name
