"""A process that makes one commit, to be killed at any system call: URL, cache, asset, file."""

from __future__ import annotations

import sys

from ahstore.ids import AssetId, parse_entity_id
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.repository import Repository


def main(url: str, cache: str, asset: str, file: str) -> None:
    repo = Repository.open(url, cache_root=cache)
    made = commit_files(
        repo,
        AssetId(parse_entity_id(asset)),
        "main",
        message="once",
        committer="ann",
        add=[file],
    )
    print(made.commit.hex() if made else "nothing", flush=True)
    repo.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
