from pathlib import Path

import pytest

from ahstore.client.dataset import Dataset
from ahstore.client.folder import Folder
from ahstore.client.model import Model
from ahstore.client.ref import Branch, Commit, Tag
from ahstore.client.store import Store
from ahstore.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotEmptyError,
    NotFoundError,
    UnsupportedError,
)


def test_the_tutorials_calls(store: Store, said: list[str]) -> None:
    folder = store.create_folder(type_="model", name="image-classification")
    model = folder.create_asset(name="mnist-cnn-keras")
    assert isinstance(model, Model)
    assert said == [
        "Creating Model Folder image-classification",
        "Creating Model mnist-cnn-keras in Folder image-classification",
    ]
    assert store.get_folder(type_="model", name="image-classification") == folder
    assert store.get_folder(id_=folder.id).get_asset(name="mnist-cnn-keras") == model
    assert store.get_folder(owner="user", type_="model", name="image-classification") == folder
    assert store.get_asset(model.id) == model
    assert model.folder == folder
    assert (model.path, model.kind) == ("user/model/image-classification/mnist-cnn-keras", "model")
    with pytest.raises(RuntimeError, match="already exists"):
        store.create_folder(type_="model", name="image-classification")


def test_lists_of_folders_and_assets(store: Store) -> None:
    store.create("dataset/b", labels=["x"], description="bees")
    store.create("model/a")
    store.create("model/a/m", labels=["y"])
    (dataset, model) = store.list_folder()
    assert sorted(dataset) == [
        "created", "description", "id", "labels", "name", "owner", "path", "type",
    ]  # fmt: skip
    assert (dataset["path"], dataset["labels"]) == ("user/dataset/b", ["x"])
    assert model["path"] == "user/model/a"
    assert store.list("model") == [model] == store.list_folder("model")
    (asset,) = store.list("model/a")
    assert (asset["name"], asset["folder"], asset["labels"]) == ("m", "a", ["y"])


def test_everything_by_path(store: Store) -> None:
    assert isinstance(store.create("model/f"), Folder)
    assert isinstance(store.create("dataset/f"), Folder)
    assert isinstance(store.create("model/f/a"), Model)
    assert isinstance(store.create("dataset/f/d"), Dataset)
    assert isinstance(store.create("model/f/a:v1"), Branch)
    assert isinstance(store.create("f/a:t1", resource="tag", source="v1"), Tag)
    assert store.get("model/f/a:v1") == store.model("f/a").get_branch("v1")
    assert store.get("user/model/f/a:tag/t1") == store.asset("f/a").get_tag("t1")
    commit = store.get(f"model/f/a:{store.model('f/a').get_branch('main').commit_id}")
    assert isinstance(commit, Commit)
    assert [ref["id"] for ref in store.list("f/a", resource="branch")] == ["main", "v1"]
    assert store.list("f/a", resource="tag") == [{"commit_id": commit.id, "id": "t1", "name": "t1"}]
    assert store.list("f/a:v1", resource="commit")[0]["message"] == "Repository created"
    assert store.list("f/a") == store.list("f/a", resource="evaluation") == []
    store.update("model/f/a", name="b", labels=["z"])
    assert store.get("model/f/b").labels == ["z"]  # type: ignore[union-attr]
    store.delete("model/f/b:t1")
    store.delete("model/f/b:v1", resource="branch")
    with pytest.raises(NotEmptyError):
        store.delete("model/f")
    store.delete("model/f/b")
    store.delete("model/f")
    store.delete("dataset/f", force=True)
    assert store.list_folder() == []


def test_what_can_not_be_asked_is_refused(store: Store) -> None:
    store.create("model/f")
    store.create("model/f/a")
    refusals = [
        lambda: store.create("f"),
        lambda: store.create("f/x"),
        lambda: store.create("other/model/x"),
        lambda: store.create("model/f/a", resource="tag"),
        lambda: store.create("model/f/a:x", resource="commit"),
        lambda: store.create_folder("thing", "x"),
        lambda: store.create_folder("model", "x", labels="not a list"),
        lambda: store.get_folder(name="f"),
        lambda: store.get_folder(id_="nonsense"),
        lambda: store.get_asset("nonsense"),
        lambda: store.delete("f/a:main~0"),
        lambda: store.delete("f/a:main", resource="tag"),
        lambda: store.update("f/a:main", name="x"),
        lambda: store.list("f/a", resource="thing"),  # type: ignore[arg-type]
        lambda: store.list("f/a:v", resource="thing"),  # type: ignore[arg-type]
        lambda: store.branch("f/a:main~0"),
        lambda: store.commit("f/a", "x", add="a.txt"),
        lambda: store.commit("f/a", "x", add=[1]),  # type: ignore[list-item]
        lambda: store.commit("f/a", "x", delete="a.txt"),
        lambda: store.download("f/a", paths="a.txt"),
        lambda: store.asset("f/a").create_branch("a/b"),
        lambda: store.version("f/a").create_evaluation({}, "f/a"),
        lambda: store.version("f/a").create_evaluation({"x": 1}, "model/f/a"),
        lambda: store.version("f/a").create_evaluation({"x": 1}, store.model("f/a")),  # type: ignore[arg-type]
    ]
    before = store.list("model")
    for refuse in refusals:
        with pytest.raises((InvalidInputError, NotFoundError)):
            refuse()
    assert store.list("model") == before
    assert [ref["id"] for ref in store.list("f/a", resource="branch")] == ["main"]


def test_it_may_be_asked_to_exist(store: Store) -> None:
    folder = store.create_folder("model", "f")
    assert store.create_folder("model", "f", exist_ok=True) == folder
    asset = folder.create_asset("a")
    assert folder.create_asset("a", exist_ok=True) == asset
    with pytest.raises(AlreadyExistsError):
        folder.create_asset("a")


def test_a_store_that_is_not_there_is_made_only_when_asked(home: Path) -> None:
    with pytest.raises(NotFoundError):
        Store.open(home / "store", create=False)
    assert not (home / "store").exists()
    with Store.open(home / "store", user="lou") as store:
        assert (store.user, store.url) == ("lou", f"file://{home}/store")
        identity = store.id
    with Store.open(f"file://{home}/store", create=False) as store:
        assert store.id == identity


def test_bad_stores_and_users_are_typed_errors(home: Path) -> None:
    for url in ("ftps://host/x", "http://x"):
        with pytest.raises(UnsupportedError):
            Store.open(url)
    for user in ("a b", "../x"):
        with pytest.raises(InvalidInputError):
            Store.open(home / "store", user=user)


def test_two_users_share_a_store(home: Path) -> None:
    with Store.open(home / "s", user="ann") as ann, Store.open(home / "s", user="bob") as bob:
        ann.create("model/f")
        ann.create("model/f/a")
        with pytest.raises(NotFoundError, match="ann/model/f"):
            bob.get("model/f/a")
        Path("x").write_text("x")
        made = bob.commit("ann/model/f/a", "hello", add=["x"])
        assert made is not None
        assert made.body.committer == "bob"
        assert [entry["path"] for entry in bob.list("model")] == ["ann/model/f"]
        assert ann.get_folder(type_="model", name="f").owner == "ann"


def test_the_library_is_silent(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open(home / "store") as store:
        store.create("model/f")
        store.create("model/f/a")
    assert capfd.readouterr() == ("", "")
