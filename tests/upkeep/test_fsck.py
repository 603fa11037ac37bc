"""fsck: every damage to every file is found and named, no read gives wrong bytes; and mending."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ahstore.client.store import Store
from ahstore.codec.digests import md5
from ahstore.errors import AhError, InvalidInputError, NotFoundError
from ahstore.index.consolidation import Consolidation
from ahstore.objects.edit import edit
from ahstore.objects.file import MD5
from ahstore.packs.reader import list_packs
from ahstore.upkeep.check_packs import Share
from ahstore.upkeep.damage import FsckReport
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.repair import mend
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import ref_cell
from ahstore.versions.repository import Repository
from tests.upkeep.kit import MODEL, NOW, House, new_house

ALL = Share()


def furnish(house: House) -> None:
    """Put one of everything into a store, in as few files as may be."""
    store = house.store
    house.commit(small=b"small", large=house.noise(1_500_000), long=b"1" * 2_000_000)
    house.commit(small=b"other", second=house.noise(800_000))
    store.create(f"{MODEL}:v1", resource="tag", source="main")
    store.create("dataset/d")
    store.create("dataset/d/data", description="x" * 6000)
    results = {"metric.json": {"acc": 0.5}, "long.json": {"text": "y" * 8000}}
    store.version(MODEL).create_evaluation(results, dataset="dataset/d/data")
    repo = house.repo
    Consolidation(repo.storage, repo.cells, repo.packs).cover(list_packs(repo.storage))
    repo.leases.rest()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A furnished store on disk, and what is in it."""
    root = tmp_path_factory.mktemp("pristine")
    house = new_house(str(root / "store"), root)
    furnish(house)
    content = house.content()
    house.store.close()
    return root / "store", content


@pytest.fixture
def damaged(pristine: tuple[Path, dict[str, bytes]], tmp_path: Path) -> Path:
    shutil.copytree(pristine[0], tmp_path / "store")
    return tmp_path / "store"


def files_of(root: Path) -> list[Path]:
    """Return the files that fsck answers for."""
    found = [path for path in root.rglob("*") if path.is_file() and ".local" not in path.parts]
    return sorted(
        path for path in found if path.relative_to(root).parts[0] not in ("logs", "hints")
    )


def check_anew(root: Path) -> FsckReport:
    """Check as a process would that has no cache."""
    with Store.open(str(root), user="ann", create=False, cache_dir=root.parent / "none") as store:
        shutil.rmtree(root.parent / "none", ignore_errors=True)
        return check(store.core.repo, read_data=ALL)


def read_all(root: Path, content: dict[str, bytes]) -> None:
    """Read every object: each has its bytes, or a typed error comes."""
    with Store.open(str(root), user="ann", create=False, cache_dir=root.parent / "none2") as store:
        for path, data in content.items():
            try:
                with store.version(MODEL).open(path) as file:
                    assert file.read() == data, path
            except AhError:
                continue
    shutil.rmtree(root.parent / "none2", ignore_errors=True)


def is_named(report: FsckReport, root: Path, path: Path) -> bool:
    """Tell whether a report names a file, or the pack or cell it belongs to."""
    key = str(path.relative_to(root))
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


def overwrite(path: Path, data: bytes) -> None:
    os.chmod(path, 0o644)
    path.write_bytes(data)


def assert_found(root: Path, path: Path, content: dict[str, bytes], how: str) -> None:
    read_all(root, content) if path.name != "store.json" else None
    if path.name == "store.json":
        if how != "one byte short":  # a newline, which means nothing
            with pytest.raises(AhError):
                check_anew(root)
        return
    report = check_anew(root)
    assert not report.clean, f"{path} {how}"
    assert is_named(report, root, path), f"{path} {how}: {[d.message for d in report.damages]}"


def damage_and_check(
    root: Path, content: dict[str, bytes], names: list[str], files: list[Path]
) -> int:
    for path in files:
        data = path.read_bytes()
        for name in names:
            overwrite(path, CHANGES[name](data))
            assert_found(root, path, content, name)
            overwrite(path, data)
    assert check_anew(root).damages == []
    return len(names) * len(files)


def test_a_whole_store_is_clean(pristine: tuple[Path, dict[str, bytes]]) -> None:
    """A false alarm sends people looking for backups."""
    report = check_anew(pristine[0])
    assert report.damages == []
    assert report.packs == report.read_packs > 3
    assert report.files == 5
    assert report.commits >= 4


