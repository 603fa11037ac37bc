"""The tutorial in docs/ and the one ahstore was founded on are played, command for command."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ahstore.testing.s3_servers import S3Server
from tests.docs.transcript import Player, read_steps, reader_environment

PROJECT = Path(__file__).parents[2]
TUTORIAL = PROJECT / "docs" / "tutorial.md"
FOUNDING = Path(__file__).parent / "founding_tutorial.md"
WRITTEN_FOR = "/tmp/tutorial"  # the folder that both pages speak of


def play(page: Path, player: Player) -> None:
    text = page.read_text().replace(WRITTEN_FOR, player.folder)
    with player:
        for step in read_steps(text):
            player.check(step)


def ah(environment: Mapping[str, str], *arguments: str) -> str:
    """Return what one command prints, standard error too, and fail if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "ahstore", *arguments],
        env=dict(environment), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"{arguments}\n{done.stdout}"
    return done.stdout


class Reader:
    """Somebody with an empty home who reads a page, and the folder that it speaks of."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "tutorial"
        self.cache = home / "cache"
        self.environment = reader_environment(
            str(home), XDG_CACHE_HOME=str(self.cache), AH_USER="user"
        )

    def player(self) -> Player:
        return Player(
            self.environment, start=str(PROJECT), folder=str(self.folder), wait=self.wait_for_runs
        )

    def ah(self, store: str, *arguments: str) -> str:
        return ah(self.environment | {"AH_STORE": str(self.folder / store)}, *arguments)

    def wait_for_runs(self) -> None:
        for store in ("store", "python-store"):
            if (self.folder / store).exists() and self._has_model(store):
                self._wait_for_runs_in(store)

    def _has_model(self, store: str) -> bool:
        return "image-classification" in self.ah(store, "ls", "folder", "model")

    def _wait_for_runs_in(self, store: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            listing = self.ah(store, "ls", "workflow", "image-classification/mnist-cnn-keras")
            if not any(status in listing for status in ("Pending", "Running", "Committing")):
                assert "Failed" not in listing, listing
                return
            time.sleep(0.1)
        raise AssertionError(f"runs don't end:\n{listing}")


def test_the_tutorial_of_the_documentation(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    play(TUTORIAL, Reader(tmp_path).player())


class S3Reader(Reader):
    """Somebody whose stores are in a bucket. The page is read with their URLs for its folders."""

    def __init__(self, home: Path, server: S3Server) -> None:
        super().__init__(home)
        prefix = f"tutorial/{secrets.token_hex(6)}"
        self.urls = {name: server.url(f"{prefix}/{name}") for name in ("store", "python-store")}
        self.environment |= server.environment()

    def read(self, page: str) -> str:
        store, python_store = self.urls["store"], self.urls["python-store"]
        assert "AH_STORE=$PWD/store" in page
        page = page.replace("AH_STORE=$PWD/store", f"AH_STORE='{store}'")
        for spelt in (f"file://{WRITTEN_FOR}/python-store", f"{WRITTEN_FOR}/python-store"):
            page = page.replace(spelt, python_store)
        return page

    def ah(self, store: str, *arguments: str) -> str:
        return ah(self.environment | {"AH_STORE": self.urls[store]}, *arguments)

    def wait_for_runs(self) -> None:
        for store in self.urls:
            with contextlib.suppress(AssertionError):
                self.ah(store, "info")
                if self._has_model(store):
                    self._wait_for_runs_in(store)


def test_the_tutorial_in_a_bucket(s3_server: S3Server, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    reader = S3Reader(tmp_path, s3_server)
    page = tmp_path / "tutorial.md"
    page.write_text(reader.read(TUTORIAL.read_text()))
    play(page, reader.player())
    # Nothing was kept elsewhere, and nothing secret in the configuration.
    assert not (reader.folder / "store").exists()
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*.json") if file.is_file())
    assert s3_server.secret_key.encode() not in kept


@pytest.fixture(scope="module")
def founding(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The founding tutorial played to its end, and the store it left."""
    reader = Reader(tmp_path_factory.mktemp("reader"))
    reader.folder.mkdir()
    make_training_repository(reader.home / "repo", reader)
    (reader.home / "images").write_bytes(bytes(range(256)) * 40)
    for store in ("store", "python-store"):
        reader.ah(store, "create", "folder", "dataset/image-classification")
        reader.ah(store, "create", "dataset", "image-classification/mnist")
        dataset = "dataset/image-classification/mnist"
        reader.ah(store, "commit", dataset, "-m", "images", "-a", str(reader.home / "images"))
    reader.environment["AH_STORE"] = str(reader.folder / "store")
    play(FOUNDING, reader.player())
    return reader


