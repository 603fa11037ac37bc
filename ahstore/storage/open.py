"""From a store's URL to its storage."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_to_bytes, urlsplit

from ahstore.errors import InvalidInputError, UnsupportedError
from ahstore.storage.contract import Storage
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=//)")
_MEMORY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def open_storage(url: str, *, create: bool = False) -> Storage:
    """Return the storage at ``url``: ``file:///folder``, a plain path, or ``memory://name``.

    Args:
        url: where; a plain path may be relative to the working directory.
        create: make the place if it is not there; that does not make a store of it yet.

    Raises:
        NotFoundError: the place is not there, and ``create`` is not asked for.
        InvalidInputError: the URL is malformed, or names something else than a folder.
        UnsupportedError: it is of a kind that is not known.
        StorageError: the place can't be made.
    """
    if not url or "\0" in url:
        raise InvalidInputError(f"not the URL of a store: {url!r}", url=url)
    scheme = _SCHEME.match(url)
    if not scheme:
        if url.lower().startswith("file:"):
            raise InvalidInputError(f"write file:///FOLDER or a plain path, not {url!r}", url=url)
        return LocalStorage(url, create=create)
    kind = scheme.group(1).lower()
    if kind == "file":
        return LocalStorage(_path_of(url), create=create)
    if kind == "memory":
        return MemoryStorage.shared(_memory_name(url), create=create)
    raise UnsupportedError(
        f"a store at {kind}:// is not supported: use file:///FOLDER, a path, or memory://NAME",
        scheme=kind,
    )


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
