import io
import os
from pathlib import Path

import pytest

from ahstore.client.dataset import Dataset
from ahstore.client.model import Model
from ahstore.client.ref import Branch, Commit
from ahstore.client.store import Store
from ahstore.errors import ConflictError, InvalidInputError, NotFoundError, ObjectNotFoundError


@pytest.fixture
def model(store: Store) -> Model:
    store.create("model/f")
    store.create("model/f/a")
    return store.model("f/a")


@pytest.fixture
def dataset(store: Store) -> Dataset:
    store.create("dataset/f")
    made = store.create("dataset/f/d")
    assert isinstance(made, Dataset)
    return made


def test_objects_have_the_tutorials_keys(model: Model) -> None:
    Path("weights.pt").write_bytes(b"0123456789")
    os.utime("weights.pt", (1669891751, 1669891751))
    Path("empty").write_bytes(b"")
    branch = model.create_branch("v1")
    branch.create_commit(msg="add", add=["weights.pt", "empty"])
    empty, weights = branch.list_object()
    assert weights | {"physical_address": ""} == {
        "checksum": "781e5e245d69b566979b86e28d23f2c7",
        "content_type": "application/octet-stream",
        "mtime": 1669891751,
        "path": "weights.pt",
        "path_type": "object",
        "physical_address": "",
        "size_bytes": 10,
    }
    assert empty["physical_address"] == ""
    assert empty["size_bytes"] == 0


def test_a_physical_address_is_where_the_bytes_lie(home: Path) -> None:
    with Store.open(home / "store") as store:
        store.create("model/f")
        store.create("model/f/a")
        Path("big").write_bytes(os.urandom(3 << 20))  # a list of chunks, in a chunk of its own
        Path("small").write_bytes(b"a few bytes")
        store.commit("model/f/a", "x", add=["big", "small"])
        for entry in store.list("model/f/a"):
            url, _, where = entry["physical_address"].partition("#")
            offset, length = map(int, where.split(","))
            assert url.startswith(store.url + "/packs/data/")
            with open(url.removeprefix("file://"), "rb") as pack:
                pack.seek(offset)
                assert Path(entry["path"]).read_bytes().startswith(pack.read(length))


def test_commits_have_the_tutorials_keys(dataset: Dataset) -> None:
    Path("x").write_text("x")
    made = dataset.create_commit("add x", add=["x"], metadata={"epoch": 5, "raw": b"\x01"})
    assert isinstance(made, Commit)
    newest, oldest = dataset.list_commit()
    assert newest == made.to_dict()
    assert sorted(newest) == [
        "committer", "creation_date", "id", "message", "meta_range_id", "metadata", "parents",
    ]  # fmt: skip
    assert (newest["message"], newest["parents"]) == ("add x", [oldest["id"]])
    assert newest["metadata"] == {"epoch": 5, "raw": "01"}
    assert type(newest["creation_date"]) is int
    assert (oldest["message"], oldest["parents"]) == ("Repository created", [])
    assert dataset.create_commit("again", add=["x"]) is None


def test_additions_may_be_a_mapping_or_paths(dataset: Dataset) -> None:
    Path("d").mkdir()
    Path("d/x").write_text("x")
    Path("with:colon").write_text("y")
    dataset.create_commit("a", add={"d": "to/renamed", Path("d/x"): "sub/"})
    dataset.create_commit("b", add=[Path("d"), "d/*"])
    dataset.create_commit("c", add={"with:colon": "plain"})
    paths = [entry["path"] for entry in dataset.list_object()]
    assert paths == ["d/x", "plain", "sub/x", "to/renamed/x", "x"]
    assert [entry["path"] for entry in dataset.list_object("to/")] == ["to/renamed/x"]
    status = dataset.version().status(delete=["to/"])
    assert [(entry["change"], entry["path"]) for entry in status] == [("deleted", "to/renamed/x")]


def test_a_branch_follows_its_head_and_a_commit_does_not(dataset: Dataset) -> None:
    branch = dataset.get_branch("main")
    first = branch.get_commit()
    Path("x").write_text("x")
    second = branch.create_commit("x", add=["x"])
    assert second is not None
    assert branch.commit_id == second.id != first.id
    assert branch.get_commit() == second
    assert branch.get_commit(index=0) == second
    assert branch.get_commit(index=1) == first == branch.get_commit(index=-1)
    assert branch.get_commit(id=first.id[:8]) == first == dataset.get_commit(first.id)
    assert first.list_object() == []
    assert len(first.list_commit()) == 1
    for index in (2, -3):
        with pytest.raises(NotFoundError):
            branch.get_commit(index=index)


