"""Where a store lies in S3, and how to get there: what a URL and ``storage_options`` say.

``s3://BUCKET/PREFIX?endpoint_url=…&region=…``. Credentials are never part of it: they come by
botocore's own ways (environment, profiles, roles) or by ``storage_options``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ahstore.errors import InvalidInputError
from ahstore.storage.addresses import (
    ONE_WRITER,
    WRITERS,
    check_endpoint,
    read_options,
    read_prefix,
    split_url,
    write_url,
)

PARAMETERS = {
    "endpoint_url": "the server's address, if it is not AWS",
    "region": "the bucket's region",
    "profile": "a profile of AWS's configuration files",
    "anon": "true: read without credentials",
    "addressing_style": "path, virtual or auto",
    "requester_pays": "true: whoever asks pays",
    WRITERS: "one: this process alone writes; for servers that ignore conditions",
}
_CHOICES = {
    "anon": ("true", "false"),
    "requester_pays": ("true", "false"),
    "addressing_style": ("path", "virtual", "auto"),
    WRITERS: (ONE_WRITER, "many"),
}
_DEFAULTS = {
    "anon": "false",
    "requester_pays": "false",
    "addressing_style": "auto",
    WRITERS: "many",
}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")

CONNECT_SECONDS = 10
READ_SECONDS = 120
"""Some servers make writers that race for one key wait by whole seconds."""

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class S3Address:
    """A place in a bucket.

    Attributes:
        bucket: its name.
        prefix: ``""``, or a folder with a ``/`` at its end.
        options: of the URL, without those that say what is so anyway.
        secret: ``storage_options`` as given; may hold credentials, and is shown nowhere.
    """

    bucket: str
    prefix: str
    options: Mapping[str, str]
    secret: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str, storage_options: Mapping[str, Any] | None = None) -> S3Address:
        """Return the address that ``url`` spells.

        Raises:
            InvalidInputError: it is malformed or holds a secret; the message does not show it.
        """
        parts = split_url(url)
        if parts.username is not None or not _BUCKET.match(parts.netloc):
            raise InvalidInputError("write s3://BUCKET/PREFIX, the bucket by its plain name")
        options = read_options(parts, PARAMETERS)
        for name, choices in _CHOICES.items():
            if options.get(name, choices[0]) not in choices:
                raise InvalidInputError(f"{name} is one of: {', '.join(choices)}")
        secret = dict(storage_options or {})
        _take_endpoint(options, secret)
        plain = {name: value for name, value in options.items() if _DEFAULTS.get(name) != value}
        return cls(parts.netloc, read_prefix(parts.path), plain, secret)

    @property
    def url(self) -> str:
        """The canonical URL."""
        return write_url(f"s3://{self.bucket}", self.prefix, self.options)

    @property
    def place(self) -> str:
        """The URL without parameters, with a ``/`` at its end: for messages, and to put keys to."""
        return write_url(f"s3://{self.bucket}", self.prefix, {}) + "/"

    @property
    def one_writer(self) -> bool:
        """Whether the user vouches for there being one writer."""
        return self.options.get(WRITERS) == ONE_WRITER

    def with_endpoint(self, endpoint: str | None) -> S3Address:
        """Return the address with the server that configuration led to, if it is not AWS."""
        if endpoint is None or "endpoint_url" in self.options:
            return self
        options = {**self.options, "endpoint_url": check_endpoint(endpoint)}
        return S3Address(self.bucket, self.prefix, options, self.secret)

    def file_system_options(self) -> dict[str, Any]:
        """Return the arguments for ``S3FileSystem``; they may hold credentials."""
        given = dict(self.secret)
        config = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "max_pool_connections": CONNECTIONS,
            "tcp_keepalive": True,
            # All that is read is verified above; some servers give a range the whole's checksum.
            "response_checksum_validation": "when_required",
            **given.pop("config_kwargs", {}),
            # What was sent twice in silence can't be told from what was sent once: see retry.py.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
        }
        if self.options.get("endpoint_url", "").startswith("http://"):
            # The signature has the content's SHA-256 then; one sum is enough.
            config.setdefault("request_checksum_calculation", "when_required")
        if "addressing_style" in self.options:
            style = {"addressing_style": self.options["addressing_style"]}
            config["s3"] = {**config.get("s3", {}), **style}
        client = dict(given.pop("client_kwargs", {}))
        if "region" in self.options:
            client["region_name"] = self.options["region"]
        for name in ("endpoint_url", "profile"):
            if name in self.options:
                given[name] = self.options[name]
        for name in ("anon", "requester_pays"):
            if self.options.get(name) == "true":
                given[name] = True
        return {
            **given,
            "config_kwargs": config,
            "client_kwargs": client,
            "use_listings_cache": False,
            "skip_instance_cache": True,
            "asynchronous": False,
        }


def _take_endpoint(options: dict[str, str], secret: dict[str, Any]) -> None:
    """Make the server part of the URL: stores on two servers are two stores."""
    client = secret.get("client_kwargs") or {}
    given = secret.pop("endpoint_url", None) or client.get("endpoint_url")
    if "endpoint_url" not in options and given is not None:
        options["endpoint_url"] = str(given)
    if "endpoint_url" in options:
        options["endpoint_url"] = check_endpoint(options["endpoint_url"])
    if "client_kwargs" in secret:
        secret["client_kwargs"] = {k: v for k, v in client.items() if k != "endpoint_url"}
