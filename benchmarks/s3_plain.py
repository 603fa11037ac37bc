"""What s3fs does by itself, a process of its own: ``python -m benchmarks.s3_plain VERB FROM TO``."""

from __future__ import annotations

import os
import sys

from s3fs import S3FileSystem

from ahstore.storage.s3.client import PARTS_IN_FLIGHT
from ahstore.storage.s3.reading import IN_FLIGHT as READS_IN_FLIGHT
from ahstore.storage.s3.writer import PART_BYTES


def main(verb: str, source: str, target: str) -> None:
    """Copy a file or a folder, with the parallelism that ahstore has."""
    system = S3FileSystem(
        endpoint_url=os.environ["BENCH_ENDPOINT"],
        config_kwargs={"read_timeout": 120, "max_pool_connections": 32},
    )
    if verb == "put":
        system.put_file(source, target, chunksize=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT)
    elif verb == "get":
        system.get_file(source, target, max_concurrency=READS_IN_FLIGHT)
    elif verb == "put-all":
        system.put(source, target, recursive=True)
    else:
        system.get(source, target, recursive=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
