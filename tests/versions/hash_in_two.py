"""A process of one thread that commits a folder with and without a second process's help.

Arguments: folder, and what befalls the child: "well", "killed", "no walker", "stale" or
"thread" (there is none).
Prints how many files the child delivered, how often a walk was shared, and whether both trees are equal.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time

from ahstore.ids import AssetId, new_entity_id
from ahstore.versions import crew
from ahstore.versions.adding import second_process, walk
from ahstore.versions.adding.commits import commit_files, create_asset_root
from ahstore.versions.adding.hashing import Hasher
from ahstore.versions.adding.second_process import SecondProcess
from ahstore.versions.repository import Repository

delivered = shared = 0
real_start, real_results = SecondProcess.start, SecondProcess.results
real_fork, real_shares = crew._fork, walk.run_shares


def counted(self):
    global delivered
    for result in real_results(self):
        delivered += 1
        yield result


def start_and_kill(files, limit):
    second = real_start(files, limit)
    assert second is not None
    os.kill(second._pid, signal.SIGKILL)
    return second


def fork_and_kill(share):
    child = real_fork(share)
    os.kill(child, signal.SIGKILL)
    return child


def counted_shares(shares):
    global shared
    shared += 1
    return real_shares(shares)


def tree_of(folder: str) -> bytes:
    with tempfile.TemporaryDirectory() as store:
        repo = Repository.open(store, create=True)
        asset = AssetId(new_entity_id())
        create_asset_root(repo, asset, committer="ann")
        made = commit_files(repo, asset, "main", message="m", committer="ann", add=[f"{folder}/*"])
        assert made is not None
        root = repo.read_commit(made.commit).tree
        for row in repo.files(made.commit).scan():
            if row[1]:
                assert repo.read_chunk(row[6][:32])
        repo.close()
        return root


def main(folder: str, fate: str) -> None:
    SecondProcess.results = counted
    walk.run_shares = counted_shares
    walk.SHARE_FROM_FILES = 1000
    if fate == "killed":
        SecondProcess.start = staticmethod(start_and_kill)
    if fate == "no walker":
        crew._fork = fork_and_kill
    if fate == "thread":
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    if fate == "stale":
        # The files change between the walk and the child's look.
        real = second_process.read_small
        second_process.read_small = lambda local, walked: real(local, (*walked[:5], 1))
    fds = len(os.listdir("/proc/self/fd"))
    two = tree_of(folder)
    assert len(os.listdir("/proc/self/fd")) == fds
    try:
        os.waitpid(-1, os.WNOHANG)
        left = "a child is left"
    except ChildProcessError:
        left = "no child is left"
    Hasher._share = lambda *_: ()
    walk.SHARE_FROM_FILES = 10**9
    print(delivered, shared, two == tree_of(folder), left)


if __name__ == "__main__":
    main(*sys.argv[1:])
