"""The storage contract on a real S3 server, and what of it only S3 can get wrong."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from ahstore.storage.contract import Storage
from ahstore.storage.open import open_storage
from ahstore.testing.s3_servers import S3Server, plain_client
from ahstore.testing.storage_suite import StorageSuite
from tests.storage.s3_session import shared_session


class TestS3Storage(StorageSuite):
    # SeaweedFS makes those who race for one key wait by whole seconds.
    race_threads = 4
    race_rounds = 2

    @pytest.fixture(autouse=True)
    def _server(self, s3_environment: S3Server, tmp_path_factory: pytest.TempPathFactory) -> None:
        # One for all tests, so that one of them probes the server.
        self.scratch = str(tmp_path_factory.getbasetemp() / "scratch")
        self.server = s3_environment
        self.client = plain_client(s3_environment)
        self.prefix = f"suite/{secrets.token_hex(8)}"

    def make(self, tmp_path: Path) -> Storage:
        return open_storage(
            self.server.url(self.prefix),
            create=True,
            storage_options={"session": shared_session()},
            scratch=self.scratch,
        )

    def plant(self, storage: Storage, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{key}", Body=data)

    def peek(self, storage: Storage, key: str) -> bytes | None:
        try:
            found = self.client.get_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{key}")
        except self.client.exceptions.NoSuchKey:
            return None
        body: bytes = found["Body"].read()
        return body

    def test_uploads_that_nobody_finished_are_cleaned(self, storage: Storage) -> None:
        # They are in no listing, and cost space for ever.
        keys = [f"packs/data/{n:02x}/{n:02x}{'0' * 30}" for n in range(3)]
        for key in keys:
            self.client.create_multipart_upload(
                Bucket=self.server.bucket, Key=f"{self.prefix}/{key}"
            )
        self.client.create_multipart_upload(
            Bucket=self.server.bucket, Key=f"{self.prefix}x/{keys[0]}"
        )
        assert storage.clean_leftovers(storage.now() - 3600) == 0
        assert storage.clean_leftovers(storage.now() + 3600) == 3
        assert storage.clean_leftovers(storage.now() + 3600) == 0
        other = self.client.list_multipart_uploads(
            Bucket=self.server.bucket, Prefix=f"{self.prefix}x/"
        )
        assert len(other["Uploads"]) == 1
