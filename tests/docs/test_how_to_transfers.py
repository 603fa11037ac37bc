"""The examples of the pages on sync, clone, export and import run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import ahstore as ah
from ahstore.cli.main import main
from ahstore.client.store import Store
from tests.cli.conftest import move_in

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
MODEL = "model/image-classification/mnist-cnn-keras"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose store has what the pages speak of; ``/data`` and the like lie in it."""
    move_in(tmp_path, monkeypatch)
    monkeypatch.setenv("AH_STORE", str(tmp_path / "data/store"))
    with Store.open(tmp_path / "data/store") as store:
        for folder, name in (("image-classification", "mnist-cnn-keras"), ("f", "a")):
            store.create(f"model/{folder}")
            store.create(f"model/{folder}/{name}")
            Path("x").write_text(name)
            store.commit(f"model/{folder}/{name}", "m", add=["x"])
            store.create(f"model/{folder}/{name}:v1", resource="tag")
            store.create(f"model/{folder}/{name}:dev")
            Path("x").write_text("more")
            store.commit(f"model/{folder}/{name}:dev", "m", add=["x"])
    return tmp_path


def blocks(page: str, language: str) -> list[str]:
    text = (PAGES / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(page: str) -> list[list[str]]:
    found = [
        shlex.split(line, comments=True)
        for block in blocks(page, "shell")
        for line in block.splitlines()
    ]
    return [words[1:] for words in found if words]


def moved(words: list[str], place: Path) -> list[str]:
    """Return a command with the folders of the page put into the test's own."""
    folders = {
        "/data/store": "data/store",
        "/backup/store": "backup/store",
        "/other/store": "other",
    }
    bucket = "s3://bucket/team"
    return [
        str(place / "team") if word == bucket else str(place / folders[word]) if word in folders else word
        for word in words
    ]  # fmt: skip


@pytest.mark.parametrize("page", ["sync.md", "clone.md", "export-and-import.md"])
def test_the_commands_run(page: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = commands(page)
    assert found
    for words in found:
        assert main(moved(words, place)) == 0, (words, capfd.readouterr().err)


@pytest.mark.parametrize("page", ["sync.md", "export-and-import.md"])
def test_the_python_runs(page: str, place: Path) -> None:
    (code,) = blocks(page, "python")
    code = code.replace('"/data/store"', repr(str(place / "data/store")))
    code = code.replace('"/backup/store"', repr(str(place / "backup")))
    code = code.replace('"/other/store"', repr(str(place / "other")))
    exec(compile(code, page, "exec"), {})
    there = ah.open(place / ("backup" if page == "sync.md" else "other"))
    assert there.list(MODEL)
    there.close()


def test_what_is_said_in_passing(place: Path) -> None:
    found = re.findall(
        r"`ah ((?:sync|export)[^`|]*)`", "".join(p.read_text() for p in PAGES.glob("*.md"))
    )
    with Store.open(place / "data/store") as store:
        commit = store.list("model/f/a", resource="commit")[0]["id"]
    ran = 0
    for words in found:
        arguments = shlex.split(words.replace("3f1c2d", commit[:8]))
        if len(arguments) > 2 and "SRC" not in words:
            assert main(moved(arguments, place)) == 0, words
            ran += 1
    assert ran >= 2
