"""Query parameters of a store's URL: an allow-list, one spelling, and never a secret.

URLs stand in logs, records and shell histories. So what could be a password, a key or a token is
refused in them, and no message repeats a URL that was refused for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from ahstore.errors import InvalidInputError

WRITERS = "writers"
ONE_WRITER = "one"

_SMELLS = re.compile(
    r"key|secret|token|passw|pwd|credential|signature|auth|session|sas", re.IGNORECASE
)
_SAFE = "-._~:/+@,=[]"
_MAX_PREFIX_BYTES = 400


def split_url(url: str) -> SplitResult:
    """Return the parts of ``url``.

    Raises:
        InvalidInputError: it holds a password or is no URL.
    """
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        raise InvalidInputError("the store's URL is malformed") from None
    if password is not None:
        raise InvalidInputError(
            "the store's URL holds a password: leave it out, and give credentials by the "
            "environment, a profile or storage_options="
        )
    if parts.fragment:
        raise InvalidInputError("the URL of a store has no '#'")
    return parts


def read_options(parts: SplitResult, allowed: Mapping[str, str]) -> dict[str, str]:
    """Return the query parameters of a URL by name.

    Args:
        parts: of the URL.
        allowed: the names there may be, each with what it is.

    Raises:
        InvalidInputError: a parameter is not allowed, empty, or given twice.
    """
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        if not parts.query:
            return {}
        raise InvalidInputError("the query of the store's URL is malformed") from None
    options: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            _refuse(name, allowed)
        if not value or name in options:
            raise InvalidInputError(f"give {name}= once in the store's URL, with a value")
        options[name] = value
    return options


def _refuse(name: str, allowed: Mapping[str, str]) -> None:
    if _SMELLS.search(name):
        raise InvalidInputError(
            "a store's URL holds no secrets: give credentials by the environment (AWS_…), a "
            "profile (?profile=NAME) or storage_options="
        )
    names = ", ".join(sorted(allowed))
    raise InvalidInputError(
        f"{name[:40]!r} is no parameter of such a store's URL; there are: {names}"
    )


def check_endpoint(url: str) -> str:
    """Return the address of a server, without a slash at its end.

    Raises:
        InvalidInputError: it is no http address, or holds more than that.
    """
    parts = split_url(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username is not None
        or parts.query
    ):
        raise InvalidInputError("endpoint_url has to be like https://HOST[:PORT]")
    return url.rstrip("/")


def read_prefix(path: str) -> str:
    """Return the folder that a URL's path names: ``""`` or ``"a/b/"``.

    Raises:
        InvalidInputError: a part of it is empty, ``.``, ``..`` or unprintable, or it is too long.
    """
    text = unquote(path, errors="strict").strip("/") if _is_utf8(path) else "\0"
    if not text:
        return ""
    parts = text.split("/")
    if any(part in ("", ".", "..") or not part.isprintable() or "\\" in part for part in parts):
        raise InvalidInputError("the URL's path is not that of a folder in a bucket")
    if len(text.encode()) > _MAX_PREFIX_BYTES:
        raise InvalidInputError(f"the URL's path is longer than {_MAX_PREFIX_BYTES} bytes")
    return text + "/"


def _is_utf8(path: str) -> bool:
    try:
        unquote(path, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def write_url(place: str, prefix: str, options: Mapping[str, str]) -> str:
    """Return the one spelling of a URL: ``place`` is ``s3://bucket`` or the like."""
    path = "/" + quote(prefix[:-1], safe="/-._~") if prefix else ""
    pairs = (f"{name}={quote(options[name], safe=_SAFE)}" for name in sorted(options))
    query = "&".join(pairs)
    return f"{place}{path}?{query}" if query else f"{place}{path}"
