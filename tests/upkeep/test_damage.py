"""I1: every damage to every file of a store is found and named, and no read gives wrong bytes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path

import pytest

from ahstore.client.store import Store
from ahstore.errors import AhError
from ahstore.testing.s3_servers import S3Server
from ahstore.upkeep.check_packs import Share
from ahstore.upkeep.damage import FsckReport
from ahstore.upkeep.fsck import check
from tests.storage.s3_session import shared_session
from tests.upkeep.kit import MODEL, furnish, new_house
from tests.upkeep.places import BucketPlace, LocalPlace, MemoryPlace, Place

ALL = Share()


@dataclass
class Furnished:
    """A store that holds one of everything: where, what its files were, and what it holds.

    Of one that is ``far`` the short forms try a few files only: each try takes a second.
    """

    place: Place
    files: dict[str, bytes]
    content: dict[str, bytes]
    caches: Path

    @property
    def far(self) -> bool:
        return isinstance(self.place, BucketPlace)

    def open(self) -> Store:
        """Open it as a process would that has no cache."""
        shutil.rmtree(self.caches, ignore_errors=True)
        return Store.open(
            self.place.url,
            user="ann",
            create=False,
            cache_dir=self.caches,
            storage_options={"session": shared_session()} if self.far else None,
        )

    def check(self) -> FsckReport:
        with self.open() as store:
            return check(store.core.repo, read_data=ALL)

    def read_all(self) -> None:
        """Read every object: each has its bytes, or a typed error comes."""
        try:
            with self.open() as store:
                for path, data in self.content.items():
                    try:
                        with store.version(MODEL).open(path) as file:
                            assert file.read() == data, path
                    except AhError:
                        continue
        except AhError:
            return

    def restore(self) -> None:
        """Undo all damage."""
        for key in set(self.place.answered_for()) - set(self.files):
            self.place.remove(key)
        for key, data in self.files.items():
            self.place.write(key, data)


@pytest.fixture(scope="module", params=["local", "memory", "bucket"])
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Furnished]:
    """A store of each kind, furnished once."""
    root = tmp_path_factory.mktemp("furnished")
    with pytest.MonkeyPatch.context() as patch:
        place: Place
        if request.param == "bucket":
            server: S3Server = request.getfixturevalue("s3_server")
            for name, value in server.environment().items():
                patch.setenv(name, value)
            place = BucketPlace(server)
        else:
            place = MemoryPlace() if request.param == "memory" else LocalPlace(root / "store")
        house = new_house(place.url, root)
        furnish(house)
        content = house.content()
        house.store.close()
        yield Furnished(place, place.contents(), content, root / "none")


@pytest.fixture
def furnished(kept: Furnished) -> Iterator[Furnished]:
    """The same, whole again afterwards."""
    yield kept
    kept.restore()


def is_named(report: FsckReport, key: str) -> bool:
    """Tell whether a report names a file, or the pack or cell it belongs to."""
    folder = key[: key.rfind("/") + 1]
    return any(
        key in (d.key, d.message)
        or (d.pack is not None and key.endswith(d.pack))
        or (d.key.endswith("/") and d.key == folder)
        or key in d.message
        for d in report.damages
    )


def flip(at: float, bit: int = 1) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = min(int(len(data) * at), len(data) - 1)
        return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]

    return change


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "first byte": flip(0.0),
    "at a fifth": flip(0.2, 8),
    "in the middle": flip(0.5, 64),
    "at four fifths": flip(0.8, 16),
    "last byte": flip(1.0, 2),
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "empty": lambda _: b"",
}


def assert_found(furnished: Furnished, key: str, how: str) -> None:
    if key == "store.json":
        if how != "one byte short":  # a newline, which means nothing
            with pytest.raises(AhError):
                furnished.check()
        return
    furnished.read_all()
    report = furnished.check()
    assert not report.clean, f"{key} {how}"
    assert is_named(report, key), f"{key} {how}: {[d.message for d in report.damages]}"


def damage_and_check(furnished: Furnished, damages: Iterable[tuple[str, str]]) -> int:
    """Make each change to its file; return how many that were."""
    count = 0
    for key, name in damages:
        data = furnished.files[key]
        furnished.place.write(key, CHANGES[name](data))
        assert_found(furnished, key, name)
        furnished.place.write(key, data)
        count += 1
    assert furnished.check().damages == []
    return count


def test_a_whole_store_is_clean(furnished: Furnished) -> None:
    """A false alarm sends people looking for backups."""
    report = furnished.check()
    assert report.damages == []
    assert report.packs == report.read_packs > 3
    assert report.files == 5
    assert report.commits >= 4


def test_damage_anywhere_is_found_and_named(furnished: Furnished) -> None:
    """What fsck passes over is lost on the day it is read."""
    assert len(furnished.files) > 15
    if furnished.far:
        damages = zip(list(furnished.files)[::6], cycle(CHANGES))
    else:
        damages = product(furnished.files, ["at a fifth", "at four fifths", "truncated"])
    assert damage_and_check(furnished, damages) > (3 if furnished.far else 45)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_damage_everywhere(furnished: Furnished) -> None:
    count = damage_and_check(furnished, product(furnished.files, CHANGES))
    for key, data in furnished.files.items():
        for seed in range(10 if furnished.far else 40):
            choose = random.Random(seed)
            furnished.place.write(key, flip(choose.random(), 1 << choose.randrange(8))(data))
            assert_found(furnished, key, f"seed {seed}")
            count += 1
        furnished.place.write(key, data)
    assert count >= (400 if furnished.far else 1000)


def test_swapped_files_are_told(furnished: Furnished) -> None:
    """Each file is whole, and in the other's place."""
    place, files = furnished.place, furnished.files
    kinds = ("packs/meta", "packs/data", "cells/ref", "cells/asset")
    for kind in kinds[2:3] if furnished.far else kinds:
        first, second = [key for key in files if kind in key][:2]
        place.write(first, files[second])
        place.write(second, files[first])
        assert_found(furnished, first, "swapped")
        assert_found(furnished, second, "swapped")
        furnished.restore()
    assert furnished.check().damages == []


def test_deleted_files_are_told(furnished: Furnished) -> None:
    """All but the newest version of a cell, without which the cell is just as it was before."""
    told = 0
    keys = [key for key in furnished.files if key != "store.json"]
    for key in keys[::9] if furnished.far else keys:
        data = furnished.files[key]
        furnished.place.remove(key)
        folder = key[: key.rfind("/") + 1]
        newest = (
            key.startswith("cells/")
            and min(k for k in furnished.files if k.startswith(folder)) == key
        )
        report = furnished.check()
        if not key.startswith("cells/"):
            furnished.read_all()
        if not newest or key.startswith(("cells/asset/", "cells/folder/")):
            assert not report.clean, key
            told += 1
        furnished.place.write(key, data)
    assert told > (1 if furnished.far else 8)
    assert furnished.check().damages == []
