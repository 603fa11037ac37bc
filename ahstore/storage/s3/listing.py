"""Listing a bucket in the order of keys, page by page, from servers that know another order too.

S3 sorts whole keys as bytes. Servers that keep folders (SeaweedFS) sort part by part: there
``a/x`` comes before ``a-b/x``, since ``-`` and ``.`` sort before ``/``. Either way the keys of a
*family*, a name and the names that go on from it with ``-`` or ``.``, come together; so a family
is gathered, sorted, and then handed on. In S3's order that changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from ahstore.storage.paths import VERSION_DIGITS, is_key
from ahstore.storage.s3.client import Answer, RequestError, S3Client

PAGE_KEYS = 1000
_PART = re.compile(r"[a-z0-9~_-][a-z0-9~._-]*\Z")
_TOP = frozenset(("packs", "index", "cells", "hints", "logs"))
_VERSION = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}\Z")
_GOES_ON = "-."


def list_keys(client: S3Client, prefix: str, *, after: str, limit: int | None) -> Iterator[str]:
    """Yield the keys under the folder ``prefix``, sorted; see ``Storage.list``."""
    if limit == 0:
        return iter(())
    start = _safe_start(prefix, after)
    exact = start == after
    first_page = min(limit or PAGE_KEYS, PAGE_KEYS) if exact else PAGE_KEYS
    found = _list_pages(client, prefix, start, first_page)
    ordered = _in_order(prefix, (key for key in found if is_key(key)))
    return islice((key for key in ordered if key > after), limit)


def _list_pages(client: S3Client, prefix: str, start: str, first_page: int) -> Iterator[str]:
    more = {"StartAfter": client.address.prefix + start} if start else {}
    size = first_page
    while True:
        answer = list_page(client, prefix, MaxKeys=size, **more)
        yield from keys_of(client, answer)
        if not answer.get("IsTruncated"):
            return
        more, size = {"ContinuationToken": answer["NextContinuationToken"]}, PAGE_KEYS


def list_page(client: S3Client, prefix: str, **arguments: object) -> Answer:
    """Return the answer to one request for the keys of a folder.

    Raises:
        StorageError: it failed.
    """
    try:
        return client.call(
            "list_objects_v2", prefix, Prefix=client.address.prefix + prefix, **arguments
        )
    except RequestError as failed:
        raise client.failure(failed, prefix) from failed.error


def keys_of(client: S3Client, answer: Answer) -> Iterator[str]:
    """Yield the keys that an answer lists, relative to the store."""
    start = len(client.address.prefix)
    for entry in answer.get("Contents", ()):
        yield entry["Key"][start:]


def list_folders(client: S3Client, prefix: str) -> Iterator[str]:
    """Yield the names of the folders right in the folder ``prefix``, sorted."""
    names: set[str] = set()
    start = len(client.address.prefix) + len(prefix)
    more: dict[str, str] = {}
    while True:
        answer = list_page(client, prefix, Delimiter="/", **more)
        found = (entry["Prefix"][start:-1] for entry in answer.get("CommonPrefixes", ()))
        names.update(name for name in found if _PART.match(name) and (prefix or name in _TOP))
        if not answer.get("IsTruncated"):
            return iter(sorted(names))
        more = {"ContinuationToken": answer["NextContinuationToken"]}


def list_uploads(client: S3Client, older_than: float) -> Iterator[tuple[str, str]]:
    """Yield key and id of the uploads in parts that were begun before ``older_than``.

    Raises:
        StorageError: it failed.
    """
    start = len(client.address.prefix)
    more: dict[str, str] = {}
    while True:
        try:
            answer = client.call(
                "list_multipart_uploads", "", Prefix=client.address.prefix + "packs/", **more
            )
        except RequestError as failed:
            raise client.failure(failed, "") from failed.error
        for upload in answer.get("Uploads", ()):
            if upload["Initiated"].timestamp() < older_than:
                yield upload["Key"][start:], upload["UploadId"]
        if not answer.get("IsTruncated"):
            return
        more = {
            "KeyMarker": answer["NextKeyMarker"],
            "UploadIdMarker": answer["NextUploadIdMarker"],
        }


def is_version(name: str) -> bool:
    """Tell whether a file of this name in a cell's folder is a version."""
    return _VERSION.match(name) is not None


def _safe_start(prefix: str, after: str) -> str:
    """Return a key to start after, from which on nothing is missed in either order.

    In an order by parts, keys that sort after ``after`` as text may come before it: those of the
    names that ``after``'s parts go on from. So start before the first of them. And a start at the
    name of a folder leaves that folder out there.
    """
    if after < prefix:
        return ""
    if not after.startswith(prefix):
        return after  # beyond the folder: nothing is to come
    base, part = prefix, ""
    for part in after[len(prefix) :].split("/"):
        cut = next((at for at, c in enumerate(part) if at and c in _GOES_ON), None)
        if cut is not None:
            return base + part[: cut - 1]
        base += part + "/"
    return after if is_key(after) else base[: -len(part) - 1] + part[:-1]


def _in_order(prefix: str, keys: Iterable[str]) -> Iterator[str]:
    start = len(prefix)
    root: str | None = None
    family: list[str] = []
    for key in keys:
        name, _, below = key[start:].partition("/")
        if root is not None and not _belongs(name, root):
            yield from sorted(family)
            family, root = [], None
        if root is None and not below:
            yield key  # a file right here: nothing that comes later sorts before it
            continue
        root = name if root is None else root
        family.append(key)
    yield from sorted(family)


def _belongs(name: str, root: str) -> bool:
    return name == root or (name.startswith(root) and name[len(root)] in _GOES_ON)