def test_damage_anywhere_is_found_and_named(
    pristine: tuple[Path, dict[str, bytes]], damaged: Path
) -> None:
    """I1 in short: what fsck passes over is lost on the day it is read."""
    files = files_of(damaged)
    assert len(files) > 15
    names = ["at a fifth", "at four fifths", "truncated"]
    assert damage_and_check(damaged, pristine[1], names, files) > 45


@pytest.mark.long
def test_every_damage_everywhere(pristine: tuple[Path, dict[str, bytes]], damaged: Path) -> None:
    files = files_of(damaged)
    count = damage_and_check(damaged, pristine[1], list(CHANGES), files)
    for path in files:
        data = path.read_bytes()
        for seed in range(40):
            choose = random.Random(seed)
            overwrite(path, flip(choose.random(), 1 << choose.randrange(8))(data))
            assert_found(damaged, path, pristine[1], f"seed {seed}")
            count += 1
        overwrite(path, data)
    assert count >= 1000


def test_swapped_files_are_told(pristine: tuple[Path, dict[str, bytes]], damaged: Path) -> None:
    """Each file is whole, and in the other's place."""
    for kind in ("packs/meta", "packs/data", "cells/ref", "cells/asset"):
        first, second = [p for p in files_of(damaged) if kind in str(p)][:2]
        one, other = first.read_bytes(), second.read_bytes()
        overwrite(first, other)
        overwrite(second, one)
        assert_found(damaged, first, pristine[1], "swapped")
        assert_found(damaged, second, pristine[1], "swapped")
        overwrite(first, one)
        overwrite(second, other)
    assert check_anew(damaged).damages == []


def test_deleted_files_are_told(pristine: tuple[Path, dict[str, bytes]], damaged: Path) -> None:
    """All but the newest version of a cell, without which the cell is just as it was before."""
    told = 0
    for path in files_of(damaged):
        if path.name == "store.json":
            continue
        data = path.read_bytes()
        path.unlink()
        key = str(path.relative_to(damaged))
        left = [other.name for other in path.parent.iterdir()]
        newest = key.startswith("cells/") and min([path.name, *left]) == path.name
        report = check_anew(damaged)
        if not key.startswith("cells/"):
            read_all(damaged, pristine[1])
        if not newest or key.startswith(("cells/asset/", "cells/folder/")):
            assert not report.clean, key
            told += 1
        path.write_bytes(data)
    assert told > 8
    assert check_anew(damaged).damages == []


def test_damage_tells_objects_and_commits(local: House) -> None:
    first = local.commit(broken=local.noise(300_000), whole=b"1")
    second = local.commit(whole=b"2")
    entry = next(row for row in local.store.list(MODEL) if row["path"] == "broken")
    key, _, span = entry["physical_address"].partition("#")
    path = Path(key.removeprefix("file://"))
    data = path.read_bytes()
    overwrite(path, flip((int(span.split(",")[0]) + 10) / len(data))(data))
    report = check(local.repo, read_data=ALL)
    (damage,) = report.damages
    (use,) = damage.uses
    assert (use.asset, use.path) == (f"ann/{MODEL}", "broken")
    assert use.commits == (second, first)
    assert check(local.repo).clean  # structure alone is not harmed


def test_a_share_reads_its_part_and_all_shares_everything(house: House) -> None:
    for number in range(6):
        house.commit(**{f"f{number}": house.noise(3000)})
    packs = len(list(list_packs(house.repo.storage)))
    reports = [check(house.repo, read_data=Share(n, 3)) for n in (1, 2, 3)]
    assert sum(report.read_packs for report in reports) == packs
    assert sum(report.files for report in reports) == 6
    assert all(report.read_packs < packs for report in reports)
    with pytest.raises(InvalidInputError):
        Share.parse("4/3")


def test_a_wrong_md5_is_told(house: House) -> None:
    """The MD5 is what users compare; it must not lie, though nothing rests on it."""
    house.commit(a=b"content")
    repo, cell = house.repo, ref_cell(house.asset, "main")
    with repo.session([cell]) as session:

        def propose(head):  # type: ignore[no-untyped-def]
            root = repo.read_commit(head).tree
            row = list(repo.tree(root).find("a") or ())
            row[MD5] = md5(b"something else")
            return Proposal(edit(repo, root, [("a", row)], session), (head,))

        publish(repo, session, house.asset, "main", propose, Signature("lie", "ann"))
    assert check(repo).clean
    (damage,) = check(repo, read_data=ALL).damages
    assert damage.what == "file"


