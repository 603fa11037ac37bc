"""Which git repositories a run may take its code from, and how they are written down.

Allowed are https, ssh (also as ``user@host:path``), and local paths (also as ``file://``) that the
user names by hand. Everything else that git understands (remote helpers, ``git://``, ``http://``,
options in disguise) is refused before git is asked. Secrets in a URL are split off here: what is
recorded, shown or put on a command line never holds them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from ahstore.errors import InvalidInputError, NotFoundError

MAX_URL_LENGTH = 4096
MIN_SECRET_LENGTH = 4

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)
_REMOTE_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*)|[0-9A-Fa-f:.]+)\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\Z")
_SCP_LIKE = re.compile(r"(?:(?P<user>[^@:/]+)@)?(?P<host>[^@:/]+|\[[^]/]+\]):(?P<path>.*)\Z")
_URL_IN_TEXT = re.compile(r"\b(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s/'\"@]*(?:@[^\s/'\"@]*)*@")

ALLOWED = "use https://…, ssh://…, user@host:path, file://… or a local path"


@dataclass(frozen=True, slots=True)
class GitSource:
    """A repository: ``url`` for git and for the record, without secrets.

    ``secret_url`` is the same with its password or token, None when it has none; it goes to git
    through the environment only and is part of no representation.
    """

    url: str
    is_local: bool
    secret_url: str | None = field(default=None, repr=False)


def parse_git_source(text: str, *, base: str) -> GitSource:
    """Return the repository that ``text`` names; relative paths start at the folder ``base``.

    Raises:
        InvalidInputError: it is no allowed form of a URL or path.
        NotFoundError: it is a local path and nothing is there.
    """
    shown = strip_userinfo(text)[:200]
    if not text or len(text) > MAX_URL_LENGTH:
        raise InvalidInputError(f"invalid git repository {shown!r}: {ALLOWED}", value=shown)
    if _CONTROL.search(text):
        raise _refused(shown, "it has control characters")
    if text.startswith("-"):
        raise _refused(shown, "it looks like an option")
    if _REMOTE_HELPER.match(text):
        raise _refused(shown, "remote helpers are not allowed")
    scheme = _SCHEME.match(text)
    if scheme:
        return _parse_url(text, scheme.group(1).lower(), shown)
    path = os.path.join(base, os.path.expanduser(text))
    if os.path.exists(path):
        return GitSource(os.path.abspath(path), is_local=True)
    scp = _SCP_LIKE.match(text)
    if scp:
        return _parse_scp_like(text, scp, shown)
    raise NotFoundError(f"there is no git repository at {shown!r}", value=shown)


def strip_userinfo(text: str) -> str:
    """Return ``text`` with the userinfo of every URL in it taken out (messages of git, mostly)."""
    return _URL_IN_TEXT.sub(lambda match: match.group("scheme"), text)


def secrets_of(source: GitSource) -> list[str]:
    """Return the texts that must not be seen anywhere: the secret URL, and the password in it."""
    if source.secret_url is None:
        return []
    parts = urlsplit(source.secret_url)
    userinfo = parts.netloc.rpartition("@")[0]
    found = [source.secret_url, userinfo, parts.password, parts.query]
    return [text for text in found if text and len(text) >= MIN_SECRET_LENGTH]


def _parse_url(text: str, scheme: str, shown: str) -> GitSource:
    if scheme not in ("https", "ssh", "file"):
        raise _refused(shown, f"the protocol {scheme!r} is not allowed")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise _refused(shown, "it is not a URL") from error
    if scheme == "file":
        return _parse_file_url(parts, shown)
    host = parts.hostname or ""
    if not _HOST.match(host) or _ENCODED_CONTROL.search(text):
        raise _refused(shown, "its host name is not valid")
    if parts.username and scheme == "ssh" and not _USER.match(unquote(parts.username)):
        raise _refused(shown, "its user name is not valid")
    keep_user = scheme == "ssh" and parts.username
    netloc = parts.netloc.rpartition("@")[2]
    if keep_user:
        netloc = f"{parts.username}@{netloc}"
    clean = urlunsplit((scheme, netloc, parts.path, "", ""))
    has_secret = parts.netloc != netloc or bool(parts.query or parts.fragment)
    return GitSource(clean, is_local=False, secret_url=text if has_secret else None)


def _parse_file_url(parts: SplitResult, shown: str) -> GitSource:
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or _CONTROL.search(path):
        raise _refused(shown, "a file URL has the form file:///path")
    if not os.path.exists(path):
        raise NotFoundError(f"there is no git repository at {path!r}", value=path)
    return GitSource(os.path.abspath(path), is_local=True)


def _parse_scp_like(text: str, scp: re.Match[str], shown: str) -> GitSource:
    user, host, path = scp.group("user"), scp.group("host").strip("[]"), scp.group("path")
    if not _HOST.match(host) or (user is not None and not _USER.match(user)):
        raise _refused(shown, "its user or host name is not valid")
    if not path or path.startswith(("-", ":")):
        raise _refused(shown, "its path is not valid")
    return GitSource(text, is_local=False)


def _refused(shown: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"git repository {shown!r} is refused: {why}; {ALLOWED}", value=shown, why=why
    )
