"""A process of the traffic test: commits, makes and deletes branches, or collects, for a while.

``traffic.py ROLE URL ASSET SECONDS SEED CLOCK`` where CLOCK is by how many seconds this process's
clock is off. Every process takes the others for processes of other machines. A writer prints the id
of each commit on ``main`` that was acknowledged to him, and goes on until there are two.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path

from ahstore.errors import ConflictError, NotFoundError
from ahstore.ids import AssetId
from ahstore.storage.process import ProcessIdentity
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository

role, url, asset_text, seconds, seed, clock = sys.argv[1:]
asset = AssetId(asset_text)  # type: ignore[arg-type]
choose = random.Random(int(seed))
end = time.monotonic() + float(seconds)

ProcessIdentity.is_here = lambda _self: False  # type: ignore[method-assign]


def put_clock_off(repo: Repository) -> None:
    kind = type(repo.storage)
    real_now = kind.now
    kind.now = lambda self: real_now(self) + float(clock)  # type: ignore[method-assign]


def shared(number: int) -> bytes:
    """Bytes that all writers commit, delete and commit again."""
    return random.Random(number).randbytes(3000)


def write(repo: Repository, folder: Path, number: int) -> bool:
    """Do something; return whether a commit on ``main`` was acknowledged."""
    branch = "main" if choose.random() < 0.6 else f"b{choose.randrange(3)}"
    refs = Refs(repo)
    if branch != "main":
        try:
            if choose.random() < 0.4:
                refs.delete(asset, branch, "branch")
                return False
            if refs.find(asset, branch) is None:
                head = refs.get(asset, "main").commit
                refs.create(asset, branch, "branch", head, by="w", via="main")
        except (ConflictError, NotFoundError, RuntimeError):
            return False
    mine = folder / f"own-{os.getpid()}"
    mine.write_bytes(b"%d" % number)
    common = choose.randrange(12)
    (folder / f"common-{common}").write_bytes(shared(common))
    add = [str(mine), str(folder / f"common-{common}")]
    try:
        made = commit_files(repo, asset, branch, message="x", committer="w", add=add, rehash=True)
        if choose.random() < 0.5:
            commit_files(
                repo, asset, branch, message="d", committer="w", delete=[f"common-{common}"]
            )
    except (ConflictError, NotFoundError):
        return False
    if made is None or branch != "main":
        return False
    print(made.commit.hex(), flush=True)
    return True


def main() -> None:
    repo = Repository.open(url)
    put_clock_off(repo)
    number = told = 0
    with tempfile.TemporaryDirectory() as name:
        while time.monotonic() < end or (role == "write" and told < 2):
            number += 1
            if role == "write":
                told += write(repo, Path(name), number)
            else:
                try:
                    collect(repo, Policy(retention=0, min_age=0, wait=5))
                except ConflictError:
                    continue
    repo.close()


main()
