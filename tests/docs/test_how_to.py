"""Pages of how-to whose examples are played, command for command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.transcript import Player, read_steps, reader_environment

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


PAGES = {
    "blame.md": "",
    "diff.md": "numpy",
    "earlier-versions.md": "",
    "log.md": "",
    "merge.md": "",
    "reset.md": "",
    "restore.md": "",
    "revert.md": "",
    "transactions.md": "",
}
"""With what must be installed to play them."""


@pytest.mark.parametrize(("page", "needs"), PAGES.items())
def test_the_examples_of_a_page(page: str, needs: str, tmp_path: Path) -> None:
    if needs:
        pytest.importorskip(needs)
    folder = tmp_path / "work"
    folder.mkdir()
    environment = reader_environment(
        str(tmp_path), AH_STORE=str(tmp_path / "store"), AH_USER="user",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    with Player(environment, start=str(folder), folder=str(folder)) as player:
        for step in read_steps((HOW_TO / page).read_text()):
            player.check(step)
