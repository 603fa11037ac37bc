"""The whole tree of ``--help`` as it was last looked at: a change of it is seen in review.

``UPDATE_SNAPSHOTS=1 pytest tests/cli/test_help.py`` writes it anew.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ahstore.cli.lazy import PATH_FORM, FormGroup, LazyGroup
from ahstore.cli.main import SECTIONS, ah

SNAPSHOT = Path(__file__).parent / "snapshots" / "help.txt"


def commands(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[click.Context, click.Command]]:
    ctx = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield ctx, command
    if isinstance(command, LazyGroup):
        names = command.list_commands(ctx)
        for sub in [*names, PATH_FORM] if isinstance(command, FormGroup) else names:
            found = command.get_command(ctx, sub)
            assert found is not None, sub
            yield from commands(found, "" if sub == PATH_FORM else sub, ctx)


def test_the_help_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = "".join(
        f"$ {' '.join(ctx.command_path.split())} --help\n\n{command.get_help(ctx)}\n\n\n"
        for ctx, command in commands(ah, "ah")
    )
    text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.parent.mkdir(exist_ok=True)
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text()


def test_every_command_and_option_says_what_it_does() -> None:
    for ctx, command in commands(ah, "ah"):
        assert command.help, ctx.command_path
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{ctx.command_path} {param.opts}"


def test_the_table_of_commands_says_what_they_say() -> None:
    # The table is read in place of the commands; it must not drift away from them.
    names = {name for section in SECTIONS.values() for name in section}
    found = {ctx.info_name for ctx, _ in commands(ah, "ah") if ctx.parent and not ctx.parent.parent}
    assert found == names
