"""A process that makes assets in one folder: URL, cache, folder's id, tag, own names, contested."""

from __future__ import annotations

import sys

from ahstore.errors import AlreadyExistsError
from ahstore.hub.hub import Hub
from ahstore.ids import FolderId, parse_entity_id
from ahstore.versions.repository import Repository


def main(url: str, cache: str, folder: str, tag: str, own: str, contested: str) -> None:
    hub = Hub(Repository.open(url, cache_root=cache), tag)
    home = FolderId(parse_entity_id(folder))
    names = [f"{tag}-{at}" for at in range(int(own))] + [
        f"all-{at}" for at in range(int(contested))
    ]
    for name in names:
        try:
            print(name, hub.create_asset(home, name).id, flush=True)
        except AlreadyExistsError:
            print(name, "taken", flush=True)
    hub.repo.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
