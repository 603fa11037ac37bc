"""History, undoing and transactions, as the objects of the Python interface offer them."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from pathlib import Path

import pytest

import ahstore as ah
from ahstore import api
from ahstore.client.branch import Branch
from ahstore.client.dataset import Dataset
from ahstore.client.folder import Folder
from ahstore.client.ref import Tag
from ahstore.client.store import Store
from ahstore.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    MergeConflictError,
    NotFoundError,
)


@pytest.fixture
def data(store: Store) -> Dataset:
    store.create("dataset/f")
    made = store.create("dataset/f/d")
    assert isinstance(made, Dataset)
    return made


@pytest.fixture
def main(data: Dataset) -> Branch:
    branch = data.get_branch("main")
    with branch.transaction("Add a and b") as t:
        t.put("a", b"1")
        t.put("sub/b", b"1")
    return branch


def put(branch: Branch, message: str = "change", **files: str) -> ah.Commit:
    with branch.transaction(message) as t:
        for path, text in files.items():
            t.put(path.replace("__", "/"), text.encode())
    assert t.commit is not None
    return t.commit


def test_a_transaction_ends_with_its_block(main: Branch, said: list[str]) -> None:
    Path("local").write_text("local")
    with main.transaction("Many", metadata={"epoch": 5}) as t:
        t.put("bytes", bytearray(b"bytes"))
        t.put("stream", io.BytesIO(b"stream"))
        t.put("file", "local")
        t.put("path", Path("local"), executable=True)
        with t.open("written", "wb") as target, t.open("a") as source:
            target.write(source.read() * 3)
        assert t.exists("written")
        assert t.move("sub/", "moved/") == 1
        assert t.delete("a") == 1
        assert [each["path"] for each in t.list("m")] == ["moved/b"]
        assert t.commit is None
    assert t.commit == main.get_commit()
    assert t.commit.to_dict()["metadata"] == {"epoch": 5}
    assert [each["path"] for each in main.list_object()] == [
        "bytes", "file", "moved/b", "path", "stream", "written",
    ]  # fmt: skip
    assert said[-1] == f"Commit {t.commit.id[:8]} created"
    with main.transaction("Nothing") as t:
        t.put("bytes", b"bytes")
    assert t.commit is None


def test_an_exception_leaves_nothing(main: Branch) -> None:
    before = main.commit_id

    def fail() -> None:
        with main.transaction("Half") as t:
            t.put("a", b"other")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert main.commit_id == before
    t = main.transaction("Unused")
    with pytest.raises(ConflictError, match="with block"):
        t.put("a", b"")
    with t:
        pass
    with pytest.raises(ConflictError), t:
        pass


def test_a_transaction_refuses_what_it_can_not_take(main: Branch) -> None:
    with main.transaction("Odd") as t:
        with pytest.raises(InvalidInputError, match="int"):
            t.put("x", 5)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="mode"):
            t.open("x", "a")  # type: ignore[call-overload]
    with pytest.raises(ConflictError), main.transaction("x", expect=main.get_commit(index=1)):
        pass


def test_a_copy_from_another_asset(store: Store, main: Branch) -> None:
    other = store.create("dataset/f/other").get_branch("main")  # type: ignore[union-attr]
    with other.transaction("Take over") as t:
        t.copy("sub/", "taken/", source=main)
    assert other.open("taken/b").read() == b"1"


def test_a_log_can_be_asked(main: Branch) -> None:
    second = put(main, "Second", a="2")
    put(main, "Third", sub__b="2")
    assert [c["message"] for c in main.list_commit(paths=["sub"])] == ["Third", "Add a and b"]
    assert [c["message"] for c in main.list_commit(1, paths=["a"])] == ["Second"]
    assert [c["message"] for c in main.list_commit(message="^S")] == ["Second"]
    assert main.list_commit(since="2999-01-01") == []
    assert len(main.list_commit(until=datetime.now(timezone.utc))) == 4
    assert main.list_commit(until=0.0) == []
    with pytest.raises(InvalidInputError):
        main.list_commit(paths="a")  # type: ignore[arg-type]
    found = {each["path"]: each["message"] for each in main.blame()}
    assert found == {"a": "Second", "sub/b": "Third"}
    assert [each["commit_id"] for each in main.blame("a")] == [second.id]
    assert second.changes() == {"added": 0, "deleted": 0, "grown_bytes": 0, "modified": 1}
    drawn = list(main.iter_graph())
    assert [commit["id"] for commit, _ in drawn] == [c["id"] for c in main.list_commit()]
    assert all(commit["parents"] == parents for commit, parents in drawn)


def test_revert_and_cherry_pick(data: Dataset, main: Branch) -> None:
    dev = data.create_branch("dev")
    change = put(dev, "Change a", a="2")
    picked = main.cherry_pick(change)
    assert picked is not None
    assert picked.to_dict()["metadata"] == {"cherry_picked_from": change.id}
    assert (picked.message, main.open("a").read()) == ("Change a", b"2")
    assert main.cherry_pick("dev") is None
    undone = main.revert("main", metadata={"why": "worse"})
    assert undone is not None
    assert undone.message == f'Revert "Change a"\n\nThis reverts commit {picked.id}.'
    assert undone.to_dict()["metadata"] == {"why": "worse"}
    assert main.open("a").read() == b"1"
    put(main, a="3")
    with pytest.raises(MergeConflictError) as caught:
        main.revert(picked)
    assert caught.value.paths == ["a"]
    assert main.revert(picked, strategy="ours") is None
    assert main.revert(picked, strategy="theirs", msg="Back") is not None
    assert main.open("a").read() == b"1"
    with pytest.raises(ConflictError):
        main.revert(picked, strategy="theirs", expect=picked)
    with pytest.raises(InvalidInputError):
        main.revert(picked, strategy="replace")


def test_a_merge_is_reverted_against_one_of_its_parents(data: Dataset, main: Branch) -> None:
    dev = data.create_branch("dev")
    put(dev, a="2")
    put(main, c="1")
    merged = dev.merge(msg="Both", metadata={"by": "hand"})
    assert merged is not None
    assert merged.to_dict()["metadata"] == {"by": "hand"}
    with pytest.raises(InvalidInputError, match="mainline 1 to 2"):
        main.revert(merged)
    with pytest.raises(InvalidInputError, match="no parent 3"):
        main.revert(merged, mainline=3)
    side = data.create_branch("side", source=merged)
    assert main.revert(merged, mainline=1) is not None
    assert (main.open("a").read(), main.open("c").read()) == (b"1", b"1")
    assert side.revert(merged, mainline=2) is not None
    assert [row["path"] for row in side.list_object() if row["path"] == "c"] == []
    assert side.open("a").read() == b"2"


def test_a_merge_is_picked_against_one_of_its_parents(data: Dataset, main: Branch) -> None:
    """Against the other parent it is the other side's change: the wrong one would be undone or done."""
    before = main.get_commit()
    dev = data.create_branch("dev")
    put(dev, a="2")
    put(main, c="1")
    merged = dev.merge(msg="Both")
    assert merged is not None
    for mainline, expected in ((1, {"a": b"2"}), (2, {"a": b"1", "c": b"1"})):
        onto = data.create_branch(f"onto-{mainline}", source=before)
        with pytest.raises(InvalidInputError, match="mainline 1 to 2"):
            onto.cherry_pick(merged)
        assert onto.cherry_pick(merged, mainline=mainline) is not None
        found = {row["path"]: onto.open(row["path"]).read() for row in onto.list_object()}
        assert {path: found.get(path) for path in ("a", "c") if path in found} == expected


