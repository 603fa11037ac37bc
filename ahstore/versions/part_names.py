"""Names of what a download has not finished: told apart from every name that is a user's own.

Whoever is killed while he downloads leaves files and folders of such names beside those that are
whole. They are never taken for objects: a commit of the folder leaves them out.
"""

from __future__ import annotations

import re
import secrets

SUFFIX = ".ahpart"
_PART = re.compile(r"\.[1-9][0-9]*\.[0-9a-f]{12}\.ahpart")


def draw_part_suffix() -> str:
    """Return an end of names that nobody else uses."""
    return f".{secrets.token_hex(6)}{SUFFIX}"


def part_name(number: int, suffix: str) -> str:
    """Return the name of the ``number``-th thing, from 1, that is written under ``suffix``."""
    return f".{number}{suffix}"


def is_part_name(name: str) -> bool:
    """Tell whether a file or folder of this name is what a download left."""
    return name.endswith(SUFFIX) and _PART.fullmatch(name) is not None
