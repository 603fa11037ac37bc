"""What ``-a LOCAL[:PATH]`` and ``-d PATH`` mean: which local places go where in the commit.

A file goes to its own name; ``dir`` goes with its name, ``dir/*`` without it; ``LOCAL:sub/`` puts
it under ``sub/``; ``LOCAL:other`` renames it. Other wildcards are expanded as a shell does.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ahstore.errors import InvalidInputError, ObjectNotFoundError
from ahstore.names import check_object_path


@dataclass(frozen=True, slots=True)
class Addition:
    """A local file, or a folder's content, and where it goes; ``path`` "" is the commit's root."""

    local: str
    path: str
    is_folder: bool


class Change(NamedTuple):
    """One object that a commit changes; sizes in bytes, None where there is no such side."""

    kind: Literal["added", "modified", "deleted"]
    path: str
    size: int | None
    old_size: int | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """An object, or with ``is_prefix`` all objects whose path starts with ``path``."""

    path: str
    is_prefix: bool


def parse_add(text: str) -> list[Addition]:
    """Return what an ``-a`` argument names, one item unless it holds wildcards.

    Raises:
        InvalidInputError: it is malformed.
        ObjectNotFoundError: there is no such local file or folder.
    """
    if "\0" in text:
        raise InvalidInputError(f"invalid path {text!r}: it holds a NUL character", value=text)
    local, target = _split(text)
    if not local:
        raise InvalidInputError(f"nothing to add in {text!r}: give LOCAL or LOCAL:PATH", value=text)
    if os.path.basename(local) == "*" or os.path.basename(local.rstrip("/")) in (".", ".."):
        return [_contents(local, target)]
    if os.path.lexists(local):
        return [_one(local, target)]
    matches = sorted(glob.glob(local)) if glob.has_magic(local) else []
    if not matches:
        raise ObjectNotFoundError(f"no such file or folder: {local}", path=local)
    if target and not target.endswith("/") and len(matches) > 1:
        target += "/"
    return [_one(match, target) for match in matches]


def _split(text: str) -> tuple[str, str]:
    """Split at the last colon, unless only the whole is the name of something that exists."""
    local, colon, target = text.rpartition(":")
    if not colon:
        return text, ""
    if os.path.lexists(text) and not os.path.lexists(local):
        return text, ""
    return local, "" if target in (".", "./", "/") else target.removeprefix("./")


def _contents(local: str, target: str) -> Addition:
    folder = os.path.dirname(local) if os.path.basename(local) == "*" else local
    folder = folder or "."
    if not os.path.isdir(folder):
        raise ObjectNotFoundError(f"no such folder: {folder}", path=folder)
    return Addition(folder, _checked(target.rstrip("/"), local), is_folder=True)


def _one(local: str, target: str) -> Addition:
    name = os.path.basename(local.rstrip("/"))
    path = target if target and not target.endswith("/") else target + name
    return Addition(local, _checked(path, local), is_folder=os.path.isdir(local))


def _checked(path: str, local: str) -> str:
    if path:
        try:
            check_object_path(path)
        except InvalidInputError as error:
            raise InvalidInputError(f"can't add {local!r}: {error}", value=path) from None
    return path


def parse_delete(text: str) -> Deletion:
    """Return what a ``-d`` argument names: ``sub/`` is all below it, anything else one object.

    Raises:
        InvalidInputError: it can't be an object's path.
    """
    check_object_path(text.removesuffix("/"))
    return Deletion(text, is_prefix=text.endswith("/"))


def parse_adds(texts: Sequence[str]) -> list[Addition]:
    """Return what all ``-a`` arguments name; see :func:`parse_add`."""
    return [addition for text in texts for addition in parse_add(text)]


def parse_deletes(texts: Sequence[str]) -> list[Deletion]:
    """Return what all ``-d`` arguments name; see :func:`parse_delete`."""
    return [parse_delete(text) for text in texts]