def test_a_name_that_was_made_anew_comes_back_as_it_was_last(data: Dataset, main: Branch) -> None:
    """Its older life is over: to bring that back would put aside what was committed since."""
    old = data.create_branch("dev")
    put(old, a="old")
    old.delete()
    new = data.create_branch("dev")
    head = put(new, a="new")
    with pytest.raises(AlreadyExistsError):
        data.undelete_branch("dev")
    assert data.get_branch("dev").commit_id == head.id
    new.delete()
    assert data.undelete_branch("dev").commit_id == head.id
    data.get_branch("dev").delete()
    data.create_tag("dev", source="main")
    data.get_tag("dev").delete()
    with pytest.raises(NotFoundError, match="was a tag"):
        data.undelete_branch("dev")


def test_strategies_decide_conflicts(data: Dataset, main: Branch) -> None:
    for strategy, expected in (("ours", b"main"), ("theirs", b"dev"), ("replace", b"dev")):
        dev = data.create_branch(f"dev-{strategy}")
        put(dev, a="dev", **{f"new-{strategy}": "1"})
        put(main, a="main", **{f"kept-{strategy}": "1"})
        with pytest.raises(MergeConflictError):
            dev.merge()
        assert dev.merge(strategy=strategy) is not None  # type: ignore[arg-type]
        assert main.open("a").read() == expected
        assert main.exists(f"new-{strategy}")
        assert main.exists(f"kept-{strategy}") == (strategy != "replace")
        put(main, a="again")
    with pytest.raises(InvalidInputError, match="no strategy"):
        dev.merge(strategy="mine")  # type: ignore[arg-type]


