"""The examples of the pages on gc and fsck run as they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from ahstore import api
from ahstore.cli.main import main
from ahstore.client.store import Store
from tests.cli.conftest import move_in

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    move_in(tmp_path, monkeypatch)
    with Store.open(tmp_path / "store") as store:
        store.create("model/f")
        store.create("model/f/a")
        Path("weights.h5").write_bytes(b"w" * 5000)
        store.commit("model/f/a", "m", add=["weights.h5"])
    return tmp_path


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["free-space.md", "check-a-store.md"])
def test_the_commands_run(page: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks(page, "shell") for line in block.splitlines()]
    assert len(lines) > 4
    for line in lines:
        words = shlex.split(line, comments=True)
        assert main(words[1:]) == 0, (line, capfd.readouterr().err)


def test_what_is_said_in_passing(place: Path) -> None:
    shutil.copytree(place / "store", place / "backup")
    found = re.findall(r"`ah ((?:fsck|commit) [^`]*)`", (PAGES / "check-a-store.md").read_text())
    assert len(found) == 2
    for words in found:
        arguments = shlex.split(words.replace("/backup/store", str(place / "backup")))
        assert main(arguments) == 0, words


@pytest.mark.parametrize("page", ["free-space.md", "check-a-store.md"])
def test_the_python_runs(page: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(page, "python")
    exec(compile(code, page, "exec"), {})
    assert capsys.readouterr().out
    api.logout()
