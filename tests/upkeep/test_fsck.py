"""fsck: what it tells of a damage, and mending. That every damage is found: test_damage.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ahstore.codec.digests import md5
from ahstore.errors import AhError, InvalidInputError, NotFoundError
from ahstore.objects.edit import edit
from ahstore.objects.file import MD5
from ahstore.packs.reader import list_packs
from ahstore.upkeep.check_packs import Share
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.repair import mend
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import ref_cell
from ahstore.versions.repository import Repository
from tests.upkeep.kit import MODEL, NOW, House, furnish

ALL = Share()


def flip(at: float) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = min(int(len(data) * at), len(data) - 1)
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return change


def overwrite(path: Path, data: bytes) -> None:
    os.chmod(path, 0o644)
    path.write_bytes(data)


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
    for path in (root / "packs").rglob("*"):
        if path.is_file() and path.stat().st_size:
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


def test_damaged_segments_are_written_anew(local: House) -> None:
    furnish(local)
    root = Path(str(local.repo.storage.capabilities.local_path))
    (segment,) = (root / "index").iterdir()
    overwrite(segment, flip(0.3)(segment.read_bytes()))
    repo = Repository.open(str(root))
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
