"""Where a store lies, to be looked at and damaged by means that know nothing of ahstore."""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from pathlib import Path

from ahstore.storage.memory import MemoryStorage
from ahstore.testing.s3_servers import S3Server, plain_client


class Place(ABC):
    """The files of one store, by key."""

    url: str

    @abstractmethod
    def keys(self) -> list[str]:
        """Return all keys, sorted."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return what lies there."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Put this there, whatever was there."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove it."""

    def answered_for(self) -> list[str]:
        """Return the keys that fsck answers for."""
        return [key for key in self.keys() if not key.startswith((".local/", "logs/", "hints/"))]

    def contents(self) -> dict[str, bytes]:
        """Return all that fsck answers for."""
        return {key: self.read(key) for key in self.answered_for()}


class LocalPlace(Place):
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder)
        self._folder = folder

    def keys(self) -> list[str]:
        found = (path for path in self._folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self._folder).as_posix() for path in found)

    def read(self, key: str) -> bytes:
        return (self._folder / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        path = self._folder / key
        if path.exists():
            os.chmod(path, 0o644)
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        (self._folder / key).unlink()


class MemoryPlace(Place):
    """This process's memory."""

    def __init__(self) -> None:
        name = f"place-{secrets.token_hex(6)}"
        self.url = f"memory://{name}"
        self._files = MemoryStorage.shared(name, create=True)._files

    def keys(self) -> list[str]:
        return sorted(self._files)

    def read(self, key: str) -> bytes:
        return self._files[key][0]

    def write(self, key: str, data: bytes) -> None:
        self._files[key] = (data, self._files[key][1] if key in self._files else 0.0)

    def remove(self, key: str) -> None:
        del self._files[key]


class BucketPlace(Place):
    """A prefix in a bucket, seen through botocore's own client."""

    def __init__(self, server: S3Server) -> None:
        self._prefix = f"stores/{secrets.token_hex(8)}/"
        self.url = server.url(self._prefix.rstrip("/"))
        self._client = plain_client(server)
        self._bucket = server.bucket

    def keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(key[len(self._prefix) :] for key in found)

    def read(self, key: str) -> bytes:
        answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
        return bytes(answer["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data)

    def remove(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
