"""Keeping secrets out of messages and logs, of the libraries below too.

At level DEBUG botocore writes every request with its headers, a session's token among them. A
filter on its loggers takes out what this process knows to be secret. It sets up no logging.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

_LIBRARIES = frozenset(
    (
        *("botocore", "aiobotocore", "s3fs", "fsspec", "aiohttp", "asyncio", "urllib3"),
        *("gcsfs", "google", "adlfs", "azure", "paramiko", "sshfs", "smbprotocol", "ocifs"),
    )
)
_SHORTEST = 6
_HIDDEN = "***"


class Redaction(logging.Filter):
    """Replaces secrets in texts; as a filter, in the records of a logger."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: frozenset[str] = frozenset()

    def learn(self, secrets: Iterable[object]) -> None:
        """Take these for secret from now on; what is no text, or too short to be one, is not."""
        new = {text for text in secrets if isinstance(text, str) and len(text) >= _SHORTEST}
        if not new <= self._secrets:
            self._secrets |= new

    def hide(self, text: str) -> str:
        """Return ``text`` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Take secrets out of a record; it is always let through."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            return True
        hidden = self.hide(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True

    def watch(self) -> None:
        """Join the loggers of the libraries that requests pass through."""
        for name in tuple(logging.root.manager.loggerDict):
            if name.partition(".")[0] in _LIBRARIES:
                # Once for each: a logger keeps a filter only once.
                logging.getLogger(name).addFilter(self)


REDACTION = Redaction()
"""The one of this process: loggers are the process's too."""
