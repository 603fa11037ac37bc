"""gc killed, or its disk failing, at every call by which it writes: nothing is lost, the next ends it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ahstore.errors import AhError, OutcomeUnknownError, StorageError
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.versions.gc_plan import read_plan
from ahstore.versions.history.log import log
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import read_row
from tests.storage.oscalls import failing, killed, recorded
from tests.upkeep.kit import MODEL, NOW, House, new_house

WRITES = ("write", "fsync", "link", "rename", "mkdir", "unlink", "rmdir")


@pytest.fixture
def rubbish(tmp_path: Path) -> House:
    """A store of which a branch, and half a pack, are to go."""
    house = new_house(str(tmp_path / "store"), tmp_path)
    house.store.create(f"{MODEL}:side")
    both = {"kept": house.noise(300_000), "lost": house.noise(600_000)}
    house.commit("side", **both)
    house.commit("main", kept=both["kept"])
    house.commit("main", small=b"small")
    house.store.delete(f"{MODEL}:side")
    house.repo.leases.rest()
    return house


def gc_at(root: Path) -> None:
    repo = Repository.open(str(root))
    try:
        collect(repo, NOW)
    finally:
        repo.close()


def content_of(repo: Repository, house: House) -> dict[str, bytes]:
    head = Refs(repo).get(house.asset, "main").commit
    assert [commit.message for _, commit in log(repo, head)][-1] == "Repository created"
    return {row[0]: b"".join(read_row(repo, row)) for row in repo.files(head).scan()}


def packs_of(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / "packs").rglob("*") if path.is_file())


def try_at_each_write(
    house: House, tmp_path: Path, disturb: Callable[[Path, int], None], *, step: int = 1
) -> int:
    """Disturb gc at each call that writes; whatever it leaves, the next gc makes the store as it
    would have been. Returns how many calls there were.
    """
    pristine, content = tmp_path / "store", house.content()
    house.repo.leases.rest()
    trial = tmp_path / "trial"
    for _ in range(2):  # the first looks at the machine, too
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(pristine, trial)
        with recorded() as calls:
            gc_at(trial)
    size = packs_of(trial)
    assert size < packs_of(pristine) - 500_000
    points = [at for at, (name, _) in enumerate(calls) if name in WRITES]
    for at in points[::step]:
        shutil.rmtree(trial)
        shutil.copytree(pristine, trial)
        disturb(trial, at)
        repo = Repository.open(str(trial))
        assert check(repo).damages == [], calls[at]
        assert content_of(repo, house) == content
        collect(repo, NOW)
        assert check(repo).damages == [], calls[at]
        assert content_of(repo, house) == content
        plan = read_plan(repo.cells)
        assert plan is None or not plan.is_pending
        repo.close()
        # A pack that was written and not condemned any more is merged or dropped by the next.
        assert packs_of(trial) <= size * 1.02, calls[at]
    return len(points)


def test_killed_at_every_write(rubbish: House, tmp_path: Path) -> None:
    """A gc that dies half way must neither lose what is needed nor keep what is not for ever."""

    def disturb(root: Path, at: int) -> None:
        assert killed(lambda: gc_at(root), at=at, before=True)

    assert try_at_each_write(rubbish, tmp_path, disturb) > 20


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_is_told_and_nothing_is_lost(
    rubbish: House, tmp_path: Path, code: int
) -> None:
    def disturb(root: Path, at: int) -> None:
        with failing(at, code):
            try:
                gc_at(root)
            except (StorageError, OutcomeUnknownError):
                return
            except AhError as error:  # found by reading back, for instance
                assert error.code in ("conflict", "lease-lost")  # noqa: PT017

    assert try_at_each_write(rubbish, tmp_path, disturb, step=4) > 20
