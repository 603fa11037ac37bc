"""What callers give as files to add: ``LOCAL[:PATH]`` each, or a mapping of local paths to paths."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ahstore.client.core import check_sequence

Additions = Sequence[str | os.PathLike[str]] | Mapping[str | os.PathLike[str], str]


def as_additions(add: Additions | None) -> list[str]:
    """Return what is to be added as ``LOCAL[:PATH]``.

    Raises:
        InvalidInputError: it is neither a list nor a mapping of paths.
    """
    if isinstance(add, Mapping):
        pairs = [(_plain(local), path) for local, path in add.items()]
        return [f"{local}:{path}" for local, path in pairs]
    if add is None or isinstance(add, str | bytes) or not hasattr(add, "__iter__"):
        return check_sequence(add, "add")
    return check_sequence([_plain(item) for item in add], "add")


def _plain(path: str | os.PathLike[str]) -> str:
    return os.fspath(path) if isinstance(path, os.PathLike) else path