# Mending.


def broken_pack(house: House, name: str = "a") -> Path:
    """Flip a bit of the first chunk of an object; return its pack's file."""
    entry = next(row for row in house.store.list(MODEL) if row["path"] == name)
    key, _, span = entry["physical_address"].partition("#")
    path = Path(key.removeprefix("file://"))
    data = path.read_bytes()
    overwrite(path, flip((int(span.split(",")[0]) + 5) / len(data))(data))
    return path


def test_what_is_whole_is_saved_and_the_rest_set_aside(local: House) -> None:
    local.commit(a=local.noise(700_000), b=local.noise(700_000))
    whole = local.content()["b"]
    path = broken_pack(local)
    bytes_ = path.read_bytes()
    report = mend(local.repo, read_data=ALL)
    assert not report.clean
    assert not path.exists()
    root = Path(str(local.repo.storage.capabilities.local_path))
    assert (root / "aside" / "data" / path.name).read_bytes() == bytes_
    with local.store.version(MODEL).open("b") as file:
        assert file.read() == whole
    assert [d.what for d in check(local.repo).damages] == ["missing"]


def test_adding_the_file_again_heals(local: House) -> None:
    """The chunk must not count as present, or a good copy would be thrown away."""
    data = local.noise(700_000)
    local.commit(a=data)
    broken_pack(local)
    mend(local.repo, read_data=ALL)
    again = local.store.commit(MODEL, "again", add=[str(local.work / "a")], rehash=True)
    assert again is None  # nothing has changed, but what was lost is there
    assert local.content() == {"a": data}
    assert check(local.repo, read_data=ALL).clean


def test_another_store_heals(local: House, tmp_path: Path) -> None:
    local.commit(a=local.noise(700_000), long=b"x" * 3_000_000)
    local.store.create(f"{MODEL}:v1", resource="tag")
    content = local.content()
    local.repo.leases.rest()
    root = Path(str(local.repo.storage.capabilities.local_path))
    shutil.copytree(root, tmp_path / "copy")
    for path in files_of(root):
        if "packs" in path.parts and path.stat().st_size:
            overwrite(path, flip(0.5)(path.read_bytes()))
    copy = Repository.open(str(tmp_path / "copy"))
    fresh = Repository.open(str(root))
    assert mend(fresh, source=copy, read_data=ALL).clean
    assert check(fresh, read_data=ALL).clean
    copy.close()
    fresh.close()
    assert local.content() == content


def test_mending_twice_is_mending_once(local: House) -> None:
    """A repair that was killed is begun again."""
    local.commit(a=local.noise(700_000), b=b"2")
    broken_pack(local)
    mend(local.repo, read_data=ALL)
    before = sorted(local.repo.storage.list("packs/"))
    report = mend(local.repo, read_data=ALL)
    assert sorted(local.repo.storage.list("packs/")) == before
    assert [d.what for d in report.damages] == ["missing"]
    collect(local.repo, NOW)
    assert [d.what for d in check(local.repo).damages] == ["missing"]


def test_a_store_without_damage_is_let_be(local: House) -> None:
    furnish(local)
    before = sorted(local.repo.storage.list("packs/"))
    assert mend(local.repo, read_data=ALL).damages == []
    assert sorted(local.repo.storage.list("packs/")) == before


def test_damaged_segments_are_written_anew(damaged: Path) -> None:
    (segment,) = (damaged / "index").iterdir()
    overwrite(segment, flip(0.3)(segment.read_bytes()))
    repo = Repository.open(str(damaged))
    assert [d.what for d in check(repo).damages] == ["index"]
    assert mend(repo).clean
    assert check(repo).damages == []
    repo.close()


def test_a_missing_pack_is_told_by_what_it_held(local: House) -> None:
    local.commit(a=local.noise(700_000))
    entry = next(row for row in local.store.list(MODEL) if row["path"] == "a")
    Path(entry["physical_address"].partition("#")[0].removeprefix("file://")).unlink()
    report = check(local.repo)
    assert {d.what for d in report.damages} == {"missing"}
    assert {use.path for d in report.damages for use in d.uses} == {"a"}
    with pytest.raises((NotFoundError, AhError)):
        local.content()
