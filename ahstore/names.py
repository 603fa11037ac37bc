"""The one validator of names and object paths, for every way they come in.

Names are those of folders, assets, branches, tags and users; object paths are the paths of files
in a commit. What only some platforms can't hold is allowed here and refused on download there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ahstore.errors import InvalidInputError

MAX_NAME_LENGTH = 128
MAX_PART_BYTES = 255
MAX_PATH_BYTES = 4096

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_FORBIDDEN_IN_PATH = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


def check_name(text: str, *, what: str = "name") -> str:
    """Return ``text`` if it may name a folder, asset, branch, tag or user.

    Raises:
        InvalidInputError: it may not; the message says which rule it breaks.
    """
    problem = _problem_with_name(text)
    if problem:
        raise InvalidInputError(f"invalid {what} {text[:200]!r}: {problem}", value=text)
    return text


def check_ref_name(text: str, *, what: str = "reference name") -> str:
    """Return ``text`` if it may name a branch or tag.

    Raises:
        InvalidInputError: it may not; the message says which rule it breaks.
    """
    if text == "HEAD":
        raise InvalidInputError(f"invalid {what} 'HEAD': name a branch, such as 'main'", value=text)
    return check_name(text, what=what)


def _problem_with_name(text: str) -> str | None:
    if not text:
        return "it is empty"
    if len(text) > MAX_NAME_LENGTH:
        return f"it has {len(text)} characters, the limit is {MAX_NAME_LENGTH}"
    if not _NAME.match(text):
        return "use letters, digits, '.', '_' and '-', starting with a letter or digit"
    if ".." in text:
        return "'..' is not allowed"
    if text.endswith((".", ".lock")):
        return "it must not end with '.' or '.lock'"
    return None


def check_object_path(path: str) -> str:
    """Return ``path`` if it may be an object's path: relative, ``/``-separated, plain UTF-8.

    Raises:
        InvalidInputError: it may not; the message names the offending part.
    """
    problem = _problem_with_path(path)
    if problem:
        shown = path[:200].encode("utf-8", "backslashreplace").decode()
        raise InvalidInputError(f"invalid object path {shown!r}: {problem}", value=shown)
    return path


def are_plain_paths(paths: Sequence[str]) -> bool:
    """Tell quickly that ``check_object_path`` accepts all; False: some must be asked one by one.

    A path of 63 characters has no part and no whole that is too long.
    """
    parts = f"/{'/'.join(paths)}/"
    try:
        parts.encode()
    except UnicodeEncodeError:
        return False
    return (
        max(map(len, paths), default=0) <= MAX_PART_BYTES // 4
        and "//" not in parts
        and "/./" not in parts
        and "/../" not in parts
        and not _FORBIDDEN_IN_PATH.search(parts)
    )


def _problem_with_path(path: str) -> str | None:
    if not path:
        return "it is empty"
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    if len(encoded) > MAX_PATH_BYTES:
        return f"it has {len(encoded)} bytes, the limit is {MAX_PATH_BYTES}"
    if path[0] == "/":
        return "it is absolute"
    bad = _FORBIDDEN_IN_PATH.search(path)
    if bad:
        return f"the character {bad.group()!r} is not allowed"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"the part {part!r} is not allowed"
        if len(part) > 63 and len(part.encode("utf-8")) > MAX_PART_BYTES:
            return f"the part {part[:40]!r}… has more than {MAX_PART_BYTES} bytes"
    return None
