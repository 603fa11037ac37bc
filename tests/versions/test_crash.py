"""kill -9 at every system call with which a commit touches the store: old head or new, never less."""

from __future__ import annotations

import collections
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ahstore.ids import AssetId, new_entity_id
from ahstore.versions.adding.commits import commit_files, create_asset_root
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import download

PROGRAM = Path(__file__).with_name("commit_once.py")
CALLS = "openat,mkdir,mkdirat,write,pwrite64,writev,fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,rmdir"

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def run(root: Path, asset: AssetId, file: Path, *strace: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["strace", "-f", "-qq", "-o", root / "trace", *strace, sys.executable, PROGRAM,
         (root / "store").as_uri(), root / "cache", asset, file],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def writes_to_the_store(trace: str, store: str) -> list[tuple[str, int]]:
    """Return which calls, by name and count of that name, write to the store."""
    seen: collections.Counter[str] = collections.Counter()
    points = []
    for line in trace.splitlines():
        match = re.match(r"\d+\s+(\w+)\(", line)
        if match:
            name = match[1]
            seen[name] += 1
            reads = name == "openat" and not re.search("O_CREAT|O_TMPFILE|O_WRONLY|O_RDWR", line)
            if store in line and not reads:
                points.append((name, seen[name]))
    return points


def test_killed_at_every_call(tmp_path: Path) -> None:
    """A half-made commit that can be seen, or a head that is lost, would be data loss."""
    store = tmp_path / "store"
    repo = Repository.open(store.as_uri(), create=True)
    asset = AssetId(new_entity_id())
    create_asset_root(repo, asset, committer="ann")
    file = tmp_path / "file"
    file.write_bytes(random.Random(1).randbytes(200_000))
    repo.close()
    shutil.copytree(store, tmp_path / "pristine")
    # Once before it counts: compiling modules and making the cache take calls of their own.
    assert run(tmp_path, asset, file).returncode == 0
    reset(tmp_path)
    whole = run(tmp_path, asset, file, "-y", "-e", f"trace={CALLS}")
    assert whole.returncode == 0, whole.stderr
    trace = (tmp_path / "trace").read_text()
    points = writes_to_the_store(trace, str(store))
    assert len(points) > 15
    for name, at in points:
        for _ in range(3):  # a pack's random folder may be there already: then a call is spared
            reset(tmp_path)
            killed = run(tmp_path, asset, file, "-e", f"trace={name}",
                         "-e", f"inject={name}:signal=KILL:when={at}")  # fmt: skip
            if killed.returncode:
                break
        assert killed.returncode != 0, (name, at)
        check_old_or_new(tmp_path, asset, file, acknowledged=bool(killed.stdout))


def reset(root: Path) -> None:
    shutil.rmtree(root / "store")
    shutil.copytree(root / "pristine", root / "store")
    shutil.rmtree(root / "cache", ignore_errors=True)


def check_old_or_new(root: Path, asset: AssetId, file: Path, *, acknowledged: bool) -> None:
    repo = Repository.open((root / "store").as_uri(), cache_root=str(root / "cache"))
    try:
        head = repo.read_commit(Refs(repo).get(asset, "main").commit)
        if acknowledged:
            assert head.message == "once"
        again = commit_files(repo, asset, "main", message="again", committer="ann", add=[str(file)])
        assert (again is None) == (head.message == "once")
        head_id = Refs(repo).get(asset, "main").commit
        out = root / "out"
        shutil.rmtree(out, ignore_errors=True)
        assert download(repo, head_id, target=str(out)).files == 1
        assert (out / "file").read_bytes() == file.read_bytes()
    finally:
        repo.close()
