"""A process that makes COUNT commits to one branch: URL, cache, asset, tag, count, folder."""

from __future__ import annotations

import sys
from pathlib import Path

from ahstore.ids import AssetId, parse_entity_id
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.repository import Repository


def main(url: str, cache: str, asset: str, tag: str, count: str, folder: str) -> None:
    repo = Repository.open(url, cache_root=cache)
    source = Path(folder) / f"source-{tag}"
    for at in range(int(count)):
        source.write_text(f"{tag} {at}")
        made = commit_files(
            repo,
            AssetId(parse_entity_id(asset)),
            "main",
            message=f"{tag} {at}",
            committer=tag,
            add=[f"{source}:{tag}/{at}"],
        )
        assert made is not None
        print(made.commit.hex(), flush=True)
    repo.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