TRAIN = """
    import os, pathlib
    images = pathlib.Path(os.environ["AH_DATASET_DIR"], "images").read_bytes()
    weights = bytes(reversed(images))
    if "AH_CHECKPOINT_DIR" in os.environ:
        weights += pathlib.Path(os.environ["AH_CHECKPOINT_DIR"], "model_state_dict.pt").read_bytes()
    pathlib.Path(os.environ["AH_OUTPUT_DIR"], "model_state_dict.pt").write_bytes(weights)
"""
EVALUATE = """
    import os, pathlib
    pathlib.Path(os.environ["AH_CHECKPOINT_DIR"], "model_state_dict.pt").read_bytes()
    metric = '{"loss": 1.473171865940094, "accuracy": 0.9883}'
    pathlib.Path(os.environ["AH_RESULTS_DIR"], "metric.json").write_text(metric)
"""


def make_training_repository(repo: Path, reader: Reader) -> None:
    """Make a repository that git of this reader takes for ``https://github.com/user/repo``."""
    code = repo / "mnist"
    code.mkdir(parents=True)
    (code / "train.py").write_text(textwrap.dedent(TRAIN))
    (code / "evaluate.py").write_text(textwrap.dedent(EVALUATE))
    with open(reader.home / ".gitconfig", "a") as file:
        file.write(f'[url "{repo}"]\n\tinsteadOf = https://github.com/user/repo\n')
    for command in (
        ["init", "--quiet", "--initial-branch", "master"],
        ["add", "mnist"],
        ["commit", "--quiet", "--message", "Train"],
    ):
        subprocess.run(["git", "-C", repo, *command], check=True, env=reader.environment)


MODEL = "model/image-classification/mnist-cnn-keras"
DATASET = "dataset/image-classification/mnist"
LOOKS = (
    ("ls", "folder", "--json"),
    ("ls", "model", "image-classification", "--json"),
    ("ls", "dataset", "image-classification", "--json"),
    ("ls", "branch", MODEL, "--json"),
    ("ls", "commit", f"{MODEL}:epoch-10", "--json"),
    ("ls", "object", f"{MODEL}:epoch-10", "--json"),
    ("ls", "object", DATASET, "--json"),
    ("ls", "workflow", MODEL, "--json"),
    ("ls", "evaluation", f"{MODEL}:epoch-5", "--json"),
    ("cat", f"{MODEL}:epoch-5", "asset-hub.metadata"),
)


# One process for all: starting Python ten times a look would be most of the time.
SHOW_ALL = """
import json, sys
from ahstore.cli.main import main
for arguments in json.load(sys.stdin):
    assert main(arguments) == 0, arguments
    print("----", flush=True)
"""


def look(reader: Reader, store: str) -> list[str]:
    """Return everything that is to be seen in a store, wherever it lies."""
    where = str(reader.folder / store)
    done = subprocess.run(
        [sys.executable, "-c", SHOW_ALL],
        input=json.dumps(LOOKS), env=reader.environment | {"AH_STORE": where},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout.replace(where, "<store>").split("----\n")


def test_the_founding_tutorial(founding: Reader) -> None:
    seen = look(founding, "store")
    assert '"epoch-10"' in seen[3]
    assert "model_state_dict.pt" in seen[5]


def test_a_copy_made_with_cp_works_at_its_new_place(founding: Reader) -> None:
    before = look(founding, "store")
    subprocess.run(["cp", "-r", "store", "copy"], cwd=founding.folder, check=True)
    shutil.move(founding.folder / "store", founding.folder / "away")
    try:
        # The original is gone: whatever the copy shows, it shows by itself.
        assert look(founding, "copy") == before
        target = founding.home / "from-copy"
        founding.ah("copy", "download", f"{MODEL}:epoch-5", "-s", str(target))
        assert (target / "model_state_dict.pt").read_bytes() == bytes(range(255, -1, -1)) * 40
        founding.ah("copy", "commit", DATASET, "-m", "more", "-a", f"{founding.home}/images:again")
    finally:
        shutil.move(founding.folder / "away", founding.folder / "store")
    # A commit in the copy is none in the original.
    assert look(founding, "store") == before
    assert look(founding, "copy") != before


def test_without_its_cache_a_store_shows_the_same(founding: Reader) -> None:
    before = look(founding, "store")
    files = [os.path.join(at, name) for at, _, names in os.walk(founding.cache) for name in names]
    assert any("lmdb" in name for name in files), f"no LMDB files below {founding.cache}"
    shutil.rmtree(founding.cache)
    assert look(founding, "store") == before
