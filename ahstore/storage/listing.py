"""Listing a local store in the order of its keys, a folder at a time.

What is not a key (``.local/``, files that other tools left there) is passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice

from ahstore.storage.oserrors import storage_error
from ahstore.storage.paths import VERSION_DIGITS

_NAME = re.compile(r"[a-z0-9~_-][a-z0-9~._-]*\Z")
_TOP = frozenset(("store.json", "packs", "index", "cells", "hints", "logs", "aside"))
_VERSION = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}\Z")


def list_names(root: str, prefix: str) -> tuple[list[str], list[str]]:
    """Return the folders and the files right in the folder ``prefix``, unsorted.

    In ``cells/`` only versions count as files. A folder that is not there is empty.
    """
    folders: list[str] = []
    files: list[str] = []
    path = f"{root}/{prefix}"
    fits = _fitting(prefix)
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir(follow_symlinks=True):
                    if _NAME.match(name) and (prefix or name in _TOP):
                        folders.append(name)
                elif fits(name):
                    files.append(name)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise storage_error(error, path) from error
    return folders, files


def _fitting(prefix: str) -> Callable[[str], object]:
    if not prefix:
        return _TOP.__contains__
    return _VERSION.match if prefix.startswith("cells/") else _NAME.match


def list_keys(root: str, prefix: str, *, after: str, limit: int | None) -> Iterator[str]:
    """Yield the keys under the folder ``prefix``, sorted; see ``Storage.list``."""
    return islice(_walk(root, prefix, after), limit)


def _walk(root: str, prefix: str, after: str) -> Iterator[str]:
    folders, files = list_names(root, prefix)
    # A folder sorts as "name/": its keys all begin so.
    for name in sorted(files + [folder + "/" for folder in folders]):
        key = prefix + name
        if name[-1] != "/":
            if key > after:
                yield key
        elif key > after or after.startswith(key):
            yield from _walk(root, key, after)