def test_a_commit_of_another_branch_is_not_in_this_ones_history(model: Model) -> None:
    Path("x").write_text("x")
    other = model.create_branch("other").create_commit("x", add=["x"])
    assert other is not None
    with pytest.raises(NotFoundError, match="not in the history"):
        model.get_branch("main").get_commit(id=other.id)


def test_expect_holds_a_writer_to_the_head_he_saw(dataset: Dataset) -> None:
    branch = dataset.get_branch("main")
    seen = branch.get_commit()
    Path("x").write_text("x")
    Path("y").write_text("y")
    assert branch.create_commit("x", add=["x"], expect=seen) is not None
    for expect in (seen, seen.id):
        with pytest.raises(ConflictError):
            branch.create_commit("y", add=["y"], expect=expect)
    with pytest.raises(NotFoundError):
        branch.create_commit("y", add=["y"], expect="beef" * 16)
    assert branch.create_commit("y", add=["y"], expect=branch.commit_id[:10]) is not None


def test_tags_stay(model: Model) -> None:
    branch = model.create_branch("v1")
    tag = branch.create_tag("t1")
    Path("x").write_text("x")
    made = branch.create_commit("x", add=["x"])
    assert made is not None
    assert made.create_tag("t2").commit_id == made.id
    assert model.get_tag("t1").commit_id == tag.commit_id != made.id
    tag.delete()
    with pytest.raises(NotFoundError):
        tag.delete()
    with pytest.raises(NotFoundError):
        model.get_tag("t1")
    with pytest.raises(NotFoundError):
        model.get_branch("t2")
    with pytest.raises(RuntimeError):
        model.create_branch("t2")


def test_merge_and_reset(model: Model) -> None:
    branch = model.create_branch("v1")
    main = model.get_branch("main")
    start = main.get_commit()
    Path("x").write_text("x")
    made = branch.create_commit("x", add=["x"])
    assert branch.merge() == made
    assert branch.merge() is None
    main.reset()  # nothing uncommitted to clear
    assert main.get_commit() == made
    main.reset(start)
    assert main.get_commit() == start
    main.reset("main@{1}")
    assert main.get_commit() == made
    with pytest.raises(InvalidInputError):
        main.merge()


def test_reading_objects(dataset: Dataset, home: Path) -> None:
    Path("x").write_bytes(bytes(range(256)))
    dataset.create_commit("x", add=["x"])
    with dataset.open("x") as source:
        assert isinstance(source, io.BufferedIOBase)
        source.seek(250)
        assert source.read() == bytes(range(250, 256))
    assert dataset.version().exists("x")
    assert not dataset.version().exists("y")
    with pytest.raises(FileNotFoundError):
        dataset.open("y")
    result = dataset.download(save_dir=home / "out")
    assert (result.files, result.size_bytes) == (1, 256)
    with pytest.raises(ObjectNotFoundError):
        dataset.get_branch("main").download(["y"], home / "out")


def test_evaluations_have_the_tutorials_keys(
    model: Model, dataset: Dataset, said: list[str]
) -> None:
    branch = model.create_branch("v1")
    assert branch.path == "user/model/f/a:branch/v1"
    made = branch.create_evaluation(metrics={"loss": 1.47, "accuracy": 0.99}, dataset=dataset)
    head = branch.commit_id
    assert said[-1] == f"Creating evaluation of commit {head[:8]} of Model a"
    assert branch.list_evaluation() == [made] == model.list_evaluation()
    assert made | {"id": "", "startTime": ""} == {
        "datasetBranch": "main",
        "datasetCommit": dataset.version().commit_id,
        "datasetID": dataset.id,
        "datasetRef": "user/dataset/f/d:main",
        "datasetTags": [],
        "id": "",
        "modelBranch": "v1",
        "modelCommit": head,
        "modelID": model.id,
        "modelRef": "user/model/f/a:branch/v1",
        "modelTags": [],
        "results": {"metric": '{"loss": 1.47, "accuracy": 0.99}'},
        "startTime": "",
    }
    # It stays with the commit, wherever the branch moves.
    Path("x").write_text("x")
    branch.create_commit("x", add=["x"])
    assert branch.list_evaluation() == []
    assert branch.get_commit(index=1).list_evaluation() == [made]
    with pytest.raises(InvalidInputError, match="only models"):
        dataset.version().create_evaluation({"x": 1}, dataset)


def test_a_version_is_what_was_written(model: Model) -> None:
    model.create_branch("v1")
    assert model.version("v1").path == "user/model/f/a:v1"
    assert model.version().path == "user/model/f/a:main"
    assert isinstance(model.version("branch/v1"), Branch)
    assert isinstance(model.version("v1~0"), Commit)
    assert len({model.version("v1"), model.get_branch("v1"), model.version("main")}) == 2
    assert repr(model.version("v1")) == "Branch('user/model/f/a:v1')"