def test_replace_takes_away_what_is_newer(data: Dataset, main: Branch) -> None:
    """Asset Hub's merge: the target becomes exactly the source, also one that lags behind."""
    data.create_branch("old")
    put(main, c="1")
    assert data.merge("old") is None
    made = data.merge("old", strategy="replace")
    assert made is not None
    assert not main.exists("c")
    assert data.merge("old", strategy="replace") is None


def test_objects_are_restored_without_their_bytes(main: Branch) -> None:
    before = main.get_commit()
    put(main, a="2", sub__new="1")
    with main.transaction("Delete") as t:
        t.delete("sub/b")
    made = main.restore(["sub", "a"], before)
    assert made is not None
    assert made.message == f"Restore sub, a from {before.id[:8]}"
    assert [each["path"] for each in main.list_object()] == ["a", "sub/b"]
    assert main.restore(["a"], "main~1") is not None
    assert main.open("a").read() == b"2"
    assert main.restore(["a"], "main") is None
    with main.transaction("An object where a folder was") as t:
        t.delete("sub/")
        t.put("sub", b"1")
    with pytest.raises(InvalidInputError, match="can't be a file"):
        main.restore(["sub/"], before)
    assert main.restore(["sub"], before) is not None
    with pytest.raises(NotFoundError, match="nothing at"):
        main.restore(["nothing"], before)
    with pytest.raises(InvalidInputError, match="nothing to restore"):
        main.restore([], before)


def test_what_is_deleted_comes_back(data: Dataset, main: Branch, store: Store) -> None:
    dev = data.create_branch("dev")
    head = put(dev, a="2")
    dev.create_tag("v1")
    with pytest.raises(AlreadyExistsError):
        data.undelete_branch("dev")
    dev.delete()
    data.get_tag("v1").delete()
    with pytest.raises(NotFoundError, match="was a branch"):
        data.undelete_tag("dev")
    assert data.undelete_branch("dev").commit_id == head.id
    assert store.undelete("f/d:tag/v1", resource="tag").commit_id == head.id
    with pytest.raises(NotFoundError, match="never was"):
        data.undelete_branch("nope")
    assert [each["event"] for each in dev.list_head()] == [
        "created", "deleted", "committed", "created",
    ]  # fmt: skip
    assert dev.list_head(1)[0]["message"] == "change"


def test_folders_assets_and_tags_come_back_by_their_paths(
    data: Dataset, main: Branch, store: Store, said: list[str]
) -> None:
    head = main.commit_id
    data.create_tag("v1")
    data.get_tag("v1").delete()
    with pytest.raises(NotFoundError, match="was a tag"):
        store.undelete("f/d:v1", resource="branch")
    assert isinstance(store.undelete("f/d:v1"), Tag)
    data.delete()
    assert store.undelete("dataset/f/d") == data
    assert said[-1] == "Bringing back Dataset d in Folder f"
    assert (main.commit_id, data.get_tag("v1").commit_id) == (head, head)
    store.delete("dataset/f", force=True)
    folder = store.undelete("dataset/f")
    assert isinstance(folder, Folder)
    assert said[-1] == "Bringing back Dataset Folder f"
    assert folder.get_asset("d") == data
    data.delete()
    assert folder.undelete_asset("d") == data
    assert [each["event"] for each in main.list_head()][-2:] == ["committed", "created"]
    with pytest.raises(InvalidInputError):
        store.undelete("dataset/f/d", resource="tag")
    with pytest.raises(AlreadyExistsError):
        store.undelete("dataset/f")


def test_a_version_of_another_asset_is_refused(store: Store, main: Branch) -> None:
    other = store.create("dataset/f/other").version()  # type: ignore[union-attr]
    for use in (main.reset, main.revert, main.cherry_pick, lambda v: main.restore(["a"], v)):
        with pytest.raises(InvalidInputError, match="no version of"):
            use(other)


def test_the_calls_of_the_module(
    store: Store, main: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "default_store", lambda: store)
    first = main.get_commit()
    with ah.transaction("f/d", "By path") as t:
        t.put("a", b"2")
    reverted = ah.revert("f/d", "main", msg="Undo")
    assert reverted is not None
    again = ah.cherry_pick("dataset/f/d", t.commit.id)  # type: ignore[union-attr]
    assert again is not None
    restored = ah.restore("f/d", ["a"], first.id)
    assert restored is not None
    assert main.open("a").read() == b"1"
    ah.create("dataset/f/d:dev")
    ah.delete("dataset/f/d:dev")
    assert ah.undelete("dataset/f/d:dev").commit_id == restored.id
    assert ah.merge("dataset/f/d:dev", metadata={"x": 1}) is None
